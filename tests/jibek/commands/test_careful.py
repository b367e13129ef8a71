"""Careful commands: all arguments are judged before the first effect, and no new secret is lost.

Each row of REFUSED is a command that changes something, wrong in one way. Nothing of it may reach the journal.
"""

from __future__ import annotations

import itertools
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.journal import JOURNAL_KEY, Store
from gateway.auth.secrets import SECRETS_KEY
from jibek.main import main
from jibek.venue.accounts import open_account
from jibek.venue.directory import read_directory
from tests.worlds.venue import VenueProcess

NAMES = (f"careful-{number}" for number in itertools.count(1))
OPENED = next(NAMES)
LARGE = "99999999999999999999"

# A command as words, its exit code, and words of the sentence; NEW is a name that no account has, OPENED one with a key.
REFUSED = [
    (["account", "create", "NEW", "--deposit", "BTC=5", "--deposit", "KZT=0", "--why", "x"], 2, "'KZT=0': it must be above 0"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--deposit", f"KZT={LARGE}", "--why", "x"], 2, "at most 46116860184273879.03"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--deposit", "KZT=-1", "--why", "x"], 2, "is not a plain decimal number"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--deposit", "XYZ=1", "--why", "x"], 2, "no asset is named XYZ"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--deposit", "BTC=5", "--why", "x"], 2, "BTC is named twice"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--deposit", "KZT=0.001", "--why", "x"], 2, "more than 2 decimals"),
    (["account", "create", "NEW", "--deposit", "BTC=5"], 2, "--deposit needs a reason: say it with --why"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--why", ""], 2, "--deposit needs a reason"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--why", " \u2003"], 2, "U+2003"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--why", "  "], 2, "--deposit needs a reason"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--why", "x\x1b[2K\rok"], 2, "U+001B"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--why", "x\nforged"], 2, "U+000A"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--why", "x", "--who", "\u202enimda"], 2, "U+202E"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--why", "x", "--who", " "], 2, "it is blank"),
    (["account", "create", "NEW", "--deposit", "BTC=5", "--why", "x", "--who", "\udcff"], 2, "is not text in UTF-8"),
    (["account", "create", "NEW", "--why", "x" * 501], 2, "at most 500 bytes"),
    (["account", "create", "x" * 33], 1, "INVALID_ACCOUNT_NAME: An account name has 1 to 32 characters"),
    (["account", "create", "x" * 5000], 2, "more than 4,096 bytes"),
    (["account", "create", "UPPER", "--deposit", "BTC=5", "--why", "x"], 1, "INVALID_ACCOUNT_NAME"),
    (["account", "create", OPENED, "--deposit", "BTC=5", "--why", "x"], 1, "ACCOUNT_EXISTS"),
    (["account", "create", "house"], 1, "ACCOUNT_EXISTS"),
    (["account", "create", "a\u200bb"], 2, "U+200B"),
    (["account", "create", "name\x9b"], 2, "U+009B"),
    (["account", "key", OPENED, "--type", "hmac", "--output", "/nowhere/key"], 2, "cannot be made (No such file or directory)"),
    (["account", "key", OPENED, "--type", "hmac", "--output", os.devnull], 2, "exists already"),
    (["account", "key", OPENED, "--type", "hmac", "--output", "-"], 2, "name a new file, such as alice.key"),
    (["account", "key", OPENED, "--type", "hmac", "--output", ""], 2, "name a new file, such as alice.key"),
    (["account", "key", OPENED, "--revoke", "x" * 64, "--output", "key"], 2, "--output goes with a new secret"),
    (["account", "key", OPENED, "--revoke", "x" * 65], 1, "UNKNOWN_KEY"),
    (["account", "key", OPENED, "--type", "ed25519", "--public-key", "/dev/zero"], 2, "does not hold a public key in PEM"),
    (["account", "key", OPENED, "--type", "ed25519", "--public-key", "/nowhere"], 2, "does not exist"),
    (["account", "key", "x" * 3000, "--type", "hmac"], 1, f"No account is named {'x' * 64}…."),
    (["account", "limits", OPENED, "--tier", "x" * 3000], 1, f"No tier is named {'x' * 64}…;"),
    (["account", "freeze", "nobody"], 1, "No account is named nobody"),
    (["account", "freeze", OPENED, "--why", "a\x07bell"], 2, "U+0007"),
    (["account", "unfreeze", OPENED, "--who", ""], 2, "it is blank"),
    (["limits", "set", "x" * 21, "--orders-per-day", "5"], 1, "INVALID_LIMITS"),
    (["limits", "set", "Maker", "--orders-per-day", "5"], 1, "INVALID_LIMITS"),
    (["limits", "set", "maker", "--orders-per-day", "5", "--why", "\u2066x"], 2, "U+2066"),
    (["market", "halt", "x" * 3000], 1, f"No market is named {'x' * 64}…;"),
    (["market", "halt", "BTCKZT", "--why", "\x00"], 2, "U+0000"),
    (["market", "resume", "--all", "--who", "\t"], 2, "U+0009"),
    (["ledger", "deposit", OPENED, "1", "BTC", "--why", ""], 2, "it is blank: say why"),
    (["ledger", "deposit", OPENED, "1", "BTC", "--why", "   "], 2, "it is blank: say why"),
    (["ledger", "deposit", OPENED, "0", "BTC", "--why", "x"], 2, "above 0"),
    (["ledger", "deposit", OPENED, LARGE, "BTC", "--why", "x"], 2, "at most"),
    (["ledger", "withdraw", OPENED, "1", "BTC", "--why", "x", "--who", "  "], 2, "it is blank"),
    (["ledger", "withdraw", OPENED, "1", "x" * 300, "--why", "x"], 1, f"No asset is named {'x' * 64}…"),
]  # fmt: skip


