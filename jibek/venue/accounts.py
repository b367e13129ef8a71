"""Opening accounts and giving them API keys: what `jibek account` does, and what demo, load and replay do for themselves."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.journal import Store
from engine.listing import Asset
from engine.process import EXIT_REFUSED
from engine.records import KEY_DEFINITION, Command, CommandKind, KeyDefinition, KeyType, Permission
from jibek.console.changes import execute
from jibek.console.failure import Failure, fail, store_errors
from jibek.venue.directory import AccountRecord, read_directory
from jibek.venue.tiers import LOAD_TIER, define_load_tier, put_into_tier

PERMISSIONS = {"read": Permission.READ, "trade": Permission.READ | Permission.TRADE}

Deposits = Sequence[tuple[Asset, int]]
"""Amounts in smallest units of their asset."""


def open_account(client: Store, name: str, deposits: Deposits, *, who: str, why: str) -> int:
    """Opens an account, credits the deposits, and returns the account's number.

    Raises:
        Failure: exit code 1 if the engine refuses a part of it, 3 if no answer comes.
    """
    _, added = execute(client, Command(kind=CommandKind.ACCOUNT_ADD), name.encode(), who=who, why=why)
    for asset, amount in deposits:
        command = Command(kind=CommandKind.DEPOSIT, account=added.account, asset=asset.number, amount=amount)
        execute(client, command, who=who, why=why)
    return added.account


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
            number = open_account(client, name, amounts, who=who, why=why)
            put_into_tier(client, number, LOAD_TIER, who=who, why=why)
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

    def hmac(self, data_dir: Path) -> dict[str, str]:
        """Seals a new secret into the store and then adds the key: a key without its secret could not be used.

        Raises:
            Failure: the data folder has no usable secret.key, or the engine refuses the key.
        """
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
            # If no answer came, the key may have been added after all, and then it needs its secret.
            if failure.exit_code == EXIT_REFUSED:
                self.client.hdel(SECRETS_KEY, key_id)
            raise
        return {"key": key_id, "secret": secret}

    def ed25519(self, public_key: bytes | None) -> dict[str, str]:
        """Adds the client's public key of 32 bytes, or makes a pair of keys, whose private half is stored nowhere.

        Raises:
            Failure: the engine refuses the key.
        """
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
        definition = KEY_DEFINITION.pack(KeyDefinition(key_type, self.permissions, self.expiry_us))
        command = Command(kind=CommandKind.KEY_ADD, account=self.account.number)
        parts = (definition, key_id.encode(), public_key, self.networks)
        execute(self.client, command, *parts, who=self.who, why=self.why)


def new_key_id() -> str:
    """A key id of 64 hexadecimal digits, drawn at random."""
    return secrets.token_hex(32)


def revoke_key(client: Store, account: AccountRecord, key_id: str, *, who: str, why: str) -> None:
    """Revokes a key, and then deletes its secret if it has one.

    Raises:
        Failure: exit code 1 if the account has no such key, 3 if no answer comes.
    """
    from gateway.auth.secrets import SECRETS_KEY

    command = Command(kind=CommandKind.KEY_REVOKE, account=account.number)
    execute(client, command, key_id.encode(), who=who, why=why)
    with store_errors():
        client.hdel(SECRETS_KEY, key_id)
