"""The store: connecting to it, the settings and functions that it must have, its keys, and the epoch.

The store is Valkey 9, or Redis 7 or newer; its writes are the server-side functions of `journal.lua`.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from engine.definitions import RULES_VERSION
from engine.journal.chain import GENESIS_HEAD, UnreadableReply, excerpt
from engine.journal.ids import BEGINNING, EntryId
from engine.journal.store_socket import CheckedSocketConnection
from engine.journal.store_url import check_store_url
from engine.producers import VENUE_PRODUCER
from engine.records import BATCH_HEADER, EPOCH_START, BatchBuilder, Command, CommandKind, EpochStart

Store = Any
"""A `redis.Redis` that answers in bytes. Its stubs name unions that no caller can use, so it is not typed further."""

EPOCH_KEY = "{jibek}:epoch"
JOURNAL_KEY = "{jibek}:journal"
EVENTS_KEY = "{jibek}:events"
PUBLISHED_KEY = "{jibek}:published"
PRODUCERS_KEY = "{jibek}:producers"
"""Hash: producer -> incarnation, number and id of its last batch."""
INCARNATION_KEY = "{jibek}:incarnation"
"""The last incarnation that was drawn."""

LIBRARY_NAME = "jibek_journal"


class StoreRefused(Exception):
    """The store is not fit to hold a venue; the text names the setting and its value."""


def connect(url: str, *, timeout_s: float | None = 15.0) -> Store:
    """A connection to the store at `url` (`unix:///path`, `redis://host:port/0`), bytes in and bytes out.

    `timeout_s` bounds each answer; a blocking read must block for less. A lost connection raises at once: a caller that can
    wait for the store has a back-off of its own. So does one to an embedded store that is another user's.

    Raises:
        BadStoreUrl: the URL names no store.
    """
    check_store_url(url)
    retry = Retry(NoBackoff(), 0)
    client = redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=5.0, retry=retry)
    pool = client.connection_pool
    if pool.connection_class is redis.UnixDomainSocketConnection:
        pool.connection_class = CheckedSocketConnection
    return client


def own_connection(client: Store) -> Any:
    """A connection of the caller's own, to be ended by `disconnect`.

    It does not come from the client's pool. The pool counts every connection it ever made, gives no more after 100, and
    calls that a lost connection: a caller that makes a new one after each loss would wait for ever for a store that is there.

    Raises:
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    pool = client.connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)
    connection.connect()
    return connection


REQUIRED_SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
}
"""Setting -> the only value with which a store keeps all that it has acknowledged."""


def settings_call() -> tuple[Any, ...]:
    """Arguments of `execute_command` that ask for the settings; the answer is for `check_answered_settings`."""
    return ("CONFIG", "GET", *REQUIRED_SETTINGS, "maxmemory")


def check_answered_settings(answer: Any) -> None:
    """Judges the answer to `settings_call`, as a list of names and values or as a mapping, in bytes or as text.

    Raises:
        StoreRefused: one of the settings is unsafe; the text names it, its value, and the value it must have.
        UnreadableReply: it is no answer to that call.
    """
    try:
        pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
        values = {_text(name): _text(value) for name, value in pairs}
        is_limited = int(values.get("maxmemory", "0")) > 0
    except (TypeError, ValueError, AttributeError):
        raise UnreadableReply(f"the store answered {excerpt(answer)}, which is no list of settings") from None
    for name, wanted in REQUIRED_SETTINGS.items():
        if values.get(name) != wanted:
            raise StoreRefused(
                f"the store has `{name} {values.get(name)}`, and Jibek needs `{name} {wanted}`: run `CONFIG SET {name} {wanted}` there, and "
                "put it into its configuration"
            )
    if not is_limited:
        raise StoreRefused(
            "the store has no `maxmemory`, so that a full store would be killed instead of refusing: run `CONFIG SET maxmemory 8gb`, "
            "or what the machine has for it, and put it into its configuration"
        )


def log_call() -> tuple[Any, ...]:
    """Arguments of `execute_command` that ask how the store's log is; the answer is for `check_answered_log`."""
    return ("INFO", "persistence")


def check_answered_log(answer: Any) -> None:
    """Judges the answer to `log_call` after `appendonly` was switched on: what the store takes is kept only once it has
    written its whole log.

    Raises:
        StoreRefused: it has not yet.
    """
    text = _text(answer)
    if "aof_rewrite_in_progress:1" in text or "aof_rewrite_scheduled:1" in text:
        raise StoreRefused("the store is writing its log, and keeps nothing before it has")


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def check_settings(client: Store) -> None:
    """Refuses a store that could lose or drop what it was given. Cost: one round trip.

    Raises:
        StoreRefused: one of the settings is unsafe; the text names it, its value, and the value it must have.
    """
    check_answered_settings(client.execute_command(*settings_call()))


def library_code(package: str, name: str) -> str:
    """The text of a packaged library of server-side functions."""
    return (files(package) / name).read_text()


