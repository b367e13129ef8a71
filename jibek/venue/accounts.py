"""Opening accounts and giving them API keys: what `jibek account` does, and what demo, load and replay do for themselves."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from engine.journal import BEGINNING, Producer, Store, StoreTimeout, check_settings, first_event
from engine.listing import Asset
from engine.process import EXIT_REFUSED, EXIT_USAGE
from engine.records import (
    KEY_DEFINITION,
    BatchBuilder,
    Command,
    CommandKind,
    EventKind,
    KeyDefinition,
    KeyType,
    Permission,
)
from jibek.console.changes import Rejected, execute, reason_text, send, signature
from jibek.console.failure import fail, store_errors
from jibek.console.output import print_line
from jibek.venue.directory import AccountRecord, read_directory
from jibek.venue.tiers import LOAD_TIER, define_load_tier

PERMISSIONS = {"read": Permission.READ, "trade": Permission.READ | Permission.TRADE}

Deposits = Sequence[tuple[Asset, int]]
"""Amounts in smallest units of their asset."""
Show = Callable[[dict[str, str]], None] | None
"""Receives a new key with its secret before it counts. It returns once they are where they will be found."""


class AccountBatch(BatchBuilder):
    """Opens an account, pays in and sets the tier in one entry, so that a command that is killed has done all of it or nothing.

    The batch names the account by the number that it will get. Every account is opened in the name of OPERATOR_PRODUCER, and the
    store takes a batch only while no one else has opened that producer since. So once the last batch of the one before is answered,
    no account can come in between, and the next number is known. A batch that comes too late is refused and built again.
    """

    def __init__(
        self, client: Store, data_dir: Path, name: str, deposits: Deposits, tier: str | None, signature: Sequence[bytes]
    ) -> None:
        super().__init__()
        self._client, self._data_dir = client, data_dir
        self._name, self._deposits, self._tier = name, deposits, tier
        self._signature = signature
        check_settings(client)
        self.producer = Producer(client)
        self.account = 0
        """The number of the account, once the batch was built."""
        self._fill()

    def build(self, *, producer: int, incarnation: int, number: int) -> bytes:
        last_id = self.producer.last_id
        if last_id != BEGINNING:
            try:
                self.producer.wait_for(last_id)
            except StoreTimeout:
                raise StoreTimeout(
                    f"Nothing of this command was sent: the engine has not answered {last_id}, an earlier command, which comes "
                    "first. Is the engine running? See `jibek status`."
                ) from None
        self.account = len(read_directory(self._client, self._data_dir).accounts) + 1
        self._fill()
        return super().build(producer=producer, incarnation=incarnation, number=number)

    def _fill(self) -> None:
        """
        Raises:
            OverflowError: the deposits do not fit into one entry.
        """
        self.commands.clear()
        self.blobs.clear()
        self.add(Command(kind=CommandKind.ACCOUNT_ADD), self._name.encode(), *self._signature)
        if self._tier is not None:
            command = Command(kind=CommandKind.ACCOUNT_LIMITS_SET, account=self.account)
            self.add(command, self._tier.encode(), *self._signature)
        for asset, amount in self._deposits:
            command = Command(kind=CommandKind.DEPOSIT, account=self.account, asset=asset.number, amount=amount)
            self.add(command, *self._signature)


def open_account(
    client: Store, data_dir: Path, name: str, deposits: Deposits, *, who: str, why: str, tier: str | None = None
) -> int:
    """Opens an account, credits the deposits, puts it into the tier, and returns the account's number; all in one entry.

    Raises:
        Failure: exit code 1 if the engine refuses a part of it, and then the text says what was done; 2 if the deposits do not fit
            into one entry; 3 if no answer comes.
    """
    with store_errors():
        try:
            batch = AccountBatch(client, data_dir, name, deposits, tier, signature(who, why))
        except OverflowError:
            fail(EXIT_USAGE, "So many deposits do not fit into one entry: make the rest with `jibek ledger deposit`.")
        id, answer = send(batch.producer, batch)
    opened, *others = [first_event(answer, index) for index in range(len(batch))]
    if opened.kind == EventKind.REJECTED:
        fail(EXIT_REFUSED, reason_text(opened.reason))
    refused = [event for event in others if event.kind == EventKind.REJECTED]
    if refused:
        names = {asset.number: asset.name for asset, _ in deposits}
        places = ", ".join(names.get(event.asset, "tier") for event in refused)
        fail(
            EXIT_REFUSED,
            f"Account {name} is open, with number {opened.account}, but this was refused: {places}. {reason_text(refused[0].reason)}",
        )
    assert opened.account == batch.account, f"entry {id} has opened the account whose number it names"
    return opened.account


def open_trading_accounts(
    client: Store, data_dir: Path, deposits: Mapping[str, Deposits], *, hmac: bool, who: str, why: str
) -> list[dict[str, str]]:
    """Opens accounts by name, leaving out those that exist, in a tier that no run exhausts; and gives each a new key that
    may trade.

    Args:
        deposits: account name -> what it gets when it is opened.
        hmac: whether the keys are hmac keys, else ed25519.

    Returns:
        The keys in the order of the names, as `KeyAdder` gives them.
    """
    directory = read_directory(client, data_dir)
    define_load_tier(client, directory, who=who, why=why)
    for name, amounts in deposits.items():
        if name not in directory.account_by_name:
            open_account(client, data_dir, name, amounts, tier=LOAD_TIER, who=who, why=why)
    accounts = read_directory(client, data_dir).account_by_name
    adders = [KeyAdder(client, accounts[name], PERMISSIONS["trade"], who, why) for name in deposits]
    return [adder.hmac(data_dir) if hmac else adder.ed25519(None) for adder in adders]


@dataclass(frozen=True)
class KeyAdder:
    """Adds a key to an account and returns what its client needs: `key`, and `secret` or `private_key` if made here."""

    client: Store
    account: AccountRecord
    permissions: int
    """Permission bits, one of the values of `PERMISSIONS`."""
    who: str
    why: str
    expiry_us: int = 0
    """From when on gateways refuse it, microseconds since 1970 UTC; 0: never."""
    networks: bytes = b""
    """From where it may be used, as `engine.networks` packs it."""

    def hmac(self, data_dir: Path, *, show: Show = None) -> dict[str, str]:
        """Shows a new secret, seals it into the store, and then adds the key: a key without its secret could not be used.

        Raises:
            What `show` raises; then nothing was stored.
            Failure: the data folder has no usable secret.key, or another one than the store; or the engine refuses the key.
        """
        from gateway.auth.secrets import (
            SECRETS_KEY,
            SecretError,
            SecretKeyLost,
            check_secret_key,
            load_secret_key,
            seal,
        )

        key_id, secret = new_key_id(), secrets.token_hex(32)
        try:
            secret_key = load_secret_key(data_dir)
            with store_errors():
                # A secret that is sealed under another key would open nothing, and make that key look right.
                check_secret_key(self.client, secret_key)
        except SecretKeyLost as error:
            fail(EXIT_REFUSED, f"{error}: restore it from a backup before you stop the venue.")
        except SecretError as error:
            fail(EXIT_REFUSED, f"{error}.")
        sealed = seal(secret_key, key_id, secret.encode())
        made = {"key": key_id, "secret": secret}
        if show is not None:
            show(made)
        with store_errors():
            self.client.hset(SECRETS_KEY, key_id, sealed)
        try:
            self._add(key_id, KeyType.HMAC_SHA256, b"")
        except Rejected:
            # Only the engine's own word says that no key needs the secret. One that stays though no key has it opens nothing.
            with suppress(redis.RedisError):
                self.client.hdel(SECRETS_KEY, key_id)
            raise
        return made

    def ed25519(self, public_key: bytes | None, *, show: Show = None) -> dict[str, str]:
        """Adds the client's public key of 32 bytes, or makes a pair of keys, whose private half is shown before the key is added, and
        stored nowhere.

        Raises:
            What `show` raises; then nothing was stored.
            Failure: the engine refuses the key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key_id = new_key_id()
        if public_key is not None:
            self._add(key_id, KeyType.ED25519, public_key)
            return {"key": key_id}
        private_key = Ed25519PrivateKey.generate()
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        made = {"key": key_id, "private_key": pem.decode()}
        if show is not None:
            show(made)
        self._add(key_id, KeyType.ED25519, private_key.public_key().public_bytes_raw())
        return made

    def _add(self, key_id: str, key_type: KeyType, public_key: bytes) -> None:
        definition = KEY_DEFINITION.pack(KeyDefinition(key_type, self.permissions, self.expiry_us))
        command = Command(kind=CommandKind.KEY_ADD, account=self.account.number)
        parts = (definition, key_id.encode(), public_key, self.networks)
        execute(self.client, command, *parts, who=self.who, why=self.why)


def new_key_id() -> str:
    """A key id of 64 hexadecimal digits, drawn at random."""
    return secrets.token_hex(32)


def revoke_key(client: Store, account: AccountRecord, key_id: str, *, who: str, why: str) -> None:
    """Revokes a key, and then deletes its secret if it has one. Where that fails the key is revoked nevertheless, and a warning on
    standard error says so.

    Raises:
        Failure: exit code 1 if the account has no such key, 3 if no answer comes.
    """
    from gateway.auth.secrets import SECRETS_KEY

    command = Command(kind=CommandKind.KEY_REVOKE, account=account.number)
    execute(client, command, key_id.encode(), who=who, why=why)
    try:
        client.hdel(SECRETS_KEY, key_id)
    except redis.RedisError as error:
        print_line(
            f"The key is revoked. Its sealed secret, which opens nothing any more, could not be deleted: {error}.",
            err=True,
        )
