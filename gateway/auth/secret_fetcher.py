"""Fetches the secrets of HMAC keys from the store and opens their seals."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from engine.reasons import Reason
from gateway.auth.keys import Key
from gateway.auth.secrets import SECRETS_KEY, SecretError, unseal
from gateway.dialect.rejects import Reject

Ask = Callable[[tuple[Any, ...], Callable[[Any], None]], None]
Arrived = Callable[[Key, bytes | None, Reject], None]


class SecretFetcher:
    """Asks for one secret at a time and key.

    Args:
        ask: sends a call to the store; its answer, or a ConnectionError, is passed on later.
        secret_key: opens the seals.
    """

    def __init__(self, ask: Ask, secret_key: bytes, log: logging.Logger) -> None:
        self._ask = ask
        self._secret_key = secret_key
        self._log = log

    def fetch(self, key: Key, arrived: Arrived) -> None:
        """Calls `arrived`, later, with the key and its secret, or None and how to refuse who needs it."""
        self._ask(("HGET", SECRETS_KEY, key.id), lambda reply: arrived(key, *self._open(key, reply)))

    def _open(self, key: Key, reply: Any) -> tuple[bytes | None, Reject]:
        if reply is None:
            return None, Reject(Reason.UNAUTHORIZED)
        if isinstance(reply, bytes):
            try:
                return unseal(self._secret_key, key.id, reply), Reject(Reason.UNAUTHORIZED)
            except SecretError as error:
                self._log.error("a secret cannot be used: %s", error)
        return None, Reject(Reason.UNAVAILABLE)
