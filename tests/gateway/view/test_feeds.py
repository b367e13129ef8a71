from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limits import STREAMS_PER_SESSION_MAX, RateLimitSettings
from gateway.view.streams import depth
from tests.gateway.view.test_projection import RICH, Flow
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient


class DepthFollower:
    """A client that keeps a book by the rules of the dialect's documentation (U, u and lastUpdateId)."""

    def __init__(self, rig: GatewayInProcess, stream: str) -> None:
        self.client = rig.client(is_api=False)
        self.symbol = stream.partition("@")[0].upper()
        assert self.client.ask_frame({"method": "SUBSCRIBE", "params": [stream], "id": 1}) == {"result": None, "id": 1}
        self.buffer: list[Any] = []
        self.last_id = -1
        self.is_in_step = False
        self.levels: dict[str, dict[str, str]] = {}

    def read(self) -> None:
        self.buffer += self.client.take()
        if self.last_id >= 0:
            self.apply()

    def snapshot(self, rig: GatewayInProcess) -> None:
        """Fetches a snapshot and applies what was buffered behind it."""
        snapshot = rig.get("/api/v3/depth", f"symbol={self.symbol}&limit=5000")[1]
        self.last_id = snapshot["lastUpdateId"]
        self.levels = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        self.apply()

    def apply(self) -> None:
        for event in self.buffer:
            assert event["b"] or event["a"]
            if self.is_in_step:
                assert event["U"] == self.last_id + 1, "a gap in the depth stream"
            elif event["u"] <= self.last_id:
                continue
            assert event["U"] <= self.last_id + 1 <= event["u"]
            self.is_in_step = True
            self.last_id = event["u"]
            for side in ("b", "a"):
                for price, quantity in event[side]:
                    if quantity == "0.00000000":
                        self.levels[side].pop(price, None)
                    else:
                        self.levels[side][price] = quantity
        self.buffer = []

    def check(self, rig: GatewayInProcess) -> None:
        snapshot = rig.get("/api/v3/depth", f"symbol={self.symbol}&limit=5000")[1]
        assert self.levels == {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        assert self.last_id == snapshot["lastUpdateId"]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 25), st.booleans())
def test_a_client_that_follows_the_rules_has_the_book(
    seed: int, subscribe_at: int, snapshot_after: int, slow: bool
) -> None:
    flow = Flow(seed)
    rig = flow.rig
    interval_ms = 1000 if slow else 100
    follower = None
    for step in range(120):
        if step == subscribe_at:
            follower = DepthFollower(rig, "btckzt@depth" if slow else "btckzt@depth@100ms")
        flow.step()
        if step % 7 == 0:
            rig.projection.feeds.send_depth(100, rig.now_ms * 1000)
        if step % 11 == 0:
            rig.projection.feeds.send_depth(1000, rig.now_ms * 1000)
        if follower is not None:
            follower.read()
            if step == subscribe_at + snapshot_after:
                follower.snapshot(rig)
    assert follower is not None
    rig.turn()
    rig.projection.feeds.send_depth(interval_ms, rig.now_ms * 1000)
    follower.read()
    follower.check(rig)
    rig.projection.feeds.send_depth(interval_ms, rig.now_ms * 1000)
    assert follower.client.take() == [], "no change, no event"


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess()


def stream_client(rig: GatewayInProcess, *streams: str, **options: Any) -> InProcessClient:
    client = rig.client(is_api=False, **options)
    assert client.ask_frame({"method": "SUBSCRIBE", "params": list(streams), "id": 1})["result"] is None
    return client


def test_trades_are_told_at_once(rig: GatewayInProcess) -> None:
    watcher = stream_client(rig, "btckzt@trade")
    rig.trader(**RICH).place("BTCKZT", "SELL", "0.10", "50000000")
    rig.trader(**RICH).place("BTCKZT", "BUY", "0.04", "50000000")
    (trade,) = watcher.take()
    assert trade == {
        "e": "trade", "E": rig.now_ms, "s": "BTCKZT", "t": 1, "p": "50000000.00000000", "q": "0.04000000",
        "T": rig.now_ms, "m": False, "M": True,
    }  # fmt: skip


