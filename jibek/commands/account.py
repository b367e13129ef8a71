"""`jibek account …`: open accounts, give them API keys, freeze and unfreeze them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from engine.decimals import DecimalError
from engine.journal import EntryId, Store
from engine.listing import Asset, Listing
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.records import KEY_DEFINITION, Command, CommandKind, KeyDefinition, KeyType, Permission
from jibek.commands.venue import running_venue, urls
from jibek.console.changes import execute, who_and_why
from jibek.console.output import (
    Column,
    Failure,
    VenueAddress,
    data_option,
    fail,
    json_option,
    open_store,
    print_json,
    print_table,
    store_errors,
)
from jibek.console.text import counted
from jibek.venue.directory import AccountRecord, Directory, KeyRecord, read_directory
from ledger.reports import balances_of, time_text
from ledger.snapshot import NotSettled
from ledger.store import LedgerStore

KEY_TYPES = {"hmac": KeyType.HMAC_SHA256, "ed25519": KeyType.ED25519}
KEY_TYPE_NAMES = {number: name for name, number in KEY_TYPES.items()}
PERMISSIONS = {"read": Permission.READ, "trade": Permission.READ | Permission.TRADE}


@click.group()
def account() -> None:
    """Open, list, freeze accounts; give them API keys."""


def open_directory(data_dir: Path) -> tuple[VenueAddress, Store, Directory]:
    """What every command here begins with."""
    address = running_venue(data_dir)
    client = open_store(address)
    with store_errors():
        return address, client, read_directory(client, data_dir)


def find_account(directory: Directory, name: str) -> AccountRecord:
    """The account of this name. Fails with exit code 1 where there is none."""
    if name not in directory.account_by_name:
        fail(EXIT_REFUSED, f"No account is named {name}. See `jibek account list`.")
    return directory.account_by_name[name]


# -- create


@account.command()
@click.argument("name")
@click.option("--deposit", "deposits", multiple=True, metavar="ASSET=AMOUNT", help="What is paid in. May be repeated.")
@data_option
@json_option
@who_and_why(why_required=False)
def create(name: str, deposits: tuple[str, ...], data_dir: Path, as_json: bool, who: str, why: str) -> None:
    """Open an account, and pay into it.

    \b
      jibek account create alice
      jibek account create alice --deposit BTC=10 --deposit KZT=500000000 --why "first client" --json
    """
    _, client, directory = open_directory(data_dir)
    amounts = [parse_deposit(text, directory.listing) for text in deposits]
    number = open_account(client, name, amounts, who=who, why=why)
    result = {
        "account": name,
        "number": number,
        "deposits": [{"asset": asset.name, "amount": asset.format(amount)} for asset, amount in amounts],
    }
    if as_json:
        print_json(result)
        return
    click.echo(f"Account {name} is open, with number {number}.")
    for asset, amount in amounts:
        click.echo(f"  {asset.format(amount)} {asset.name} paid in")


def open_account(client: Store, name: str, deposits: list[tuple[Asset, int]], *, who: str, why: str) -> int:
    """Adds an account, pays in the amounts, and returns the account's number."""
    _, added = execute(client, Command(kind=CommandKind.ACCOUNT_ADD), name.encode(), who=who, why=why)
    for asset, amount in deposits:
        command = Command(kind=CommandKind.DEPOSIT, account=added.account, asset=asset.number, amount=amount)
        execute(client, command, who=who, why=why)
    return added.account


def parse_deposit(text: str, listing: Listing) -> tuple[Asset, int]:
    """An `ASSET=AMOUNT` in smallest units.

    Raises:
        click.UsageError: no such asset, or no amount in its scale.
    """
    name, _, amount = text.partition("=")
    asset = listing.asset_by_name.get(name)
    if asset is None:
        raise click.UsageError(f"{text!r}: the venue has no asset {name!r}; it has {', '.join(listing.asset_by_name)}.")
    try:
        return asset, asset.parse(amount)
    except DecimalError as error:
        raise click.UsageError(f"{text!r}: {error}.") from None


# -- list and show


