"""The two streams on the wire: the call that reads them, and the one parser of what comes back.

Nothing here waits or holds a connection, so blocking readers (`engine.journal.source`) and asynchronous ones (a gateway)
share it.

With `appendfsync always` the server answers no one, not even a blocked reader, before its writes are on disk. So
everything that is read is durable.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.journal.chain import ChainBroken, UnreadableReply, excerpt
from engine.journal.ids import EntryId, JournalEntry, PublishedEntry
from engine.journal.store import EVENTS_KEY, JOURNAL_KEY

StreamEntry = Any
"""One entry as a client library gives it: its id, and its fields as a dict or as a flat list of names and values."""


def read_call(keys: tuple[str, ...], after: EntryId, *, count: int, block_ms: int | None = None) -> tuple[Any, ...]:
    """Arguments of `execute_command` that read each of these streams after the entry `after`, in one moment.

    Args:
        count: entries of each stream at most, from 1.
        block_ms: how long the store waits if none of them has an entry, from 1; None: it answers at once.
    """
    assert count > 0 and block_ms != 0, "the store takes 0 for no bound"
    wait = () if block_ms is None else ("BLOCK", block_ms)
    return ("XREAD", "COUNT", count, *wait, "STREAMS", *keys, *([str(after)] * len(keys)))


def parse_streams(reply: Any) -> dict[bytes, list[StreamEntry]]:
    """The streams of an XREAD reply: name -> entries.

    It reads every shape in which such a reply comes: none at all, a list (RESP2) or a dict (RESP3) of streams, each as
    hiredis gives it or as redis-py parses it (which puts the entries of a RESP3 reply into one more list).

    Raises:
        UnreadableReply: it has none of these shapes.
    """
    if reply is None:
        return {}
    try:
        if isinstance(reply, list):
            return dict(reply)
        return {name: entries[0] if _is_nested(entries) else entries for name, entries in reply.items()}
    except (TypeError, ValueError, LookupError, AttributeError):
        raise UnreadableReply(f"the store answered a read with {excerpt(reply)}") from None


def parse_journal(entries: Iterable[StreamEntry]) -> list[JournalEntry]:
    """The journal entries of one stream, from XREAD (`parse_streams`) or XRANGE.

    Raises:
        ChainBroken: an entry has other fields than a journal entry, so no function of the store has written it; or its
            stamp was changed.
        UnreadableReply: these are not entries of a stream.
    """
    found = []
    try:
        for id, fields in entries:
            stamp, again, batch = fields.values() if isinstance(fields, dict) else fields[1::2]
            if type(batch) is not bytes:
                raise TypeError
            if stamp != again:
                raise ChainBroken(f"the stamp of journal entry {id.decode()} was changed since it was appended")
            found.append(JournalEntry(EntryId.parse(id), int(stamp), batch))
    except (TypeError, ValueError, AttributeError):
        raise _fault(entries, len(found), "journal") from None
    return found


def parse_events(entries: Iterable[StreamEntry]) -> list[PublishedEntry]:
    """The event entries of one stream, from XREAD (`parse_streams`) or XRANGE.

    Raises:
        ChainBroken: an entry has other fields than an event entry, so no function of the store has written it.
        UnreadableReply: these are not entries of a stream.
    """
    found = []
    try:
        for id, fields in entries:
            head, digest, data = fields.values() if isinstance(fields, dict) else fields[1::2]
            if not type(head) is type(digest) is type(data) is bytes:
                raise TypeError
            found.append(PublishedEntry(EntryId.parse(id), head, digest, data))
    except (TypeError, ValueError, AttributeError):
        raise _fault(entries, len(found), "event") from None
    return found


def journal_in(reply: Any) -> list[JournalEntry]:
    """The journal entries of a reply to a `read_call` of the journal alone. Raises as `parse_journal`."""
    return parse_journal(_only_stream(reply, _JOURNAL))


def events_in(reply: Any) -> list[PublishedEntry]:
    """The event entries of a reply to a `read_call` of the events alone. Raises as `parse_events`."""
    return parse_events(_only_stream(reply, _EVENTS))


_JOURNAL, _EVENTS = JOURNAL_KEY.encode(), EVENTS_KEY.encode()


def _only_stream(reply: Any, name: bytes) -> list[StreamEntry]:
    """The entries of the one stream that was asked for. A store that has none of it answers with no stream at all."""
    streams = parse_streams(reply)
    if not streams:
        return []
    if len(streams) != 1 or name not in streams:
        raise UnreadableReply(f"the store answered a read of {name.decode()} with {excerpt(reply)}")
    return streams[name]


def _is_nested(entries: Any) -> bool:
    """Whether the entries are in one more list: then the first thing in them is not an entry, whose first thing is its id."""
    return bool(entries) and not (entries[0] and isinstance(entries[0][0], bytes))


def _fault(entries: Any, index: int, kind: str) -> ChainBroken:
    """Why the entry at `index` cannot be read: it is an entry of the stream with other fields, or none at all."""
    try:
        name, fields = entries[index]
        id = EntryId.parse(name)
        values = fields.values() if isinstance(fields, dict) else fields[1::2]
        if fields and all(type(value) is bytes for value in values):
            return ChainBroken(f"{id} in the {kind} stream has other fields or values than an entry")
    except (TypeError, ValueError, LookupError, AttributeError):
        pass
    return UnreadableReply(f"the store answered a read with {excerpt(entries)}")
