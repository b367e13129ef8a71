"""What an operator opens for the clients of a world: accounts with money, and keys that sign their requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.decimals import parse_decimal
from engine.reasons import Reason
from engine.records import (
    KEY_DEFINITION,
    BatchBuilder,
    Command,
    CommandKind,
    Event,
    EventEntry,
    EventKind,
    KeyDefinition,
    KeyType,
    Permission,
)
from engine.venue_file import load_venue

SCALES = {asset.name: asset.scale for asset in load_venue().assets}
ASSETS = {asset.name: asset.number for asset in load_venue().assets}
MARKETS = {symbol: number for number, (symbol, _) in enumerate(load_venue().markets, start=1)}
TRADER = Permission.READ | Permission.TRADE
BY_TEST = (b"test", b"test", b"")
"""Who and why, the last two parts of each command of an operator."""


@dataclass(frozen=True)
class HmacKey:
    id: str
    secret: str

    def sign(self, payload: str) -> str:
        return hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Ed25519Key:
    id: str
    private_key: Ed25519PrivateKey

    def sign(self, payload: str) -> str:
        return base64.b64encode(self.private_key.sign(payload.encode())).decode()


class OperatedVenue(ABC):
    """A venue whose operator opens accounts and keys through the journal, as the command line does."""

    def __init__(self) -> None:
        self._names = itertools.count(1)

    @abstractmethod
    def operate(self, builder: BatchBuilder) -> EventEntry:
        """Executes a batch of the operator."""

    @abstractmethod
    def keep_secret(self, key: HmacKey) -> None:
        """Puts the secret of a key where the gateway finds it."""

    def command(self, command: Command, *parts: bytes) -> Event:
        """Executes one command in an entry of its own; the event that answers it.

        Raises:
            AssertionError: the engine rejected the command; the text names the reason.
        """
        builder = BatchBuilder()
        builder.add(command, *parts)
        event = next(iter(self.operate(builder)))
        assert event.kind != EventKind.REJECTED, Reason(event.reason)
        return event

    def account(self, **deposits: str) -> int:
        """Opens an account with these amounts, such as `BTC="0.5"`; its number."""
        name = f"client{next(self._names)}"
        account = self.command(Command(kind=CommandKind.ACCOUNT_ADD), name.encode(), *BY_TEST).account
        for asset, amount in deposits.items():
            self.deposit(account, asset, amount)
        return account

    def deposit(self, account: int, asset: str, amount: str) -> None:
        units = parse_decimal(amount, SCALES[asset])
        self.command(Command(kind=CommandKind.DEPOSIT, account=account, asset=ASSETS[asset], amount=units), *BY_TEST)

    def hmac_key(self, account: int, permissions: int = TRADER, **limits: Any) -> HmacKey:
        """A new key; `limits` are its `expiry_us` and its `networks`, packed."""
        key = HmacKey(f"hmac{next(self._names)}", os.urandom(16).hex())
        self.add_hmac_key(account, key, permissions, **limits)
        return key

    def add_hmac_key(self, account: int, key: HmacKey, permissions: int = TRADER, **limits: Any) -> None:
        self.keep_secret(key)
        self._add_key(account, key.id, KeyDefinition(KeyType.HMAC_SHA256, permissions), b"", **limits)

    def ed25519_key(self, account: int, permissions: int = TRADER, **limits: Any) -> Ed25519Key:
        """A new key; `limits` are its `expiry_us` and its `networks`, packed."""
        key = Ed25519Key(f"ed{next(self._names)}", Ed25519PrivateKey.generate())
        self.add_ed25519_key(account, key, permissions, **limits)
        return key

    def add_ed25519_key(self, account: int, key: Ed25519Key, permissions: int = TRADER, **limits: Any) -> None:
        public_key = key.private_key.public_key().public_bytes_raw()
        self._add_key(account, key.id, KeyDefinition(KeyType.ED25519, permissions), public_key, **limits)

    def _add_key(
        self,
        account: int,
        key_id: str,
        definition: KeyDefinition,
        public_key: bytes,
        *,
        expiry_us: int = 0,
        networks: bytes = b"",
    ) -> None:
        packed = KEY_DEFINITION.pack(definition._replace(expiry_us=expiry_us))
        parts = (packed, key_id.encode(), public_key, networks, *BY_TEST)
        self.command(Command(kind=CommandKind.KEY_ADD, account=account), *parts)