@account.command("list")
@data_option
@json_option
def list_accounts(data_dir: Path, as_json: bool) -> None:
    """List all accounts.

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
        Column("account"), Column("number", right=True), Column("state"), Column("keys", right=True), Column("opened"),
    ]  # fmt: skip
    rows = [
        [each["account"], str(each["number"]), each["state"], str(each["keys"]), each["opened"]] for each in accounts
    ]
    print_table(columns, rows, footer=counted(len(rows), "account"))


def summary(record: AccountRecord) -> dict[str, Any]:
    """An account in one line."""
    return {
        "account": record.name,
        "number": record.number,
        "state": "frozen" if record.is_frozen else "active",
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
    _, client, directory = open_directory(data_dir)
    record = find_account(directory, name)
    with store_errors():
        settled, balances = _balances(client, directory.listing, record.number)
    found = summary(record) | {
        "opened_by": record.operator,
        "why": record.why,
        "keys": [key_summary(key) for key in record.keys.values()],
        "settled_to": str(settled),
        "balances": balances,
    }
    if as_json:
        print_json(found)
        return
    click.echo(
        f"{record.name}  number {record.number}, {found['state']}, opened {found['opened']} by {record.operator}"
    )
    if record.why:
        click.echo(f"  {record.why}")
    click.echo()
    columns = [Column("asset"), Column("available", right=True), Column("held", right=True)]
    print_table(columns, [[each["asset"], each["available"], each["held"]] for each in balances])
    click.echo()
    columns = [Column("key"), Column("type"), Column("may"), Column("state"), Column("added")]
    rows = [
        [each["key"], each["type"], ", ".join(each["permissions"]), each["state"], each["added"]]
        for each in found["keys"]
    ]
    print_table(columns, rows)


def _balances(client: Store, listing: Listing, number: int) -> tuple[EntryId, list[dict[str, str]]]:
    """What the account has of each asset, and after which entry of the journal."""
    try:
        settled, rows = balances_of(LedgerStore(client), number, listing.assets)
    except NotSettled as error:
        fail(EXIT_UNREACHABLE, f"{error}")
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
        "state": "revoked" if key.is_revoked else "active",
        "added": time_text(key.added_us),
    }


def permission_names(permissions: int) -> list[str]:
    """
    >>> permission_names(Permission.READ | Permission.TRADE)
    ['read', 'trade']
    """
    return [permission.name.lower() for permission in Permission if permissions & permission]


# -- key


@account.command()
@click.argument("name")
@click.option("--type", "type_name", type=click.Choice(list(KEY_TYPES)), help="How the client will sign.")
@click.option(
    "--public-key",
    "public_key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file with the client's own ed25519 public key. Without it a pair of keys is made.",
)
@click.option("--may", type=click.Choice(list(PERMISSIONS)), default="trade", show_default=True, help="What it allows.")
@click.option("--revoke", "revoked_id", metavar="KEY", help="Revoke this key instead of making one.")
@data_option
@json_option
@who_and_why(why_required=False)
def key(
    name: str,
    type_name: str | None,
    public_key_file: Path | None,
    may: str,
    revoked_id: str | None,
    data_dir: Path,
    as_json: bool,
    who: str,
    why: str,
) -> None:
    """Give an account an API key, or revoke one.

    What is secret, an hmac secret or a private key made here, is shown this once and cannot be shown again. hmac keys
    sign each request; ed25519 keys may also log on a session.

    \b
      jibek account key alice --type hmac --json
      jibek account key alice --type ed25519 --public-key alice.pem
      jibek account key alice --revoke 6f1d…
    """
    if (type_name is None) == (revoked_id is None):
        raise click.UsageError("say either --type or --revoke.")
    if public_key_file is not None and type_name != "ed25519":
        raise click.UsageError("--public-key goes with --type ed25519.")
    public_key = None if public_key_file is None else read_public_key(public_key_file)
    address, client, directory = open_directory(data_dir)
    record = find_account(directory, name)
    if revoked_id is not None:
        _revoke_key(client, record, revoked_id, who=who, why=why)
        result: dict[str, Any] = {"account": name, "key": revoked_id, "state": "revoked"}
    else:
        assert type_name is not None
        add = KeyAdder(client, record, PERMISSIONS[may], who, why)
        made = add.hmac(address.data_dir) if type_name == "hmac" else add.ed25519(public_key)
        result = {"account": name, "type": type_name, "permissions": permission_names(PERMISSIONS[may])}
        result |= made | {"urls": urls(address.host, address.port)}
    if as_json:
        print_json(result)
    else:
        _print_key(result)


def _print_key(result: dict[str, Any]) -> None:
    for title, value in result.items():
        if isinstance(value, dict):
            for name, url in value.items():
                click.echo(f"{name:12} {url}")
        elif isinstance(value, list):
            click.echo(f"{title:12} {', '.join(value)}")
        else:
            click.echo(f"{title:12}" + ("\n" if "\n" in value else " ") + value.rstrip())


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of an ed25519 public key in a PEM file.

    Raises:
        click.UsageError: the file holds none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        loaded = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm, OSError):
        raise click.UsageError(f"{path} holds no public key in PEM.") from None
    if not isinstance(loaded, Ed25519PublicKey):
        raise click.UsageError(f"{path} holds a public key that is not ed25519.")
    return loaded.public_bytes_raw()


def new_key_id() -> str:
    """A key id of 64 hexadecimal digits, drawn at random."""
    return secrets.token_hex(32)


@dataclass(frozen=True)
class KeyAdder:
    """Adds a key to an account and returns what the client must be given."""

    client: Store
    account: AccountRecord
    permissions: int
    who: str
    why: str

    def hmac(self, data_dir: Path) -> dict[str, str]:
        """Seals a new secret into the store and then adds the key: a key without its secret could not be used."""
        from gateway.auth.secrets import SECRETS_KEY, SecretError, load_secret_key, seal

        key_id, secret = new_key_id(), secrets.token_hex(32)
        try:
            sealed = seal(load_secret_key(data_dir), key_id, secret.encode())
        except SecretError as error:
            fail(EXIT_REFUSED, f"{error}.")
        with store_errors():
            self.client.hset(SECRETS_KEY, key_id, sealed)
        try:
            self._add(key_id, KeyType.HMAC_SHA256, b"")
        except Failure as failure:
            # Where no answer came, the key may have been added after all, and needs its secret.
            if failure.exit_code == EXIT_REFUSED:
                self.client.hdel(SECRETS_KEY, key_id)
            raise
        return {"key": key_id, "secret": secret}

    def ed25519(self, public_key: bytes | None) -> dict[str, str]:
        """Adds the client's public key, or that of a pair made here, whose private half is kept nowhere."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key_id = new_key_id()
        if public_key is not None:
            self._add(key_id, KeyType.ED25519, public_key)
            return {"key": key_id}
        private_key = Ed25519PrivateKey.generate()
        self._add(key_id, KeyType.ED25519, private_key.public_key().public_bytes_raw())
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {"key": key_id, "private_key": pem.decode()}

    def _add(self, key_id: str, key_type: KeyType, public_key: bytes) -> None:
        definition = KEY_DEFINITION.pack(KeyDefinition(key_type, self.permissions))
        command = Command(kind=CommandKind.KEY_ADD, account=self.account.number)
        execute(self.client, command, definition, key_id.encode(), public_key, who=self.who, why=self.why)


