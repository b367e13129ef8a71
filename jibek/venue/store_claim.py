"""One `jibek up` at a time on a store: a connection with a name says that there is one.

The lock of the data folder keeps two venues out of one folder. A store of the operator's own can be named by the venues of
two folders; then two gateways would take one producer's number from each other, and clients would be served from two sets of
secrets. Nothing is written to the store for this: the claim ends with the connection, so no start after a crash finds a
claim of the dead.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import redis

from engine.journal import connect, own_connection

CLAIM_PREFIX = "jibek-up:"
ANSWER_TIMEOUT_S = 1.0
"""The supervisor waits so long at most, and only once in `RETRY_S`: it has children to watch."""
RETRY_S = 5.0
_HOST_CHARACTERS_MAX = 64


class StoreClaimed(Exception):
    """Another `jibek up` uses the store; the text names it."""


class StoreClaim:
    """The claim of this process on the store at `url`; call `keep` again and again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._retry_at_s = 0.0

    def keep(self) -> None:
        """Takes the claim, or takes it again if its connection has ended. Does nothing more while the store is away.

        Raises:
            StoreClaimed: another process has had one for longer.
        """
        if self._connection is not None and not _has_ended(self._connection):
            return
        self.give_up()
        if time.monotonic() < self._retry_at_s:
            return
        self._retry_at_s = time.monotonic() + RETRY_S
        client = connect(self._url, timeout_s=ANSWER_TIMEOUT_S)
        client.connection_pool.connection_kwargs["socket_connect_timeout"] = ANSWER_TIMEOUT_S
        try:
            connection = own_connection(client)
        except (redis.ConnectionError, redis.TimeoutError):
            return
        finally:
            client.close()
        try:
            self._take(connection)
        except (redis.ConnectionError, redis.TimeoutError):
            connection.disconnect()
        except BaseException:
            connection.disconnect()
            raise
        else:
            self._connection, self._retry_at_s = connection, 0.0

    def _take(self, connection: Any) -> None:
        """First the name, then the look at the others: of two who come at once, each sees the other, and the one whom the
        store has numbered first stays."""
        _ask(connection, "CLIENT", "SETNAME", f"{CLAIM_PREFIX}{os.getpid()}@{_host_name()}")
        own_id = int(_ask(connection, "CLIENT", "ID"))
        for client in _ask(connection, "CLIENT", "LIST", "TYPE", "NORMAL").decode(errors="replace").splitlines():
            facts = dict(fact.partition("=")[::2] for fact in client.split(" "))
            if facts.get("name", "").startswith(CLAIM_PREFIX) and int(facts["id"]) < own_id:
                pid, _, host = facts["name"].removeprefix(CLAIM_PREFIX).partition("@")
                raise StoreClaimed(
                    f"Another venue runs on this store: `jibek up`, process {pid} on {host}, with a data folder of its own. "
                    "One store holds one venue: stop that one, or name another store"
                )

    def give_up(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None


def _ask(connection: Any, *call: str) -> Any:
    connection.send_command(*call)
    return connection.read_response()


def _has_ended(connection: Any) -> bool:
    """Whether the store has ended the connection: nothing was asked, so there is nothing else to read."""
    try:
        return bool(connection.can_read(timeout=0))
    except (redis.ConnectionError, redis.TimeoutError, OSError):
        return True


def _host_name() -> str:
    """The machine's name in the characters that the name of a connection may have."""
    return "".join(character for character in socket.gethostname() if "!" <= character <= "~")[:_HOST_CHARACTERS_MAX]