def ensure_functions(client: Store, name: str, code: str) -> None:
    """Loads the library `name` if the store has none of that name; refuses a store that has another text under it.

    Raises:
        StoreRefused: the loaded text differs from `code`: functions move money, they are never replaced in silence. Or the
            store is full, and has none yet.
    """
    loaded = client.function_list(library=name, withcode=True)
    if not loaded:
        try:
            client.function_load(code)
            return
        except redis.OutOfMemoryError:
            raise StoreRefused(
                f"the store is full and has no functions `{name}` yet: raise its `maxmemory`, or `jibek up --store-memory`"
            ) from None
        except redis.ResponseError:
            # Another process has loaded them since; whether they are ours is judged as for any that were there.
            loaded = client.function_list(library=name, withcode=True)
            if not loaded:
                raise
    fields = dict(zip(loaded[0][::2], loaded[0][1::2], strict=True)) if isinstance(loaded[0], list) else loaded[0]
    if fields[b"library_code"] != code.encode():
        raise StoreRefused(f"the functions `{name}` in the store are not those of this version")


def prepare_store(client: Store) -> None:
    """What every process does first: checks the settings and the functions.

    Raises:
        StoreRefused: see `check_settings` and `ensure_functions`.
    """
    check_settings(client)
    ensure_functions(client, LIBRARY_NAME, library_code("engine.journal", "journal.lua"))


def current_epoch(client: Store) -> int:
    """The epoch in force; 0 in a store without a venue.

    Raises:
        UnreadableReply: what is stored is no epoch.
    """
    return stored_number(client.get(EPOCH_KEY))


def stored_number(answer: Any) -> int:
    """A number as it is stored; 0 for none. Raises UnreadableReply if it is no number."""
    if answer is None:
        return 0
    if type(answer) is not bytes or not answer.isdigit():
        raise UnreadableReply(f"the store has {excerpt(answer)} where a number should be")
    return int(answer)


class ProducerRow(NamedTuple):
    """What the table of producers says of one of them."""

    producer: int
    incarnation: int
    number: int
    """Of its last batch under this incarnation; 0 for none yet."""
    last_id: EntryId
    """Of its last batch under any incarnation; 0-0 for none."""

    @classmethod
    def parse(cls, producer: bytes, value: bytes) -> ProducerRow:
        """
        >>> ProducerRow.parse(b"16", b"7 2 1-20").number
        2

        Raises:
            UnreadableReply: this is no row.
        """
        try:
            incarnation, number, last_id = value.split(b" ")
            return cls(stored_number(producer), stored_number(incarnation), stored_number(number), answered_id(last_id))
        except (ValueError, AttributeError):
            raise UnreadableReply(
                f"the store has {excerpt(value)} as the row of producer {excerpt(producer)}"
            ) from None


def published_call() -> tuple[Any, ...]:
    """Arguments of `execute_command` that ask how far the events go; the answer is for `published_id`."""
    return ("GET", PUBLISHED_KEY)


def published_id(answer: Any) -> EntryId:
    """The last event entry, from the answer to `published_call`; BEGINNING for none.

    Raises:
        UnreadableReply: the answer is no id.
    """
    return BEGINNING if answer is None else answered_id(answer)


def appended_call() -> tuple[Any, ...]:
    """Arguments of `execute_command` that ask how far the journal goes; the answer is for `appended_id`. Cost: O(producers)."""
    return ("HVALS", PRODUCERS_KEY)


def appended_id(answer: Any) -> EntryId:
    """The last journal entry, from the answer to `appended_call`; BEGINNING for none.

    Raises:
        UnreadableReply: the answer is no list of the producers' entries.
    """
    if type(answer) is not list or not all(type(entry) is bytes for entry in answer):
        raise UnreadableReply(f"the store answered {excerpt(answer)}, which is no list of producers")
    return max((answered_id(entry.rpartition(b" ")[2]) for entry in answer), default=BEGINNING)


def answered_id(answer: Any) -> EntryId:
    """The id that the store has answered. Raises UnreadableReply if it is none."""
    try:
        return EntryId.parse(answer)
    except (ValueError, AttributeError):
        raise UnreadableReply(f"the store answered {excerpt(answer)}, which is no id of an entry") from None


def store_time_us(client: Store) -> int:
    """What the store's clock says, microseconds since 1970 UTC. It stamps the journal. Cost: one round trip."""
    seconds, microseconds = client.time()
    return int(seconds * 1_000_000 + microseconds)


def start_venue(client: Store) -> None:
    """Writes the first epoch-start entry into a store without a venue; does nothing if there is one."""
    if current_epoch(client) != 0:
        return
    builder = BatchBuilder()
    start = EpochStart(previous_head=GENESIS_HEAD, rules_version=RULES_VERSION)
    builder.add(Command(kind=CommandKind.EPOCH_START), EPOCH_START.pack(start))
    record = builder.build(producer=VENUE_PRODUCER, incarnation=1, number=1)
    client.execute_command(*advance_epoch_call(0, 1, record, BEGINNING))


def advance_epoch_call(old: int, new: int, record: bytes, last: EntryId) -> tuple[Any, ...]:
    """Arguments of `execute_command` that end the epoch `old` and begin `new` with the epoch-start batch `record`.

    Args:
        last: the id of the last journal entry, which the record names; BEGINNING for a new venue (`old` is 0).
    """
    header = BATCH_HEADER.unpack_from(record)
    keys = (EPOCH_KEY, JOURNAL_KEY, PRODUCERS_KEY, INCARNATION_KEY)
    sender = (str(header.producer), str(header.incarnation), str(header.number))
    return ("FCALL", "jibek_advance_epoch", len(keys), *keys, str(old), str(new), record, str(last), *sender)
