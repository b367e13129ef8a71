"""The append-only log of a store, as the damage test sees it: where in its bytes each kind of value is.

Only the part that grows is read. Its base is a binary dump with a checksum, of which any bit is as good as another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from engine.journal import EVENTS_KEY, JOURNAL_KEY, PRODUCERS_KEY, PUBLISHED_KEY
from engine.journal.marks import USED_PREFIX
from engine.records import EVENT_BYTES, EVENT_HEADER, ORDER_EVENT, EventEntry
from gateway.auth.secrets import SECRETS_KEY
from ledger.store import BALANCES_KEY, CURSOR_KEY, INDEX_KEY, TRANSFERS_KEY

BASE, GROWING, MANIFEST = "*.base.rdb", "*.incr.aof", "*.manifest"
"""The parts of the log, by the names of their files."""


class Value(StrEnum):
    """What the store holds, by what it means to the venue."""

    BATCH = "journal entry"
    STAMP = "stamp of a journal entry"
    EVENTS = "event entry"
    EVENT_NUMBERS = "account or amount in an event entry"
    HEAD = "head of an event entry"
    DIGEST = "digest in an event entry"
    PUBLISHED = "id of the last event entry"
    PRODUCERS = "last batch of a producer"
    SECRET = "sealed secret"
    MARK = "mark of a signature"
    BALANCE = "ledger balance"
    TRANSFERS = "ledger transfer"
    CURSOR = "ledger cursor"
    INDEX = "ledger index"


class Span(NamedTuple):
    """Some bytes of the log."""

    start: int
    end: int


class Place(NamedTuple):
    """Where a value is, and the whole command that writes it."""

    value: Span
    command: Span
    name: str
    """What is written: key, and field or entry id."""


# How to find a value in the words of a command: COMMAND KEY FIELD VALUE …; a stream has ID FIELD VALUE ….
_HASHES = {
    PRODUCERS_KEY: Value.PRODUCERS,
    SECRETS_KEY: Value.SECRET,
    BALANCES_KEY: Value.BALANCE,
}
_STRINGS = {PUBLISHED_KEY: Value.PUBLISHED, CURSOR_KEY: Value.CURSOR}
_STREAMS = {
    (JOURNAL_KEY, b"t"): Value.STAMP,
    (JOURNAL_KEY, b"b"): Value.BATCH,
    (EVENTS_KEY, b"b"): Value.EVENTS,
    (EVENTS_KEY, b"h"): Value.HEAD,
    (EVENTS_KEY, b"d"): Value.DIGEST,
    (TRANSFERS_KEY, b"t"): Value.TRANSFERS,
}  # fmt: skip

# Bytes of the two numbers of an event; they are at the same place in each of its views.
_NUMBERS = {"account": 4, "amount": 8}


def commands(log: bytes) -> Iterator[list[Span]]:
    """The words of each command of the log, one after the other; what is torn off at its end is left out."""
    at = 0
    while at < len(log):
        line_end = log.find(b"\r\n", at)
        if log[at : at + 1] == b"#":
            at = log.index(b"\n", at) + 1  # A time, as a comment.
            continue
        if line_end < 0:
            return
        count, at = int(log[at + 1 : line_end]), line_end + 2
        words = []
        for _ in range(count):
            line_end = log.find(b"\r\n", at)
            if line_end < 0:
                return
            start = line_end + 2
            end = start + int(log[at + 1 : line_end])
            words.append(Span(start, end))
            at = end + 2
        if at > len(log):
            return
        yield words


def places(log: bytes) -> dict[Value, list[Place]]:
    """Where the values are that count after the log was read: of a value that is written again, the last one."""
    found: dict[Value, dict[str, Place]] = defaultdict(dict)
    for words in commands(log):
        texts = [log[word.start : word.end] for word in words]
        command = Span(_start_of(log, words), words[-1].end + 2)
        for value, word, name in _values(texts):
            found[value][name] = Place(words[word], command, name)
    numbers = {
        f"{place.name} {number}": Place(span, place.command, place.name)
        for place in found[Value.EVENTS].values()
        for number, span in enumerate(_event_numbers(log, place.value))
    }
    found[Value.EVENT_NUMBERS] = numbers
    return {value: list(by_name.values()) for value, by_name in found.items() if by_name}


def _start_of(log: bytes, words: list[Span]) -> int:
    return log.rindex(b"*", 0, log.rindex(b"$", 0, words[0].start))


def _values(texts: list[bytes]) -> Iterator[tuple[Value, int, str]]:
    """Kind, place among the words, and name of each value that a command writes."""
    if len(texts) < 3:
        return
    verb, key = texts[0].upper(), texts[1].decode(errors="replace")
    if verb in (b"HSET", b"HMSET") and key in _HASHES:
        for word in range(3, len(texts), 2):
            yield _HASHES[key], word, f"{key} {texts[word - 1].hex()}"
    elif verb == b"XADD":
        for word in range(4, len(texts), 2):
            if (value := _STREAMS.get((key, texts[word - 1]))) is not None:
                yield value, word, f"{key} {texts[2].decode()}"
    elif verb == b"SET" and key in _STRINGS:
        yield _STRINGS[key], 2, key
    elif verb == b"SET" and key.startswith(USED_PREFIX):
        yield Value.MARK, 2, key
    elif verb == b"APPEND" and texts[1].startswith(INDEX_KEY):
        yield Value.INDEX, 2, f"{key} {texts[2].hex()}"


def _event_numbers(log: bytes, entry: Span) -> Iterator[Span]:
    """The account and the amount of each event: what a fault in them gives to the wrong client."""
    events = len(EventEntry(log[entry.start : entry.end]))
    for event in range(events):
        start = entry.start + EVENT_HEADER.size + event * EVENT_BYTES
        for name, size in _NUMBERS.items():
            offset = start + ORDER_EVENT.offsets[name]
            yield Span(offset, offset + size)


def parts(store: Path, pattern: str) -> list[Path]:
    """The files of the log that fit, under the folder of the store."""
    return sorted(store.glob(f"appendonlydir/{pattern}"))
