"""The command line: every command answers in JSON where it answers with data, with the right exit code, and helps."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from jibek.main import main
from tests.worlds.accounts import HmacKey
from tests.worlds.clients import Client, signed
from tests.worlds.venue import VenueProcess, without_folder

NAMES = (f"client-{number}" for number in itertools.count(1))

# What each command with --json is called with; {account} has a key and money, {frozen} is frozen.
WITH_JSON = {
    "status": "",
    "account create": "{new} --deposit BTC=1.5 --deposit KZT=1000 --why test",
    "account list": "",
    "account show": "{account}",
    "account key": "{account} --type ed25519",
    "account limits": "{account} --tier default",
    "account freeze": "{account}",
    "account unfreeze": "{frozen}",
    "limits list": "",
    "limits show": "default",
    "limits set": "test_tier --orders-per-10-s 700",
    "audit": "",
    "market list": "",
    "market show": "BTCKZT",
    "market book": "BTCKZT",
    "market halt": "ETHKZT",
    "market resume": "ETHKZT",
    "clock show": "",
    "ledger balances": "",
    "ledger journal": "",
    "ledger trial-balance": "",
    "ledger reconcile": "",
    "ledger deposit": "{account} 0.5 BTC --why test",
    "ledger withdraw": "{account} 0.5 BTC --why test",
}
# What prints no data, or is tested with its own tests.
OTHERS = {
    "up",
    "down",
    "logs",
    "reset",
    "demo",
    "replay",
    "load",
    "bench book",
    "bench core",
    "bench growth",
    "bench price-index",
    "bench end-to-end",
    "bench fairness",
    "clock accept",
    "ledger rebuild",
}

# Wrong in one way each; the exit code, and words of the sentence.
FAILURES = [
    ("account show nobody",                     1, "No account is named nobody"),
    ("account create {account}",                1, "exists already"),
    ("account create UPPER",                    1, "account name has 1 to 32 characters"),
    ("account create x --deposit BTC",          2, "'BTC': write ASSET=AMOUNT, such as BTC=10."),
    ("account create x --deposit BTC:10",       2, "'BTC:10': write ASSET=AMOUNT, such as BTC=10."),
    ("account create x --deposit BTC=1e3",      2, "is not a plain decimal number"),
    ("account create x --deposit XYZ=1",        2, "no asset is named XYZ; there are"),
    ("account create x --deposit KZT=0.001",    2, "more than 2 decimals"),
    ("account key {account}",                   2, "either --type or --revoke"),
    ("account key {account} --type rsa",        2, "'rsa' is not one of"),
    ("account key {account} --revoke none",     1, "No such API key"),
    ("account key {account} --type hmac --public-key README.md",    2, "goes with --type ed25519"),
    ("account key {account} --type ed25519 --public-key README.md", 2, "does not hold a public key in PEM"),
    ("account key {account} --type hmac --expires never",  2, "--expires 'never': write days as 90d, or a UTC date as 2027-03-31"),
    ("account key {account} --type hmac --expires 2001-01-01", 2, "--expires '2001-01-01': it is not in the future."),
    ("account key {account} --type hmac --expires 0d",      2, "--expires '0d': it is not in the future."),
    ("account key {account} --type hmac --expires 1000000d", 2, "write days as 90d"),
    ("account key {account} --type hmac --expires 12h",     2, "2027-03-31T18:00; a number of hours is not accepted."),
    ("account key {account} --revoke 6f1d",                 1, "UNKNOWN_KEY: No such API key for this account. Write its whole id"),
    ("account key {account} --type hmac --expires 9999-12-31T23:59-01:00", 2, "it must be before the year 10000"),
    ("limits set \udcff --orders-per-day 5",     2, "an argument is not text in UTF-8"),
    ("account create name --why \udcff",         2, "an argument is not text in UTF-8"),
    ("account key {account} --type hmac --allow-ip everywhere", 2, "--allow-ip: 'everywhere' does not appear to be"),
    ("account key {account} --type hmac --allow-ip 203.0.113.7/24", 2, "--allow-ip: 203.0.113.7/24 has host bits set"),
    ("account key {account} --revoke none --expires 90d",   2, "--expires and --allow-ip go with a new key"),
    ("account limits nobody",                   1, "No account is named nobody"),
    ("account limits {account} --tier no_tier", 1, "No tier is named no_tier; there are default"),
    ("limits show no_tier",                     1, "No tier is named no_tier; there are default"),
    ("limits set default",                      2, "give at least one limit to change"),
    ("limits set default --orders-per-day 0",  2, "the tier default needs a number above 0 for every limit"),
    ("limits set Maker --orders-per-day 5",     1, "INVALID_LIMITS: A tier needs a name of 1 to 20 characters"),
    ("limits set maker --connections-per-5-min 5",    2, "connections_per_5_min counts before anybody logs on, and only"),
    ("limits set maker --stream-messages-per-s 5",    2, "counts before anybody logs on, and only the tier default can set it."),
    ("limits set maker --orders-per-day 1000000001", 2, "is not in the range"),
    ("account freeze {frozen}",                 1, "ACCOUNT_FROZEN: The account is frozen. `jibek account unfreeze` lifts it."),
    ("account unfreeze {account}",              1, "not frozen"),
    ("market show NONE",                        1, "No market is named NONE"),
    ("market book NONE",                        1, "No market is named NONE; there are BTCKZT"),
    ("market halt",                             2, "name a market, or give --all"),
    ("market halt BTCKZT --all",                2, "name a market, or give --all"),
    ("clock accept",                            2, "Missing option '--why'"),
    ("clock accept --why test",                 1, "nothing to accept: the clocks agree"),
    ("ledger deposit {account} BTC 10 --why x", 2, "write ACCOUNT AMOUNT ASSET, such as alice 10 BTC."),
    ("statsu",                                  2, "Did you mean status?"),
    ("reset",                                   2, "confirm with --yes"),
    ("reset --yes",                             1, "jibek down"),
    ("nonsense",                                2, "No such command"),
    ("market list --nonsense",                  2, "No such option"),
]  # fmt: skip


def leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that is not a group, with its words."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from leaves(child, f"{path} {name}".strip())


def jibek(venue: VenueProcess, words: str) -> Result:
    return CliRunner().invoke(main, [*words.split(), "--data", str(venue.data)], prog_name="jibek")


@pytest.fixture
def accounts(running_venue: VenueProcess) -> dict[str, str]:
    """Accounts of this test's own by what they are."""
    made = {"new": next(NAMES), "account": next(NAMES), "frozen": next(NAMES)}
    for kind in ("account", "frozen"):
        assert jibek(running_venue, f"account create {made[kind]} --deposit BTC=10 --why test").exit_code == 0
    assert jibek(running_venue, f"account key {made['account']} --type hmac").exit_code == 0
    assert jibek(running_venue, f"account freeze {made['frozen']}").exit_code == 0
    return made


