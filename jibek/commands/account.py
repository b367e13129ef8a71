"""`jibek account …`: open accounts, give them API keys and limits, freeze and unfreeze them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from engine.decimals import DecimalError
from engine.definitions import ACCOUNT_NAME
from engine.ed25519 import is_sound
from engine.journal import EntryId, Store
from engine.listing import Asset, Listing
from engine.networks import NetworkError, format_networks, pack_networks
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.process.wall_clock import time_text
from engine.reasons import Reason
from engine.records import HOUSE_NAME, KEYS_PER_ACCOUNT_MAX, Command, CommandKind, KeyType, Permission
from jibek.console.changes import execute, reason_text
from jibek.console.failure import Failure, fail, store_errors
from jibek.console.options import check_reason, combined, data_option, json_option, who_and_why
from jibek.console.output import Column, json_text, print_json, print_line, print_table
from jibek.console.printable import excerpt
from jibek.console.secret_file import secret_file
from jibek.console.standard_streams import OutputLost
from jibek.console.text import counted, parse_amount
from jibek.venue.accounts import PERMISSIONS, KeyAdder, open_account, revoke_key
from jibek.venue.address import VenueAddress
from jibek.venue.directory import AccountRecord, KeyRecord, find_account, open_directory
from jibek.venue.tiers import check_tier, numbers_of, put_into_tier
from jibek.venue.unsettled import warn_of_settlement
from ledger.reports import balances_of
from ledger.snapshot import NotSettled
from ledger.store import LedgerBroken, LedgerStore

KEY_TYPES = {"hmac": KeyType.HMAC_SHA256, "ed25519": KeyType.ED25519}
DAY_US = 86_400_000_000
EXPIRY_DAYS_DIGITS = 5
PEM_BYTES_MAX = 65_536
"""As much of a file is read; a public key has about 120 bytes."""
EXPIRY_END_US = 253_402_300_800 * 1_000_000
"""The year 10000 UTC: no date from then on can be shown."""
KEY_TYPE_NAMES = {number: name for name, number in KEY_TYPES.items()}


@click.group()
def account() -> None:
    """Open accounts, give them API keys and limits, freeze and unfreeze them.

    \b
      jibek account create alice --deposit BTC=10 --why "transfer 4711"
      jibek account key alice --type hmac
    """


# -- create


@account.command(short_help="Open an account, and credit deposits to it.")
@click.argument("name")
@click.option("--deposit", "deposits", multiple=True, metavar="ASSET=AMOUNT", help="Amount to credit. May be repeated.")
@data_option
@json_option
@who_and_why(why_required=False)
def create(name: str, deposits: tuple[str, ...], data_dir: Path, as_json: bool, who: str, why: str) -> None:
    """Open an account, and credit deposits to it: all of it, or nothing. Deposits need a reason.

    \b
      jibek account create alice
      jibek account create alice --deposit BTC=10 --deposit KZT=500000000 \\
          --why "wire transfers 4711 and 4712"
      jibek account create alice --why "first client" --json
    """
    try:
        _, client, directory = open_directory(data_dir)
    except Failure:
        if deposits:
            check_reason(why, "--deposit")
        raise
    amounts = parse_deposits(deposits, directory.listing)
    if amounts:
        check_reason(why, "--deposit")
    if ACCOUNT_NAME.fullmatch(name.encode()) is None:
        fail(EXIT_REFUSED, reason_text(Reason.INVALID_ACCOUNT_NAME))
    if name in directory.account_by_name or name == HOUSE_NAME.decode():
        fail(EXIT_REFUSED, reason_text(Reason.ACCOUNT_EXISTS))
    number = open_account(client, data_dir, name, amounts, who=who, why=why)
    result = {
        "account": name,
        "number": number,
        "deposits": [{"asset": asset.name, "amount": asset.format(amount)} for asset, amount in amounts],
    }
    if as_json:
        print_json(result)
        return
    print_line(f"Account {name} is open, with number {number}.")
    for asset, amount in amounts:
        print_line(f"  {asset.format(amount)} {asset.name} paid in")


def parse_deposits(texts: tuple[str, ...], listing: Listing) -> list[tuple[Asset, int]]:
    """Assets and amounts, in smallest units.

    Raises:
        click.UsageError: one of them cannot be used, or two have the same asset.
    """
    found: dict[int, tuple[Asset, int]] = {}
    for text in texts:
        asset, amount = parse_deposit(text, listing)
        if asset.number in found:
            raise click.UsageError(f"{text!r}: {asset.name} is named twice.")
        found[asset.number] = (asset, amount)
    return list(found.values())


def parse_deposit(text: str, listing: Listing) -> tuple[Asset, int]:
    """The asset and the amount, in smallest units, of an `ASSET=AMOUNT`.

    Raises:
        click.UsageError: the text has another form, the venue has no such asset, or the amount is not a decimal of its scale, or is
            out of range.
    """
    name, equals, amount = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text!r}: write ASSET=AMOUNT, such as BTC=10.")
    asset = listing.asset_by_name.get(name)
    if asset is None:
        raise click.UsageError(
            f"{text!r}: no asset is named {excerpt(name)}; there are {', '.join(listing.asset_by_name)}."
        )
    try:
        return asset, parse_amount(asset, amount)
    except DecimalError as error:
        raise click.UsageError(f"{text!r}: {error}.") from None


# -- list and show


@account.command("list")
@data_option
@json_option
def list_accounts(data_dir: Path, as_json: bool) -> None:
    """List all accounts with their states and keys.

    \b
      jibek account list
      jibek account list --json
    """
    _, _, directory = open_directory(data_dir)
    accounts = [summary(each) for each in directory.accounts.values()]
    if as_json:
        print_json(accounts)
        return
    columns = [
        Column("account"), Column("number", right=True), Column("state"), Column("tier"), Column("keys", right=True),
        Column("opened"),
    ]  # fmt: skip
    rows = [
        [each["account"], str(each["number"]), each["state"], each["tier"], str(each["keys"]), each["opened"]]
        for each in accounts
    ]
    print_table(columns, rows, footer=counted(len(rows), "account"))


def summary(record: AccountRecord) -> dict[str, Any]:
    """An account as a row of the list."""
    return {
        "account": record.name,
        "number": record.number,
        "state": "frozen" if record.is_frozen else "active",
        "tier": record.tier,
        "keys": sum(not key.is_revoked for key in record.keys.values()),
        "opened": time_text(record.added_us),
    }


@account.command()
@click.argument("name")
@data_option
@json_option
def show(name: str, data_dir: Path, as_json: bool) -> None:
    """Show an account, its keys and its balances.

    \b
      jibek account show alice
    """
    address, client, directory = open_directory(data_dir)
    record = find_account(directory, name)
    warn_of_settlement(address)
    with store_errors():
        settled, balances = _balances(client, directory.listing, record.number)
    found = summary(record) | {
        "opened_by": record.operator,
        "system_user": record.system_user,
        "why": record.why,
        "keys": [key_summary(key) for key in record.keys.values()],
        "settled_to": str(settled),
        "balances": balances,
    }
    if as_json:
        print_json(found)
        return
    print_line(
        f"{record.name}  number {record.number}, {found['state']}, tier {record.tier}, opened {found['opened']} "
        f"by {record.operator}" + (f" ({record.system_user})" if record.system_user else "")
    )
    if record.why:
        print_line(f"  why: {record.why}")
    print_line()
    columns = [Column("asset"), Column("available", right=True), Column("held", right=True)]
    print_table(columns, [[each["asset"], each["available"], each["held"]] for each in balances])
    print_line()
    columns = [
        Column("key"),
        Column("type"),
        Column("may"),
        Column("state"),
        Column("added"),
        Column("expires"),
        Column("from"),
    ]
    rows = [
        [
            each["key"], each["type"], ", ".join(each["permissions"]), each["state"], each["added"],
            each["expires"] or "never", ", ".join(each["networks"]) or "everywhere",
        ]
        for each in found["keys"]
    ]  # fmt: skip
    print_table(columns, rows)


def _balances(client: Store, listing: Listing, number: int) -> tuple[EntryId, list[dict[str, str]]]:
    """The account's balances, and the journal entry after which they are read."""
    try:
        settled, rows = balances_of(LedgerStore(client), number, listing.assets)
    except NotSettled as error:
        fail(EXIT_UNREACHABLE, f"{error}")
    except LedgerBroken as error:
        fail(EXIT_REFUSED, f"The ledger is broken: {error}.")
    found = []
    for row in rows:
        asset = listing.assets[row.asset]
        available, held = asset.format(row.available), asset.format(row.held)
        found.append({"asset": asset.name, "available": available, "held": held})
    return settled, found


