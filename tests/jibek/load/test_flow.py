"""What a load client sends: its mix, what trades and what rests, signatures, prices and quantities."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from decimal import Decimal

import orjson
import pytest

from jibek.client.trading import Credentials
from jibek.load.flow import BLOCKS, Flow, Terms, TermsImpossible, make_terms

TERMS = Terms("BTCUSDT", Decimal("89000.00"), Decimal("0.01"), Decimal("0.000012"))
RULES = {
    "symbol": "BTCUSDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "10000000.00", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00000100", "maxQty": "1000.00", "stepSize": "0.00000100"},
        {"filterType": "NOTIONAL", "minNotional": "1.00000000"},
    ],
}


@pytest.mark.parametrize(("mix", "orders", "cancels"), [("trade", 200, 0), ("cancel", 108, 92), ("mixed", 158, 42)])
def test_a_mix_has_its_share_of_orders_and_cancels(mix: str, orders: int, cancels: int) -> None:
    flow = Flow(TERMS, mix, "ack", "c-", seed=1)
    methods = Counter(orjson.loads(flow.request(number, 0))["method"] for number in range(1, 201))
    assert methods == Counter({"order.place": orders, "order.cancel": cancels})
    assert flow.orders == orders == sum(flow.is_order(number) for number in range(1, 201))
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
    cancels = 0
    for number in range(1, 9 * BLOCKS):
        request = orjson.loads(flow.request(number, 0))
        params = request["params"]
        if request["method"] == "order.cancel":
            resting.remove(params["origClientOrderId"])
            cancels += 1
        elif "newClientOrderId" in params:
            assert params["newClientOrderId"] not in resting
            resting.add(params["newClientOrderId"])
    assert cancels > len(resting)
    assert len(resting) < 20


def test_what_rests_cannot_meet_what_trades() -> None:
    flow = Flow(TERMS, "mixed", "ack", "c-", seed=4)
    traded: list[Decimal] = []
    bought: list[Decimal] = []
    sold: list[Decimal] = []
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


def test_terms_begin_in_the_middle_of_the_range_if_no_price_is_known() -> None:
    assert make_terms(RULES, None).price == Decimal("316.22")


def test_a_price_at_the_end_of_the_range_is_refused() -> None:
    with pytest.raises(TermsImpossible) as refused:
        make_terms(RULES, Decimal("0.001"))
    assert str(refused.value) == "BTCUSDT takes prices from 0.01 to 10000000: 0.001 is too near to an end"