def _revoke_key(client: Store, record: AccountRecord, key_id: str, *, who: str, why: str) -> None:
    """Revokes a key, and then deletes its secret where it has one."""
    from gateway.auth.secrets import SECRETS_KEY

    command = Command(kind=CommandKind.KEY_REVOKE, account=record.number)
    execute(client, command, key_id.encode(), who=who, why=why)
    with store_errors():
        client.hdel(SECRETS_KEY, key_id)


# -- freeze and unfreeze


@account.command()
@click.argument("name")
@data_option
@json_option
@who_and_why(why_required=False)
def freeze(name: str, data_dir: Path, as_json: bool, who: str, why: str) -> None:
    """Freeze an account: its open orders are cancelled, and it can place none.

    \b
      jibek account freeze alice --why "court order 17"
    """
    _set_frozen(CommandKind.ACCOUNT_FREEZE, name, data_dir, as_json, who, why)


@account.command()
@click.argument("name")
@data_option
@json_option
@who_and_why(why_required=False)
def unfreeze(name: str, data_dir: Path, as_json: bool, who: str, why: str) -> None:
    """Lift the freeze of an account.

    \b
      jibek account unfreeze alice --why "order 17 withdrawn"
    """
    _set_frozen(CommandKind.ACCOUNT_UNFREEZE, name, data_dir, as_json, who, why)


def _set_frozen(kind: CommandKind, name: str, data_dir: Path, as_json: bool, who: str, why: str) -> None:
    _, client, directory = open_directory(data_dir)
    record = find_account(directory, name)
    execute(client, Command(kind=kind, account=record.number), who=who, why=why)
    state = "frozen" if kind == CommandKind.ACCOUNT_FREEZE else "active"
    if as_json:
        print_json({"account": name, "state": state})
    else:
        click.echo(f"Account {name} is {state}.")
