"""The hash chain: what follows what, read from the journal and from the events alone."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

import pytest

from engine.definitions import RULES_VERSION
from engine.journal import (
    BEGINNING,
    GENESIS_HEAD,
    ChainBroken,
    EntryId,
    EventChain,
    JournalEntry,
    KnownHeads,
    PublishedEntry,
    chain_head,
    check_follows,
    entry_digest,
)
from engine.records import (
    EPOCH_START,
    EVENT_HEADER,
    BatchBuilder,
    Command,
    CommandKind,
    EpochStart,
    EventHeader,
    EventKind,
    OrderEvent,
    pack_event,
    pack_parts,
)

END = EntryId(1, 5)
HEAD = b"\x07" * 32


def events_of(*events: OrderEvent, blobs: bytes = b"") -> bytes:
    header = EventHeader(event_count=len(events), blob_length=len(blobs))
    return EVENT_HEADER.pack(header) + b"".join(map(pack_event, events)) + blobs


def published(id: EntryId, previous_head: bytes, data: bytes, digest: bytes = b"\x01" * 32) -> PublishedEntry:
    return PublishedEntry(id, chain_head(previous_head, id, digest, data), digest, data)


def test_the_head_is_what_the_promise_says() -> None:
    entry = JournalEntry(EntryId(3, 4), 1234567, b"a batch")
    digest = hashlib.sha256(struct.pack("<q", 1234567) + b"a batch").digest()
    assert entry_digest(entry) == digest
    whole = HEAD + struct.pack("<QQ", 3, 4) + digest + hashlib.sha256(b"events").digest()
    assert chain_head(HEAD, entry.id, digest, b"events") == hashlib.sha256(whole).digest()


def test_events_alone_show_what_was_changed() -> None:
    good = published(EntryId(1, 6), HEAD, events_of())
    chain = EventChain(END, HEAD)
    changed = {
        "id": good._replace(id=EntryId(1, 7)),
        "head": good._replace(head=HEAD),
        "digest of the journal entry": good._replace(digest=bytes(32)),
        "data": good._replace(data=good.data + b"!"),
    }
    for field, entry in changed.items():
        with pytest.raises(ChainBroken):
            chain.check(entry)
        assert (chain.cursor, chain.head) == (END, HEAD), field
    chain.check(good)
    assert (chain.cursor, chain.head) == (good.id, good.head)
    with pytest.raises(ChainBroken):
        chain.check(good)


def check_journal(cursor: EntryId, head: bytes, id: EntryId, start: EpochStart) -> None:
    builder = BatchBuilder()
    builder.add(Command(kind=CommandKind.EPOCH_START), EPOCH_START.pack(start))
    check_follows(cursor, head, JournalEntry(id, 1, builder.build(producer=1, incarnation=1, number=1)))


def check_events(cursor: EntryId, head: bytes, id: EntryId, start: EpochStart) -> None:
    blob = pack_parts(EPOCH_START.pack(start))
    due_before = OrderEvent(kind=EventKind.ORDER_CLOSED)
    event = OrderEvent(kind=EventKind.EPOCH_STARTED, blob_length=len(blob))
    EventChain(cursor, head).check(published(id, head, events_of(due_before, event, blobs=blob)))


GOOD = EpochStart(END.epoch, END.sequence, HEAD, RULES_VERSION, ids_skip=1000)


@pytest.mark.parametrize("check", [check_journal, check_events])
class TestEpochStart:
    def test_it_continues_the_chain(self, check: Callable[..., None]) -> None:
        check(END, HEAD, EntryId(2, 0), GOOD)
        check(END, HEAD, EntryId(7, 0), GOOD)
        check(BEGINNING, GENESIS_HEAD, EntryId(1, 0), EpochStart(rules_version=RULES_VERSION))

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"previous_sequence": 4}, "names 1-4"),
            ({"previous_epoch": 0}, "names 0-5|ids"),
            ({"previous_head": bytes(32)}, "another head"),
            ({"rules_version": RULES_VERSION + 1}, "rules version"),
            ({"ids_skip": 1 << 53}, "skips"),
        ],
    )
    def test_it_is_refused_where_it_does_not(
        self, check: Callable[..., None], change: dict[str, int | bytes], what: str
    ) -> None:
        with pytest.raises(ChainBroken, match=what):
            check(END, HEAD, EntryId(2, 0), GOOD._replace(**change))

    @pytest.mark.parametrize("id", [EntryId(1, 0), EntryId(2, 1), EntryId(0, 0)])
    def test_it_stands_at_the_beginning_of_a_later_epoch(self, check: Callable[..., None], id: EntryId) -> None:
        with pytest.raises(ChainBroken, match="does not follow"):
            check(END, HEAD, id, GOOD)

    def test_the_first_one_skips_no_ids(self, check: Callable[..., None]) -> None:
        with pytest.raises(ChainBroken, match="skips"):
            check(BEGINNING, GENESIS_HEAD, EntryId(1, 0), EpochStart(rules_version=RULES_VERSION, ids_skip=1))


@pytest.mark.parametrize("data", [b"", b"\x02\0nonsense", events_of(), events_of(OrderEvent(kind=EventKind.REJECTED))])
def test_what_is_no_epoch_start_begins_no_epoch(data: bytes) -> None:
    with pytest.raises(ChainBroken, match="does not follow"):
        EventChain(END, HEAD).check(published(EntryId(2, 0), HEAD, data))
    with pytest.raises(ChainBroken, match="does not follow"):
        check_follows(END, HEAD, JournalEntry(EntryId(2, 0), 1, data))


def test_a_chain_has_the_heads_that_are_known() -> None:
    heads = {EntryId(1, sequence): bytes([sequence]) * 32 for sequence in (2, 4, 5)}
    known = KnownHeads(heads, after=EntryId(1, 2))
    assert known.next == (1, 4)
    known.check(EntryId(1, 4), heads[EntryId(1, 4)])
    known.check(EntryId(1, 5), heads[EntryId(1, 5)])
    known.check(EntryId(1, 6), HEAD)
    for id, head in ((EntryId(1, 4), HEAD), (EntryId(2, 0), heads[EntryId(1, 4)])):
        with pytest.raises(ChainBroken, match="the chain at 1-4 is not the one"):
            KnownHeads(heads, after=EntryId(1, 2)).check(id, head)
    assert KnownHeads({}).next > (2**63, 0)