def refuse_float(text: str) -> Any:
    raise AssertionError(f"{text} is a JSON number with a fraction: amounts are strings")


def test_every_command_is_in_a_table() -> None:
    found = dict(leaves(main))
    with_json = {path for path, command in found.items() if any(param.name == "as_json" for param in command.params)}
    assert with_json - OTHERS == WITH_JSON.keys()
    assert found.keys() - with_json <= OTHERS


@pytest.mark.parametrize("path", WITH_JSON)
def test_it_prints_json_without_fractions(running_venue: VenueProcess, accounts: dict[str, str], path: str) -> None:
    words = f"{path} {WITH_JSON[path]}".format(**accounts)
    plain = path not in ("account create", "account key") and not path.endswith(("freeze", "deposit", "withdraw"))
    try:
        result = jibek(running_venue, f"{words} --json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout, parse_float=refuse_float)
        if plain:
            result = jibek(running_venue, words)
            assert result.exit_code == 0, result.output
            assert not result.stdout.startswith(("{", "["))
    finally:
        if path == "market halt":
            jibek(running_venue, "market resume ETHKZT")


@pytest.mark.parametrize(("words", "code", "sentence"), FAILURES, ids=[row[0] for row in FAILURES])
def test_what_is_wrong_is_said_with_its_code(
    running_venue: VenueProcess, accounts: dict[str, str], words: str, code: int, sentence: str
) -> None:
    result = jibek(running_venue, words.format(**accounts))
    assert result.exit_code == code, result.output
    assert sentence in without_folder(result.stderr)
    assert result.stdout == ""


@pytest.mark.parametrize("name", main.list_commands(click.Context(main)))
def test_a_group_has_an_example_and_a_whole_line_for_each_command(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    if isinstance(command, click.Group):
        text = CliRunner().invoke(main, [name, "--help"], prog_name="jibek").output
        assert f"    jibek {name} " in text and "..." not in text.partition("Commands:")[2]


@pytest.mark.parametrize(("path", "command"), [pytest.param(*leaf, id=leaf[0]) for leaf in leaves(main)])
def test_every_command_helps_with_an_example(path: str, command: click.Command) -> None:
    assert command.help
    assert f"jibek {path}" in command.help
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden and param.name != "engine":
            assert param.help, f"{path} {param.opts[0]} is not explained"


@pytest.mark.parametrize("words", ["account list", "market book BTCKZT", "ledger balances", "market halt BTCKZT"])
def test_without_a_venue_the_code_is_three(tmp_path: Path, words: str) -> None:
    result = CliRunner().invoke(main, [*words.split(), "--data", str(tmp_path)], prog_name="jibek")
    assert result.exit_code == 3
    assert "jibek up" in result.stderr


def test_a_weak_public_key_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    # The fixed beginning of an Ed25519 key in DER, and the point of order four.
    der = bytes.fromhex("302a300506032b6570032100") + bytes(32)
    file = tmp_path / "weak.pem"
    file.write_text(f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n")
    arguments = ["account", "key", "alice", "--type", "ed25519", "--public-key", str(file), "--data", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "weak public key" in result.output


def test_the_key_that_is_given_out_opens_the_venue(running_venue: VenueProcess, tmp_path: Path) -> None:
    import asyncio

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    from jibek.client.trading import Credentials, RequestRefused, TradingClient

    name = next(NAMES)
    running_venue.json("account", "create", name, "--deposit", "BTC=1.25", "--why", "test")
    own = Ed25519PrivateKey.generate()
    file = tmp_path / "public.pem"
    file.write_bytes(own.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    own_pem = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    hmac = running_venue.json("account", "key", name, "--type", "hmac")
    made_here = running_venue.json("account", "key", name, "--type", "ed25519", "--may", "read")
    given = running_venue.json("account", "key", name, "--type", "ed25519", "--public-key", str(file))
    assert "private_key" not in given and "secret" not in made_here
    url = hmac["urls"]["ws_api"]

    async def available(credentials: Credentials) -> str:
        async with TradingClient(url, credentials) as client:
            status = await client.call("account.status", omitZeroBalances="true")
            return str(status["balances"][0]["free"])

    keys = [
        Credentials.hmac(hmac["key"], hmac["secret"]),
        Credentials.ed25519(made_here["key"], made_here["private_key"]),
        Credentials.ed25519(given["key"], own_pem),
    ]
    assert [asyncio.run(available(credentials)) for credentials in keys] == ["1.25000000"] * 3

    async def place(credentials: Credentials) -> None:
        async with TradingClient(url, credentials) as client:
            await client.call(
                "order.place", symbol="BTCKZT", side="SELL", type="LIMIT_MAKER", price="900000000", quantity="0.1"
            )

    with pytest.raises(RequestRefused):
        asyncio.run(place(keys[1]))

    running_venue.json("account", "key", name, "--revoke", hmac["key"])
    states = {key["key"]: key["state"] for key in running_venue.json("account", "show", name)["keys"]}
    assert states == {hmac["key"]: "revoked", made_here["key"]: "active", given["key"]: "active"}


def test_a_key_ends_and_keeps_to_its_networks(running_venue: VenueProcess) -> None:
    name = next(NAMES)
    running_venue.json("account", "create", name)
    add = ("account", "key", name, "--type", "hmac", "--expires", "90d")
    here = running_venue.json(*add, "--allow-ip", "127.0.0.0/8", "--allow-ip", "::1")
    elsewhere = running_venue.json(*add, "--allow-ip", "203.0.113.0/24")
    client = Client(here["urls"]["ws_api"])
    try:
        keys = [HmacKey(key["key"], key["secret"]) for key in (here, elsewhere)]
        assert client.ask("account.status", **signed(keys[0]))["status"] == 200
        assert client.refusal("account.status", **signed(keys[1]))[0] == -2015
    finally:
        client.close()
    shown = {key["key"]: key for key in running_venue.json("account", "show", name)["keys"]}
    assert shown[here["key"]]["networks"] == here["networks"] == ["127.0.0.0/8", "::1/128"]
    assert shown[here["key"]]["expires"] == here["expires"]


def test_limits_that_are_set_hold_in_the_gateway(running_venue: VenueProcess) -> None:
    name = next(NAMES)
    running_venue.json("account", "create", name)
    tier = running_venue.json("limits", "set", "quiet", "--orders-per-10-s", "7", "--why", "drill")
    assert (tier["own"], tier["limits"]["orders_per_10_s"], tier["accounts"]) == (["orders_per_10_s"], 7, 0)
    assert running_venue.json("account", "limits", name)["tier"] == "default"
    moved = running_venue.json("account", "limits", name, "--tier", "quiet", "--who", "aigerim", "--why", "contract 12")
    assert (moved["tier"], moved["limits"]) == ("quiet", tier["limits"])
    assert running_venue.json("account", "show", name)["tier"] == "quiet"
    assert {each["account"]: each["tier"] for each in running_venue.json("account", "list")}[name] == "quiet"
    assert running_venue.json("limits", "show", "quiet")["accounts"] == 1
    back = running_venue.json("limits", "set", "quiet", "--orders-per-10-s", "0", "--orders-per-day", "9")
    assert back["own"] == ["orders_per_day"]
    assert running_venue.json("limits", "list")[0]["tier"] == "default"


def test_who_and_why_stand_in_the_account(running_venue: VenueProcess) -> None:
    name = next(NAMES)
    running_venue.json("account", "create", name, "--who", "aigerim", "--why", "first client")
    shown = running_venue.json("account", "show", name)
    assert (shown["opened_by"], shown["why"]) == ("aigerim", "first client")


def test_a_market_that_is_still_halted_is_named_when_the_venue_resumes(running_venue: VenueProcess) -> None:
    jibek(running_venue, "market halt ETHKZT")
    try:
        jibek(running_venue, "market halt --all")
        result = jibek(running_venue, "market resume --all")
        assert result.stdout == "The venue is trading; still halted: ETHKZT.\n"
    finally:
        assert jibek(running_venue, "market resume ETHKZT").stdout == "ETHKZT is trading.\n"
    assert jibek(running_venue, "market resume --all").stdout == "The venue is trading.\n"


def test_no_line_of_a_key_ends_in_a_space(running_venue: VenueProcess, accounts: dict[str, str]) -> None:
    lines = jibek(running_venue, f"account key {accounts['account']} --type ed25519").stdout.splitlines()
    assert "private_key" in lines
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_halted_venue_says_so(running_venue: VenueProcess) -> None:
    running_venue.json("market", "halt", "--all", "--why", "drill")
    try:
        assert running_venue.json("market", "list")["venue_state"] == "halted"
    finally:
        running_venue.json("market", "resume", "--all")
    assert running_venue.json("market", "list")["venue_state"] == "trading"


def test_help_imports_no_subcommand() -> None:
    """`jibek --help` answers at once because it loads neither the store's client nor the drawing of tables."""
    code = (
        "import sys; from jibek.main import main; main(['--help'], standalone_mode=False); "
        "print([name for name in ('redis', 'rich', 'websockets', 'cryptography') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
