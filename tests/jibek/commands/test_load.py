"""The load generator: its histogram, what it sends, and whole runs against a venue."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections import Counter
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jibek.client.trading import Credentials
from jibek.load.flow import BLOCKS, Flow, Terms, TermsImpossible, make_terms
from jibek.load.histogram import LATENCY_US_MAX, Histogram, bucket_of, upper_edge_us
from jibek.venue.processes import cpu_seconds
from tests.worlds.venue import VenueProcess

TERMS = Terms("BTCUSDT", Decimal("89000.00"), Decimal("0.01"), Decimal("0.000012"))
RULES = {
    "symbol": "BTCUSDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "10000000.00", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00000100", "maxQty": "1000.00", "stepSize": "0.00000100"},
        {"filterType": "NOTIONAL", "minNotional": "1.00000000"},
    ],
}

# -- the histogram


@given(st.lists(st.integers(0, LATENCY_US_MAX), min_size=1, max_size=200), st.floats(0.001, 1.0))
def test_a_quantile_is_never_too_small_and_hardly_too_large(latencies: list[int], share: float) -> None:
    histogram = Histogram()
    for latency in latencies:
        histogram.record(latency)
    exact = sorted(latencies)[max(0, math.ceil(share * len(latencies)) - 1)]
    assert exact <= histogram.quantile_us(share) <= exact + exact // 128
    assert histogram.largest_us == max(latencies)
    assert histogram.count == len(latencies)


@given(st.integers(0, LATENCY_US_MAX))
def test_every_latency_is_in_the_bucket_that_ends_above_it(latency: int) -> None:
    bucket = bucket_of(latency)
    assert upper_edge_us(bucket - 1) < latency <= upper_edge_us(bucket)


def test_an_endless_latency_is_counted_as_the_largest() -> None:
    histogram = Histogram()
    histogram.record(1 << 40)
    assert (histogram.count, histogram.largest_us) == (1, 1 << 40)
    assert histogram.quantile_us(1.0) == LATENCY_US_MAX


def test_an_empty_histogram_tells_zero() -> None:
    assert Histogram().quantile_us(0.5) == 0


# -- what is sent


@pytest.mark.parametrize(("mix", "orders", "cancels"), [("trade", 200, 0), ("cancel", 108, 92), ("mixed", 158, 42)])
def test_a_mix_has_its_share_of_orders_and_cancels(mix: str, orders: int, cancels: int) -> None:
    flow = Flow(TERMS, mix, "ack", "c-", seed=1)
    methods = Counter(orjson.loads(flow.request(number, 0))["method"] for number in range(1, 201))
    assert methods == Counter({"order.place": orders, "order.cancel": cancels})
    assert flow.orders == orders
    requests = flow.requests_for(orders)
    assert requests <= 200
    again = Flow(TERMS, mix, "ack", "c-", seed=1)
    for number in range(1, requests + 1):
        again.request(number, 0)
    assert again.orders == orders


@pytest.mark.parametrize("mix", ["trade", "mixed"])
def test_what_is_to_trade_comes_in_pairs_at_one_price(mix: str) -> None:
    flow = Flow(TERMS, mix, "full", "c-", seed=2)
    requests = [orjson.loads(flow.request(number, 7)) for number in range(1, 401)]
    step = 2 if mix == "trade" else 4
    for buy, sell in zip(requests[::step], requests[1::step], strict=True):
        assert (buy["params"]["side"], sell["params"]["side"]) == ("BUY", "SELL")
        assert buy["params"] | {"side": "SELL"} == sell["params"]
        assert buy["params"]["newOrderRespType"] == "FULL"
        assert buy["params"]["timestamp"] == 7


@pytest.mark.parametrize("mix", ["cancel", "mixed"])
def test_a_cancel_names_an_order_that_was_placed_before_it_and_was_not_cancelled(mix: str) -> None:
    flow = Flow(TERMS, mix, "ack", "c-", seed=3)
    resting: set[str] = set()
    for number in range(1, 9 * BLOCKS):
        request = orjson.loads(flow.request(number, 0))
        params = request["params"]
        if request["method"] == "order.cancel":
            resting.remove(params["origClientOrderId"])
        elif "newClientOrderId" in params:
            assert params["newClientOrderId"] not in resting
            resting.add(params["newClientOrderId"])
    assert len(resting) < 20


def test_what_rests_cannot_meet_what_trades() -> None:
    flow = Flow(TERMS, "mixed", "ack", "c-", seed=4)
    traded, bought, sold = [], [], []
    for number in range(1, 4 * BLOCKS + 1):
        params = orjson.loads(flow.request(number, 0))["params"]
        if "price" in params:
            resting = bought if params["side"] == "BUY" else sold
            (resting if "newClientOrderId" in params else traded).append(Decimal(params["price"]))
    assert max(bought) < min(traded) <= max(traded) < min(sold)


@pytest.mark.parametrize("mix", ["trade", "cancel", "mixed"])
def test_signed_requests_carry_the_signature_of_what_they_say_and_none_comes_twice(mix: str) -> None:
    flow = Flow(TERMS, mix, "ack", "c-", seed=5, credentials=Credentials.hmac("key", "secret"))
    seen = set()
    for number in range(1, 300):
        params = orjson.loads(flow.request(number, 1_700_000_000_000))["params"]
        signature = params.pop("signature")
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        assert signature == hmac.new(b"secret", payload.encode(), hashlib.sha256).hexdigest()
        seen.add(signature)
    assert len(seen) == 299


def test_terms_are_the_smallest_orders_that_the_market_takes() -> None:
    terms = make_terms(RULES, Decimal("89000.004"))
    assert (terms.price, terms.quantity) == (Decimal("89000.00"), Decimal("0.000012"))
    assert (terms.price - 128 * terms.tick) * terms.quantity >= 1


def test_terms_begin_in_the_middle_of_the_range_where_nobody_knows_a_price() -> None:
    assert make_terms(RULES, None).price == Decimal("316.22")


def test_a_price_at_the_end_of_the_range_is_refused() -> None:
    with pytest.raises(TermsImpossible, match="too near to an end"):
        make_terms(RULES, Decimal("0.10"))


# -- CPU


def test_the_cpu_of_a_process_is_found_and_that_of_a_missing_one_left_out() -> None:
    import os

    found = cpu_seconds({"this": os.getpid(), "none": 2**22 + 1})
    assert list(found) == ["this"]
    assert found["this"] > 0


# -- whole runs


@pytest.mark.parametrize("signature", ["session", "hmac", "ed25519"])
def test_a_closed_loop_places_what_was_asked_for(running_venue: VenueProcess, signature: str) -> None:
    told = running_venue.json(
        "load", "--orders", "300", "--clients", "3", "--in-flight", "8", "--signature", signature, "--market", "ETHKZT"
    )  # fmt: skip
    assert told["orders"] == 300
    assert told["cancels"] > 50
    assert told["fills"] >= 90
    assert told["refusals"] == {}
    assert told["unknown"] == 0
    latency = told["latency"]
    assert 0 < latency["p50_us"] <= latency["p99_us"] <= latency["p99.9_us"] <= latency["max_us"]
    assert {"gateway", "engine", "settlement", "store", "generator"} <= told["cpu_us_per_request"].keys()
    assert resting_orders(running_venue, "ETHKZT") == 0


def test_an_open_loop_keeps_its_schedule(running_venue: VenueProcess) -> None:
    told = running_venue.json(
        "load", "--rate", "400", "--orders", "200", "--clients", "2", "--mix", "trade", "--market", "ETHKZT"
    )  # fmt: skip
    assert told["orders"] == 200
    # The last of 200 was due after 199 of 400 parts of a second.
    assert told["seconds"] >= 199 / 400
    assert told["in_flight"] is None


def test_refusals_are_told_by_reason(running_venue: VenueProcess) -> None:
    halted = running_venue.jibek("market", "halt", "BTCKZT", "--why", "a test")
    assert halted.returncode == 0, halted.stderr
    try:
        told = running_venue.json("load", "--orders", "40", "--clients", "1", "--mix", "trade", "--market", "BTCKZT")
    finally:
        running_venue.jibek("market", "resume", "BTCKZT", "--why", "a test")
    (reason,) = told["refusals"]
    assert reason == "Market is closed. (-2010)"
    assert told["refusals"][reason] == 40
    assert told["fills"] == 0


def test_a_venue_is_loaded_by_its_url_alone(running_venue: VenueProcess, tmp_path: object) -> None:
    running_venue.json("account", "create", "loader", "--deposit", "ETH=1000", "--deposit", "KZT=9000000")
    key = running_venue.json("account", "key", "loader", "--type", "ed25519")
    private_key = running_venue.data / "loader.pem"
    private_key.write_text(key["private_key"])
    facts = running_venue.facts()
    told = running_venue.json(
        "load", "--url", f"ws://127.0.0.1:{facts['port']}", "--key", key["key"], "--private-key", str(private_key),
        "--orders", "60", "--clients", "2", "--market", "ETHKZT", "--price", "1600000",
    )  # fmt: skip
    assert (told["orders"], told["refusals"], told["fills"]) == (60, {}, None)
    assert list(told["cpu_us_per_request"]) == ["generator"]


def test_text_for_people(running_venue: VenueProcess) -> None:
    result = running_venue.jibek("load", "--orders", "50", "--clients", "1", "--market", "ETHKZT")
    assert result.returncode == 0, result.stderr
    for words in ("orders a second", "Acknowledged after", "p99.9", "µs a request", "gateway"):
        assert words in result.stdout


def test_a_missing_venue_and_wrong_options_end_in_one_sentence(running_venue: VenueProcess) -> None:
    for arguments, code, words in (
        (("--market", "NONE"), 1, "no market NONE"),
        (("--price", "x"), 2, "no positive number"),
        (("--price", "1"), 1, "too near to an end"),
        (("--up",), 2, "say one of --up, --data and --url"),
        (("--url", "ws://127.0.0.1:1"), 2, "--url needs --key"),
    ):
        result = running_venue.jibek("load", *arguments)
        assert result.returncode == code, (arguments, result.stderr)
        assert words in result.stderr
        assert "Traceback" not in result.stderr


def resting_orders(venue: VenueProcess, symbol: str) -> int:
    told = venue.jibek("market", "book", symbol, "--json")
    book = json.loads(told.stdout)
    return len(book["bids"]) + len(book["asks"])