def key_summary(key: KeyRecord) -> dict[str, Any]:
    return {
        "key": key.id,
        "type": KEY_TYPE_NAMES[key.type],
        "permissions": permission_names(key.permissions),
        "state": key_state(key, time.time_ns() // 1000),
        "added": time_text(key.added_us),
        "expires": time_text(key.expiry_us) if key.expiry_us else None,
        "networks": key.networks,
    }


def key_state(key: KeyRecord, now_us: int) -> str:
    if key.is_revoked:
        return "revoked"
    return "expired" if 0 < key.expiry_us <= now_us else "active"


def permission_names(permissions: int) -> list[str]:
    """
    >>> permission_names(Permission.READ | Permission.TRADE)
    ['read', 'trade']
    """
    return [permission.name.lower() for permission in Permission if permissions & permission]


# -- key


def _new_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """The file of `--output`: neither "", which is the folder itself, nor "-", which elsewhere is standard output."""
    if path is not None and str(path) in ("-", "."):
        raise click.BadParameter("name a new file, such as alice.key. Without --output the key is printed.")
    return path


@account.command()
@click.argument("name")
@click.option("--type", "type_name", type=click.Choice(list(KEY_TYPES)), help="Type of the new key.")
@click.option(
    "--public-key",
    "public_key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file with the client's own ed25519 public key.  [default: make a pair of keys]",
)
@click.option(
    "--may", type=click.Choice(list(PERMISSIONS)), default="trade", show_default=True, help="What the key permits."
)
@click.option(
    "--expires",
    "expires",
    metavar="WHEN",
    help="When it ends: days from now as 90d, or a UTC date as 2027-03-31 or 2027-03-31T18:00.  [default: never]",
)
@click.option(
    "--allow-ip",
    "networks",
    multiple=True,
    metavar="CIDR",
    help="From where it may be used. May be repeated.  [default: everywhere]",
)
@click.option(
    "--revoke", "revoked_id", metavar="KEY", help="Revoke this key, named by its whole id, instead of adding one."
)
@click.option(
    "--output",
    "output_file",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_new_file,
    help="Write the new key with its secret into this new file, which only you can read, instead of printing it.",
)
@data_option
@json_option
@who_and_why(why_required=False)
def key(
    name: str,
    type_name: str | None,
    public_key_file: Path | None,
    may: str,
    expires: str | None,
    networks: tuple[str, ...],
    revoked_id: str | None,
    output_file: Path | None,
    data_dir: Path,
    as_json: bool,
    who: str,
    why: str,
) -> None:
    """Add an API key to an account, or revoke one.

    An hmac key signs each request; an ed25519 key may also log a session on. The secret of an hmac key, or the private
    key if it is made here, is printed only this once: it cannot be shown again. It is printed before the key counts; if it
    cannot be written, no key is added.

    \b
      jibek account key alice --type hmac --json
      jibek account key alice --type hmac --expires 90d \\
          --allow-ip 203.0.113.0/24
      jibek account key alice --type ed25519 --public-key alice.pem
      jibek account key alice --type hmac --output alice.key
      jibek account key alice --revoke 6f1d…
    """
    if (type_name is None) == (revoked_id is None):
        raise click.UsageError("give either --type or --revoke, as in `jibek account key alice --type hmac`.")
    if public_key_file is not None and type_name != "ed25519":
        raise click.UsageError("--public-key goes with --type ed25519.")
    if revoked_id is not None and (expires is not None or networks):
        raise click.UsageError("--expires and --allow-ip go with a new key.")
    if output_file is not None and (revoked_id is not None or public_key_file is not None):
        raise click.UsageError("--output goes with a new secret: with --revoke and --public-key there is none.")
    public_key = None if public_key_file is None else read_public_key(public_key_file)
    expiry_us = 0 if expires is None else parse_expiry(expires, time.time_ns() // 1000)
    packed = parse_networks(networks)
    address, client, directory = open_directory(data_dir)
    record = find_account(directory, name)
    shown = print_json if as_json else _print_key
    if revoked_id is not None:
        if revoked_id not in record.keys or record.keys[revoked_id].is_revoked:
            fail(EXIT_REFUSED, reason_text(Reason.UNKNOWN_KEY))
        revoke_key(client, record, revoked_id, who=who, why=why)
        shown({"account": name, "key": revoked_id, "state": "revoked"})
        return
    if sum(not each.is_revoked for each in record.keys.values()) >= KEYS_PER_ACCOUNT_MAX:
        fail(EXIT_REFUSED, reason_text(Reason.TOO_MANY_KEYS))
    facts: dict[str, Any] = {"account": name, "type": type_name, "permissions": permission_names(PERMISSIONS[may])}
    facts |= {"expires": time_text(expiry_us)} if expiry_us else {}
    facts |= {"networks": format_networks(packed)} if packed else {}
    add = KeyAdder(client, record, PERMISSIONS[may], who, why, expiry_us, packed)
    if public_key is not None:
        shown(facts | add.ed25519(public_key) | {"urls": address.urls})
    elif output_file is None:
        _add_new_key(add, address, type_name == "hmac", lambda made: shown(facts | made | {"urls": address.urls}))
    else:
        with secret_file(output_file) as write:
            made = _add_new_key(
                add, address, type_name == "hmac", lambda made: write(json_text(facts | made | {"urls": address.urls}))
            )
        shown(facts | {"key": made["key"], "file": str(output_file)})


def _add_new_key(
    add: KeyAdder, address: VenueAddress, hmac: bool, give_out: Callable[[dict[str, str]], None]
) -> dict[str, str]:
    """Makes a key, gives it out with its secret, and only then adds it.

    Raises:
        Failure: it could not be given out, and was not added; or it was given out, and the text says whether it counts.
    """
    is_given_out = False

    def show(made: dict[str, str]) -> None:
        nonlocal is_given_out
        try:
            give_out(made)
        except OutputLost as lost:
            text = f"The key cannot be printed ({lost.reason}), so none was added: try again, or use --output FILE."
            fail(EXIT_REFUSED, text)
        is_given_out = True

    try:
        return add.hmac(address.data_dir, show=show) if hmac else add.ed25519(None, show=show)
    except Failure as failure:
        if is_given_out:
            counts = "was not added" if failure.exit_code == EXIT_REFUSED else "may count: see `jibek account show`"
            fail(failure.exit_code, f"{failure.message} The key that was given out {counts}.")
        raise


def _print_key(result: dict[str, Any]) -> None:
    for title, value in result.items():
        if isinstance(value, dict):
            for name, url in value.items():
                print_line(f"{name:12} {url}")
        elif isinstance(value, list):
            print_line(f"{title:12} {', '.join(value)}")
        else:
            lines = value.splitlines()
            for line in [f"{title:12} {value}"] if len(lines) < 2 else [title, *lines]:
                print_line(line)


def parse_expiry(text: str, now_us: int) -> int:
    """When a key ends, in microseconds since 1970 UTC.

    Raises:
        click.UsageError: the text is neither so many days nor a date, or that is not after `now_us`.

    >>> parse_expiry("2d", 1_000_000), parse_expiry("1970-01-02T00:00", 0)
    (172801000000, 86400000000)
    """
    if text.endswith("d") and text[:-1].isascii() and text[:-1].isdigit() and len(text) <= EXPIRY_DAYS_DIGITS + 1:
        expiry_us = now_us + int(text[:-1]) * DAY_US
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise click.UsageError(
                f"--expires {text!r}: write days as 90d, or a UTC date as 2027-03-31 or 2027-03-31T18:00; a number of hours is not accepted."
            ) from None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        expiry_us = (when - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    if expiry_us <= now_us:
        raise click.UsageError(f"--expires {text!r}: it is not in the future.")
    if expiry_us >= EXPIRY_END_US:
        raise click.UsageError(f"--expires {text!r}: it must be before the year 10000; leave it out for never.")
    return expiry_us


def parse_networks(texts: tuple[str, ...]) -> bytes:
    """
    Raises:
        click.UsageError: one of them is no network, or there are too many.
    """
    try:
        return pack_networks(texts)
    except NetworkError as error:
        raise click.UsageError(f"--allow-ip: {error}.") from None


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of an ed25519 public key in a PEM file.

    Raises:
        click.UsageError: the file holds no such key, or one that the venue would refuse.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        with path.open("rb") as file:
            loaded = load_pem_public_key(file.read(PEM_BYTES_MAX))
    except (ValueError, UnsupportedAlgorithm, OSError):
        raise click.UsageError(f"{path} does not hold a public key in PEM.") from None
    if not isinstance(loaded, Ed25519PublicKey):
        raise click.UsageError(f"{path} holds a public key that is not ed25519.")
    public_key = loaded.public_bytes_raw()
    if not is_sound(public_key):
        raise click.UsageError(f"{path} holds a weak public key, by which no one can be told apart: make a new pair.")
    return public_key


# -- limits


@account.command(short_help="Show or set the tier of an account.")
@click.argument("name")
@click.option("--tier", metavar="TIER", help="Put the account into this tier.")
@data_option
@json_option
@who_and_why(why_required=False)
def limits(name: str, tier: str | None, data_dir: Path, as_json: bool, who: str, why: str) -> None:
    """Show the tier of an account and the limits that hold for it, or put it into another tier.

    \b
      jibek account limits alice
      jibek account limits alice --tier market_maker --why "contract 12"
    """
    _, client, directory = open_directory(data_dir)
    record = find_account(directory, name)
    if tier is not None:
        check_tier(directory.listing, tier)
        put_into_tier(client, record.number, tier, who=who, why=why)
        record.tier = tier
    numbers = numbers_of(directory.listing.effective_limits(record.tier))
    if as_json:
        print_json({"account": name, "tier": record.tier, "limits": numbers})
        return
    columns = [Column("limit"), Column(record.tier, right=True)]
    rows = [[limit, f"{number:,}"] for limit, number in numbers.items()]
    print_table(columns, rows, footer=f"Account {name} is in the tier {record.tier}.")


# -- freeze and unfreeze


freeze_options = combined(click.argument("name"), data_option, json_option, who_and_why(why_required=False))


@account.command()
@freeze_options
def freeze(**given: Any) -> None:
    """Freeze an account.

    Its open orders are cancelled, and new ones are refused until you unfreeze it.

    \b
      jibek account freeze alice --why "court order 17"
    """
    _set_frozen(CommandKind.ACCOUNT_FREEZE, **given)


@account.command()
@freeze_options
def unfreeze(**given: Any) -> None:
    """Unfreeze an account, so that it may place orders again.

    \b
      jibek account unfreeze alice --why "order 17 withdrawn"
    """
    _set_frozen(CommandKind.ACCOUNT_UNFREEZE, **given)


def _set_frozen(kind: CommandKind, name: str, data_dir: Path, as_json: bool, who: str, why: str) -> None:
    _, client, directory = open_directory(data_dir)
    record = find_account(directory, name)
    execute(client, Command(kind=kind, account=record.number), who=who, why=why)
    state = "frozen" if kind == CommandKind.ACCOUNT_FREEZE else "active"
    if as_json:
        print_json({"account": name, "state": state})
    else:
        print_line(f"Account {name} is {state}.")