@pytest.fixture(scope="module")
def store(running_venue: VenueProcess) -> Iterator[Store]:
    client = running_venue.store()
    running_venue.json("account", "create", OPENED, "--deposit", "BTC=1", "--why", "test")
    running_venue.json("account", "key", OPENED, "--type", "hmac")
    yield client
    client.close()


def jibek(venue: VenueProcess, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--data", str(venue.data)], prog_name="jibek")


def shown(venue: VenueProcess, *words: str) -> Any:
    """What `jibek audit` prints as JSON."""
    result = CliRunner().invoke(main, ["audit", *words, "--json", "--data", str(venue.data)], prog_name="jibek")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def effects(store: Store) -> tuple[int, int]:
    """How many commands of operators there are in the journal, and sealed secrets."""
    return store.xlen(JOURNAL_KEY), store.hlen(SECRETS_KEY)


@pytest.mark.parametrize(("words", "code", "says"), REFUSED, ids=[" ".join(row[0])[:60] for row in REFUSED])
def test_what_is_wrong_reaches_nothing(
    running_venue: VenueProcess, store: Store, words: list[str], code: int, says: str
) -> None:
    before = effects(store)
    name = next(NAMES)
    result = jibek(running_venue, *(name if word == "NEW" else word for word in words))
    assert (result.exit_code, says in result.stderr, result.stdout) == (code, True, ""), result.output
    assert effects(store) == before


@pytest.mark.parametrize("value", ["\udcff", "a\x1b[2J", "   ", "x" * 501])
@pytest.mark.parametrize("variable", ["JIBEK_OPERATOR", "LOGNAME"])
def test_a_name_from_the_environment_is_judged_like_one_that_is_typed(
    running_venue: VenueProcess, store: Store, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.delenv("JIBEK_OPERATOR", raising=False)
    monkeypatch.setenv(variable, value)
    before = effects(store)
    result = jibek(running_venue, "ledger", "deposit", OPENED, "1", "BTC", "--why", "x")
    assert (result.exit_code, "Invalid value for '--who'" in result.stderr) == (2, True), result.output
    assert effects(store) == before


def test_an_account_comes_with_its_money_in_one_entry(running_venue: VenueProcess, store: Store) -> None:
    before = effects(store)[0]
    name = next(NAMES)
    running_venue.json("account", "create", name, "--deposit", "BTC=5", "--deposit", "KZT=7", "--why", "both")
    acts = shown(running_venue, "--account", name)["acts"]
    assert [(act["kind"], act["what"], act["why"]) for act in acts] == [
        ("account-add", name, "both"),
        ("deposit", "5.00000000 BTC", "both"),
        ("deposit", "7.00 KZT", "both"),
    ]
    assert len({act["entry"] for act in acts}) == 1 and effects(store)[0] > before


def test_those_who_open_accounts_at_once_pay_into_their_own(running_venue: VenueProcess, store: Store) -> None:
    """Each names the next number in its batch; the store takes only the one before which no other came."""
    kzt = read_directory(store, running_venue.data).listing.asset_by_name["KZT"]
    names = [next(NAMES) for _ in range(5)]

    def open_one(amount: int) -> int:
        client = running_venue.store()
        try:
            name = names[amount - 1]
            return open_account(client, running_venue.data, name, [(kzt, amount)], who="test", why="race")
        finally:
            client.close()

    with ThreadPoolExecutor(len(names)) as pool:
        numbers = list(pool.map(open_one, range(1, 6)))
    assert len(set(numbers)) == 5
    acts = [act for act in shown(running_venue, "--kind", "deposit")["acts"] if act["why"] == "race"]
    assert {act["account"]: act["what"] for act in acts} == {
        name: f"0.0{index} KZT" for index, name in enumerate(names, 1)
    }


def test_what_the_engine_alone_can_refuse_is_said_with_what_was_done(running_venue: VenueProcess, store: Store) -> None:
    name = next(NAMES)
    most = "BTC=46116860184.27387903"
    result = jibek(running_venue, "account", "create", name, "--deposit", "KZT=3", "--deposit", most, "--why", "x")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Account {name} is open, with number ")
    assert "but this was refused: BTC. INVALID_AMOUNT: " in result.stderr
    acts = shown(running_venue, "--account", name)["acts"]
    assert [(act["kind"], act["reason"]) for act in acts] == [
        ("account-add", None),
        ("deposit", None),
        ("deposit", "INVALID_AMOUNT"),
    ]


# -- secrets


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_a_key_that_cannot_be_printed_is_not_added(
    running_venue: VenueProcess, store: Store, kind: str, redirection: str
) -> None:
    before = effects(store)
    line = f'"{sys.executable}" -m jibek account key {OPENED} --type {kind} --json --data {running_venue.data} {redirection}'
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "cannot be" in done.stderr
    assert effects(store) == before


def test_a_key_in_a_file_is_for_its_owner_alone(running_venue: VenueProcess, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "key"
    old_mask = os.umask(0)
    try:
        result = jibek(running_venue, "account", "key", OPENED, "--type", "hmac", "--output", str(file))
    finally:
        os.umask(old_mask)
    assert result.exit_code == 0
    written = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert written["key"] in result.stdout and written["secret"] not in result.stdout
    assert store.hexists(SECRETS_KEY, written["key"])
    again = jibek(running_venue, "account", "key", OPENED, "--type", "hmac", "--output", str(file))
    assert (again.exit_code, json.loads(file.read_text())) == (2, written)


def test_a_file_of_a_key_that_is_refused_goes_again(
    running_venue: VenueProcess, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jibek.commands.account.KEYS_PER_ACCOUNT_MAX", 10_000)
    monkeypatch.setattr("jibek.venue.accounts.new_key_id", lambda: "not a key id")
    file = tmp_path / "key"
    result = jibek(running_venue, "account", "key", OPENED, "--type", "hmac", "--output", str(file))
    assert (result.exit_code, "INVALID_KEY" in result.stderr, file.exists()) == (1, True, False)
    assert result.stderr.endswith(" The key that was given out was not added.\n")
    assert not store.hexists(SECRETS_KEY, "not a key id")