def test_the_best_prices_are_told_when_they_move(rig: GatewayInProcess) -> None:
    watcher = stream_client(rig, "btckzt@bookTicker")
    trader = rig.trader(**RICH)
    trader.place("BTCKZT", "BUY", "0.10", "49000000")
    trader.place("BTCKZT", "BUY", "0.10", "48000000")
    trader.place("BTCKZT", "SELL", "0.20", "50000000")
    first, second = watcher.take()
    assert "e" not in first
    assert (first["b"], first["B"], first["a"], first["A"]) == (
        "49000000.00000000",
        "0.10000000",
        "0.00000000",
        "0.00000000",
    )
    assert (second["b"], second["a"], second["A"]) == ("49000000.00000000", "50000000.00000000", "0.20000000")


def test_everybody_gets_the_same_bytes_in_the_form_asked_for(rig: GatewayInProcess) -> None:
    plain, twin = stream_client(rig, "btckzt@trade"), stream_client(rig, "btckzt@trade")
    wrapped = stream_client(rig, "btckzt@trade", combined=True)
    precise = stream_client(rig, "btckzt@trade", unit=1)
    rig.trader(**RICH).place("BTCKZT", "SELL", "0.10", "50000000")
    rig.trader(**RICH).place("BTCKZT", "BUY", "0.04", "50000000")
    assert plain.frames[0] is twin.frames[0]
    (payload,) = plain.take()
    assert wrapped.take() == [{"stream": "btckzt@trade", "data": payload}]
    assert precise.take()[0]["E"] == payload["E"] * 1000


def test_depth_in_both_names_of_one_interval(rig: GatewayInProcess) -> None:
    watcher = stream_client(rig, "btckzt@depth", "btckzt@depth@1000ms", combined=True)
    rig.trader(**RICH).place("BTCKZT", "BUY", "0.10", "49000000")
    rig.projection.feeds.send_depth(100, 0)
    assert watcher.take() == []
    rig.projection.feeds.send_depth(1000, 0)
    assert sorted(message["stream"] for message in watcher.take()) == ["btckzt@depth", "btckzt@depth@1000ms"]
    watcher.ask_frame({"method": "UNSUBSCRIBE", "params": ["btckzt@depth"], "id": 2})
    rig.trader(**RICH).place("BTCKZT", "BUY", "0.10", "49000000")
    rig.projection.feeds.send_depth(1000, 0)
    assert [message["stream"] for message in watcher.take()] == ["btckzt@depth@1000ms"]


@pytest.mark.parametrize(
    ("frame", "reply"),
    [
        ({"method": "SUBSCRIBE", "params": ["btckzt@trade"], "id": "a"}, {"result": None, "id": "a"}),
        ({"method": "SUBSCRIBE", "params": ["btckzt@trade", "btckzt@trade"], "id": None}, {"result": None, "id": None}),
        ({"method": "UNSUBSCRIBE", "params": ["btckzt@depth"], "id": 5}, {"result": None, "id": 5}),
        ({"method": "LIST_SUBSCRIPTIONS", "id": 1}, {"result": [], "id": 1}),
        ({"method": "GET_PROPERTY", "params": ["combined"], "id": 1}, {"result": False, "id": 1}),
        ({"method": "SET_PROPERTY", "params": ["combined", True], "id": 1}, {"result": None, "id": 1}),
        ({"method": "SUBSCRIBE", "params": ["btckzt@kline_1m"], "id": 1}, "stream 'btckzt@kline_1m' is not supported"),
        ({"method": "SUBSCRIBE", "params": ["BTCKZT@trade"], "id": 1}, "stream 'BTCKZT@trade' is not supported"),
        ({"method": "SUBSCRIBE", "params": [], "id": 1}, "params must be stream names"),
        ({"method": "SUBSCRIBE", "params": [1], "id": 1}, "params must be stream names"),
        ({"method": "SUBSCRIBE", "params": {}, "id": 1}, "params must be an array"),
        ({"method": "SET_PROPERTY", "params": ["combined", "x"], "id": 1}, "method SET_PROPERTY"),
        ({"method": "order.place", "id": 1}, "method order.place"),
        ({"method": 5, "id": 1}, "method must be a string"),
        ({"method": "SUBSCRIBE", "id": 1.5}, "id must be"),
        (b"{", "invalid JSON"),
        (b"[]", "expected an object"),
        (b'{"method":"LIST_SUBSCRIPTIONS","id":1,"id":2}', "a name stands twice"),
    ],
    ids=repr,
)
def test_stream_requests(rig: GatewayInProcess, frame: object, reply: object) -> None:
    client = rig.client(is_api=False)
    answer = client.ask_frame(frame)
    if isinstance(reply, dict):
        assert answer == reply
    else:
        assert answer["error"]["code"] == 2
        assert reply in answer["error"]["msg"]


