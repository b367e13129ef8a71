"""API keys: whose they are, what they allow, from where and until when, and what they have signed.

Keys come from the events; the secret of an HMAC key is fetched from the store when it is first needed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engine.networks import Networks, allows
from engine.reasons import Reason
from engine.records import KeyDefinition, KeyType, Permission
from gateway.dialect.rejects import Rejected
from gateway.limits import API_KEY_CHARACTERS_MAX
from gateway.view.accounts import Account

NEVER_MS = 1 << 63
"""When a key expires that does not expire."""


class KeyHolder(Protocol):
    """A session that is logged on with a key."""

    def key_revoked(self) -> None:
        """Logs the session off, and says so to the client."""


class Key:
    """An API key."""

    __slots__ = (
        "account",
        "definition",
        "expires_ms",
        "id",
        "is_hmac",
        "may_trade",
        "networks",
        "public_key",
        "secret",
        "sessions",
        "verifier",
        "waiting",
    )

    def __init__(
        self, id: str, account: Account, definition: KeyDefinition, public_key: bytes, networks: Networks = ()
    ) -> None:
        self.id = id
        self.account = account
        self.definition = definition
        self.public_key = public_key
        self.networks = networks
        self.expires_ms = definition.expiry_us // 1000 if definition.expiry_us else NEVER_MS
        """From when on it is refused."""
        self.verifier: Ed25519PublicKey | None = None
        self.secret: bytes | None = None
        self.is_hmac = definition.key_type == KeyType.HMAC_SHA256
        self.may_trade = self.may(Permission.TRADE)
        self.sessions: dict[KeyHolder, None] = {}
        """Sessions that are logged on with this key."""
        self.waiting: list[Any] = []
        """Sessions whose next request waits for the secret to be fetched."""

    def may(self, permission: int) -> bool:
        """Whether the key has this permission."""
        return bool(self.definition.permissions & permission)

    def check_use(self, ip: str, now_ms: int) -> None:
        """Judges a use of the key, from this address at this time. Raises Rejected if it has expired or is used from elsewhere.
        Cost: 0.1 µs, and what `engine.networks.allows` costs where it has networks."""
        if now_ms >= self.expires_ms or not allows(self.networks, ip):
            raise Rejected(Reason.UNAUTHORIZED)

    def signature_bytes(self, signature: str) -> bytes:
        """The bytes of a signature that verifies, however it is written (hex in either case, base64 with any spare bits)."""
        return bytes.fromhex(signature) if self.is_hmac else base64.b64decode(signature)

    def verifies(self, payload: str, signature: str) -> bool:
        """Whether `signature` is this key's over `payload`. Cost: 2 µs for HMAC, 100 µs for Ed25519."""
        if self.is_hmac:
            assert self.secret is not None
            expected = hmac.digest(self.secret, payload.encode(), hashlib.sha256).hex()
            return hmac.compare_digest(expected.encode(), signature.lower().encode())
        if self.verifier is None:
            self.verifier = Ed25519PublicKey.from_public_bytes(self.public_key)
        try:
            self.verifier.verify(base64.b64decode(signature, validate=True), payload.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class UnknownKey(Rejected):
    """No such key: it was revoked, never existed, or is so new that its event has not come yet."""

    def __init__(self) -> None:
        super().__init__(Reason.UNAUTHORIZED)


class Keys:
    """All API keys of the venue, by id.

    Args:
        end_subscriptions: ends what follows an account's events with a key: takes account, key id and the time in µs.
    """

    def __init__(self, end_subscriptions: Callable[[Account, str, int], None]) -> None:
        self._keys: dict[str, Key] = {}
        self._expiries: list[tuple[int, str]] = []
        """A heap of (expires_ms, key id) of the keys that will expire, revoked ones among them."""
        self._looked_us = 0
        """The time of the last look for expired keys."""
        self._end_subscriptions = end_subscriptions

    def key_added(
        self, key_id: str, account: Account, definition: KeyDefinition, public_key: bytes, networks: Networks
    ) -> None:
        """Takes in a key that the events have added. Its secret, if it has one, is fetched when it is first needed."""
        key = self._keys[key_id] = Key(key_id, account, definition, public_key, networks)
        if key.expires_ms != NEVER_MS:
            heappush(self._expiries, (key.expires_ms, key_id))

    def key_revoked(self, key_id: str, time_us: int) -> None:
        """Forgets a key: ends its subscriptions, and logs off the sessions that use it."""
        key = self._keys.pop(key_id, None)
        if key is not None:
            self._end_use(key, time_us)

    def end_expired(self, time_us: int) -> None:
        """Ends the subscriptions and sessions of keys that have expired by now. Cost: O(log keys) for each of those; O(keys)
        if the clock was set back since the last call, because keys may then be valid again that had expired."""
        if time_us < self._looked_us:
            self._expiries = [(key.expires_ms, key.id) for key in self._keys.values() if key.expires_ms != NEVER_MS]
            heapify(self._expiries)
        self._looked_us = time_us
        while self._expiries and self._expiries[0][0] * 1000 <= time_us:
            expires_ms, key_id = heappop(self._expiries)
            key = self._keys.get(key_id)
            # A key that was revoked and added again may have another expiry.
            if key is not None and key.expires_ms == expires_ms:
                self._end_use(key, time_us)

    def _end_use(self, key: Key, time_us: int) -> None:
        self._end_subscriptions(key.account, key.id, time_us)
        for session in list(key.sessions):
            session.key_revoked()

    def get(self, key_id: str) -> Key | None:
        """The key of this id; None if there is none."""
        return self._keys.get(key_id)

    def find(self, key_id: str) -> Key:
        """The key of this id.

        Raises:
            UnknownKey: there is none.
            Rejected: INVALID_API_KEY_FORMAT: no key can have this id.
        """
        key = self._keys.get(key_id)
        if key is not None:
            return key
        if key_id.isascii() and key_id.isalnum() and len(key_id) <= API_KEY_CHARACTERS_MAX:
            raise UnknownKey
        raise Rejected(Reason.INVALID_API_KEY_FORMAT)
