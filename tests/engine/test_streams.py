"""The parser of stream replies, in every shape in which a client library gives one."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from engine.journal import (
    BEGINNING,
    EVENTS_KEY,
    ChainBroken,
    Store,
    StreamReader,
    parse_events,
    parse_journal,
    parse_streams,
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
    assert parse_events(parse_streams(reply).get(NAME, ())) == []


@pytest.mark.parametrize(
    "fields",
    [
        [b"t", b"1"],
        [b"t", b"1", b"b", b"batch", b"y", b"1", b"z", b"1"],
        [b"t", b"1x", b"b", b"batch"],
        {b"t": b"", b"b": b"batch"},
    ],
)
def test_an_entry_of_other_fields_breaks_the_chain(fields: Any) -> None:
    """Who reads it stops in good order, as at any entry that was changed."""
    with pytest.raises(ChainBroken, match="1-2 is no journal entry"):
        parse_journal([(b"1-2", fields)])
    with pytest.raises(ChainBroken, match="1-2 is no event entry"):
        parse_events([(b"1-2", fields)])


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


def test_a_reader_connects_again_as_often_as_it_must(client: Store) -> None:
    client.delete(EVENTS_KEY)
    reader = StreamReader(client)
    for _ in range(120):
        assert reader.events(BEGINNING, count=1) == []
        reader.close()