def test_a_refused_subscribe_subscribes_to_nothing(rig: GatewayInProcess) -> None:
    client = rig.client(is_api=False)
    answer = client.ask_frame({"method": "SUBSCRIBE", "params": ["btckzt@trade", "nope@trade"], "id": 1})
    assert answer["error"]["code"] == 2
    assert client.ask_frame({"method": "LIST_SUBSCRIPTIONS", "id": 2})["result"] == []


def test_the_number_of_streams_is_bounded(rig: GatewayInProcess) -> None:
    client = rig.client(is_api=False)
    client.session.streams = dict.fromkeys(f"x{index}" for index in range(STREAMS_PER_SESSION_MAX))
    answer = client.ask_frame({"method": "SUBSCRIBE", "params": ["btckzt@trade"], "id": 1})
    assert "1024 streams" in answer["error"]["msg"]


def test_a_reader_that_is_behind_gets_one_update_for_all_it_missed(rig: GatewayInProcess) -> None:
    trader = rig.trader(**RICH)
    prompt, slow = stream_client(rig, "btckzt@depth@100ms"), stream_client(rig, "btckzt@depth@100ms")
    slow.is_slow = True
    for index in range(5):
        trader.place("BTCKZT", "BUY", "0.01", f"4000{index}000")
        trader.place("BTCKZT", "BUY", "0.01", "40000000")
        rig.projection.feeds.send_depth(100, 0)
    updates = prompt.take()
    assert slow.take() == []
    slow.is_slow = False
    rig.projection.feeds.send_depth(100, 0)
    (update,) = slow.take()
    assert (update["U"], update["u"]) == (updates[0]["U"], updates[-1]["u"])
    assert update["b"] == [[f"4000{index}000.00000000", "0.01000000"] for index in (4, 3, 2, 1)] + [
        ["40000000.00000000", "0.06000000"]
    ]
    trader.place("BTCKZT", "BUY", "0.01", "40000000")
    rig.projection.feeds.send_depth(100, 0)
    assert slow.take() == prompt.take()


def test_a_reader_that_stays_behind_for_too_many_levels_is_closed(
    rig: GatewayInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth, "LEVELS_MISSED_MAX", 3)
    trader = rig.trader(**RICH)
    slow = stream_client(rig, "btckzt@depth@100ms")
    slow.is_slow = True
    for index in range(4):
        assert slow.closed == []
        trader.place("BTCKZT", "BUY", "0.01", f"4000{index}000")
        rig.projection.feeds.send_depth(100, 0)
    assert slow.closed == [(1008, "reading too slowly")]


def test_a_stream_connection_that_asks_too_often_is_closed() -> None:
    rig = GatewayInProcess(RateLimitSettings(stream_messages_per_s=2))
    client = rig.client(is_api=False)
    for _ in range(2):
        client.ask_frame({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    assert client.closed == []
    client.send({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    assert (client.closed, client.frames) == ([(1008, "too many requests in a second")], [])
    rig.now_ms += 1000
    client.send({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    assert client.frames == [], "it is closed"
    assert rig.client(is_api=False).ask_frame({"method": "LIST_SUBSCRIPTIONS", "id": 1})["result"] == []


def test_a_session_that_ends_leaves_nothing_behind(rig: GatewayInProcess) -> None:
    client = stream_client(rig, "btckzt@trade", "btckzt@depth", "btckzt@depth@100ms", "btckzt@bookTicker")
    rig.router.session_ended(client.session)
    assert rig.projection.feeds.followers.by_stream == {}
    assert all(book.depths == {} and book.ticker is None for book in rig.projection.feeds.books.values())
