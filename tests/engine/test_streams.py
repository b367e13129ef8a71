"""The parser of stream replies, in every shape in which a client library gives one."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import (
    BEGINNING,
    EVENTS_KEY,
    JOURNAL_KEY,
    ChainBroken,
    EntryId,
    PublishedEntry,
    Store,
    StoreSource,
    UnreadableReply,
    events_in,
    journal_in,
    parse_events,
    parse_journal,
    parse_streams,
    read_call,
)
from tests.worlds.store import StoreProcess

NAME = EVENTS_KEY.encode()
PARSED = [
    (b"1-2", {b"h": b"head", b"d": b"digest", b"b": b"events"}),
    (b"1-3", {b"h": b"other", b"d": b"", b"b": b"more"}),
]
RAW = [
    [b"1-2", [b"h", b"head", b"d", b"digest", b"b", b"events"]],
    [b"1-3", [b"h", b"other", b"d", b"", b"b", b"more"]],
]


@pytest.mark.parametrize(
    "reply",
    [[[NAME, PARSED]], [[NAME, RAW]], {NAME: [PARSED]}, {NAME: RAW}],
    ids=["RESP2 parsed", "RESP2 raw", "RESP3 parsed", "RESP3 raw"],
)
def test_every_shape_gives_the_same_entries(reply: Any) -> None:
    entries = parse_events(parse_streams(reply)[NAME])
    assert [(str(entry.id), *entry[1:]) for entry in entries] == [
        ("1-2", b"head", b"digest", b"events"),
        ("1-3", b"other", b"", b"more"),
    ]


@pytest.mark.parametrize("reply", [None, [], {}, {NAME: []}, {NAME: [[]]}])
def test_nothing_is_no_entry(reply: Any) -> None:
    assert events_in(reply) == []


SHAPES = {
    "RESP2 parsed": lambda entries: [[NAME, [(id, _pairs(fields)) for id, fields in entries]]],
    "RESP2 raw": lambda entries: [[NAME, entries]],
    "RESP3 parsed": lambda entries: {NAME: [[[id, _pairs(fields)] for id, fields in entries]]},
    "RESP3 raw": lambda entries: {NAME: entries},
}
"""How each client library shows a reply, made from the raw one."""


def _pairs(fields: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


RAW_ENTRY = st.tuples(st.integers(1, 2**63), st.integers(0, 2**63), st.binary(), st.binary(), st.binary()).map(
    lambda entry: [b"%d-%d" % entry[:2], [b"h", entry[2], b"d", entry[3], b"b", entry[4]]]
)


@given(st.lists(RAW_ENTRY, max_size=3))
def test_any_entries_come_through_in_every_shape(entries: list[Any]) -> None:
    expected = [(EntryId.parse(id), *fields[1::2]) for id, fields in entries]
    for shape, show in SHAPES.items():
        assert events_in(show(entries)) == expected, shape


NONSENSE = st.recursive(
    st.none() | st.integers() | st.floats() | st.binary(max_size=4) | st.text(max_size=4) | st.just(NAME),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.binary(max_size=2) | st.just(NAME), inner, max_size=2)
    ),
    max_leaves=8,
)


def _replace_part(whole: Any, path: list[int], part: Any) -> Any:
    """The reply with one part of it replaced, found by walking down as far as the path leads."""
    if not path or not isinstance(whole, list | tuple | dict) or not whole:
        return part
    if isinstance(whole, dict):
        key = list(whole)[path[0] % len(whole)]
        return {**whole, key: _replace_part(whole[key], path[1:], part)}
    index = path[0] % len(whole)
    parts = [_replace_part(old, path[1:], part) if i == index else old for i, old in enumerate(whole)]
    return type(whole)(parts)


def check_is_judged(reply: Any) -> None:
    """A reply gives entries that are well typed, or a named error: no reader ever sees anything else."""
    try:
        entries = events_in(reply)
    except ChainBroken:
        return
    for entry in entries:
        assert type(entry) is PublishedEntry and type(entry.id) is EntryId, reply
        assert {type(entry.head), type(entry.digest), type(entry.data)} == {bytes}, reply
        assert {type(part) for part in entry.id} == {int}, reply


@given(NONSENSE)
def test_nonsense_is_refused_by_name(reply: Any) -> None:
    check_is_judged(reply)
    with contextlib.suppress(ChainBroken):
        journal_in(reply)


@given(
    st.lists(RAW_ENTRY, min_size=1, max_size=2), st.sampled_from(sorted(SHAPES)), st.lists(st.integers(0, 9)), NONSENSE
)
def test_a_reply_with_one_part_replaced_is_read_or_refused_by_name(
    entries: list[Any], shape: str, path: list[int], part: Any
) -> None:
    check_is_judged(_replace_part(SHAPES[shape](entries), path, part))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        7,
        "text",
        [NAME],
        [[NAME]],
        [[NAME, RAW, b"more"]],
        [[NAME, None]],
        [[NAME, RAW], [JOURNAL_KEY.encode(), RAW]],
        [[JOURNAL_KEY.encode(), RAW]],
        {NAME: 1},
        [[NAME, [[b"1-2", None]]]],
        [[NAME, [[b"nonsense", RAW[0][1]]]]],
        [[NAME, [[b"1-2", [b"h", None, b"d", b"", b"b", b""]]]]],
        redis.ResponseError("WRONGTYPE"),
    ],
    ids=repr,
)
def test_a_reply_of_no_shape_is_unreadable(reply: Any) -> None:
    with pytest.raises(UnreadableReply, match="the store answered a read"):
        events_in(reply)


def test_the_error_quotes_no_more_than_a_line_of_the_reply() -> None:
    with pytest.raises(UnreadableReply) as refused:
        events_in([[NAME, [b"x" * 10_000]]])
    assert len(str(refused.value)) < 300


def test_one_call_reads_one_stream_or_several() -> None:
    after = EntryId(1, 2)
    assert read_call((EVENTS_KEY,), after, count=5) == ("XREAD", "COUNT", 5, "STREAMS", EVENTS_KEY, "1-2")
    assert read_call((EVENTS_KEY, JOURNAL_KEY), after, count=5, block_ms=9) == (
        "XREAD", "COUNT", 5, "BLOCK", 9, "STREAMS", EVENTS_KEY, JOURNAL_KEY, "1-2", "1-2",
    )  # fmt: skip
    with pytest.raises(AssertionError, match="no bound"):
        read_call((EVENTS_KEY,), after, count=5, block_ms=0)


@pytest.mark.parametrize(
    "fields",
    [
        [b"t", b"1"],
        [b"t", b"1", b"b", b"batch"],
        [b"t", b"1", b"c", b"1", b"b", b"batch", b"y", b"1"],
        [b"t", b"1", b"c", b"1", b"b", None],
        {b"t": b"", b"b": b"batch"},
    ],
)
def test_an_entry_of_other_fields_breaks_the_chain(fields: Any) -> None:
    """A reader stops in good order, as at any entry that was changed."""
    values = [*(fields.values() if isinstance(fields, dict) else fields[1::2])]
    what = "has other fields" if None not in values else "answered a read with"
    with pytest.raises(ChainBroken, match=what):
        parse_journal([(b"1-2", fields)])
    with pytest.raises(ChainBroken, match=what):
        parse_events([(b"1-2", fields)])


def test_a_stamp_that_is_no_number_breaks_the_chain() -> None:
    with pytest.raises(ChainBroken, match="1-2 in the journal stream has other fields or values"):
        parse_journal([(b"1-2", [b"t", b"1x", b"c", b"1x", b"b", b"batch"])])


def test_a_stamp_that_was_changed_is_not_believed() -> None:
    [entry] = parse_journal([(b"1-2", [b"t", b"1700", b"c", b"1700", b"b", b"batch"])])
    assert entry.time_us == 1700
    for fields in ([b"t", b"1704", b"c", b"1700", b"b", b"batch"], [b"t", b"1700", b"c", b"1600", b"b", b"batch"]):
        with pytest.raises(ChainBroken, match="the stamp of journal entry 1-2 was changed"):
            parse_journal([(b"1-2", fields)])


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_store_speaks_these_shapes(server: StoreProcess, client: Store, protocol: int) -> None:
    client.delete(EVENTS_KEY)
    client.xadd(EVENTS_KEY, {"h": b"head", "d": b"digest", "b": b"events"}, id="1-2")
    own = redis.Redis(unix_socket_path=str(server.socket), protocol=protocol)
    parsed = own.xread({EVENTS_KEY: "0-0"})
    connection = own.connection_pool.make_connection()
    connection.connect()
    connection.send_command("XREAD", "STREAMS", EVENTS_KEY, "0-0")
    raw = connection.read_response()
    connection.disconnect()
    for reply in (parsed, raw):
        [entry] = parse_events(parse_streams(reply)[NAME])
        assert entry[1:] == (b"head", b"digest", b"events")
    own.close()


def test_a_source_connects_again_as_often_as_it_must(client: Store) -> None:
    client.delete(EVENTS_KEY)
    source = StoreSource(client)
    for _ in range(120):
        assert source.events(BEGINNING, count=1) == []
        source.close()
