"""A request means the same, however it is signed: by HMAC, by Ed25519, or by the session's logon."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.reasons import Reason
from gateway.auth.replay_guard import ReplayGuard
from gateway.dialect.rejects import Rejected
from gateway.journal.pending import PendingCommand
from tests.worlds.accounts import Ed25519Key, HmacKey
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient

RICH = {"BTC": "1000", "KZT": "100000000000"}

PLACE: dict[str, Any] = {
    "symbol": "BTCKZT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "40000000", "quantity": "0.01",
}  # fmt: skip
REQUESTS: dict[str, dict[str, Any]] = {
    "order.place": PLACE,
    "order.cancel": {"symbol": "BTCKZT", "orderId": 1},
    "order.status": {"symbol": "BTCKZT", "orderId": 1},
    "openOrders.status": {"symbol": "BTCKZT"},
    "myTrades": {"symbol": "BTCKZT"},
    "account.status": {},
}
TEXTS = [
    "BTCKZT",
    "BUY",
    "LIMIT",
    "MARKET",
    "LIMIT_MAKER",
    "GTC",
    "ACK",
    "FULL",
    "mine",
    "jibek-1",
    "NONE",
    "ONLY_NEW",
    "",
]
VALUES = st.one_of(
    st.sampled_from([*TEXTS, "true", "1", "0.01", "1e3", "-1", 5, 0, -1, 0.01, 1e-05, 1e16, 10.0, 2**63, 10**20]),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([True, False, None]),
    st.text("a1.-", max_size=4),
)
NAMES = st.sampled_from(
    [
        "symbol",
        "side",
        "type",
        "timeInForce",
        "price",
        "quantity",
        "quoteOrderQty",
        "newClientOrderId",
        "newOrderRespType",
        "stopPrice",
        "icebergQty",
        "strategyId",
        "selfTradePreventionMode",
        "postOnly",
        "reduceOnly",
        "orderId",
        "origClientOrderId",
        "cancelRestrictions",
        "limit",
        "fromId",
        "startTime",
        "endTime",
        "omitZeroBalances",
        "recvWindow",
        "returnRateLimits",
    ]
)


class World:
    """One account with a key of each kind; commands are noted and go no further."""

    def __init__(self) -> None:
        self.rig = rig = GatewayInProcess()
        self.logged_on = rig.trader(**RICH)
        self.logged_on.place(
            **{name: PLACE[name] for name in ("symbol", "side", "quantity", "price")}, newClientOrderId="mine"
        )
        account = rig.projection.orders[1].account.number
        self.keys: list[HmacKey | Ed25519Key] = [rig.hmac_key(account), rig.ed25519_key(account)]
        self.commands: list[bytes] = []
        rig.pipeline.add = self._note  # type: ignore[method-assign]

    def _note(self, command: PendingCommand, now_s: float) -> None:
        self.commands.append(command.command + command.response.encode())
        raise Rejected(Reason.OVERLOADED)

    def outcome(self, client: InProcessClient, method: str, params: dict[str, Any]) -> Any:
        """The command that a request becomes, or else its result or its refusal."""
        self.commands.clear()
        # No time passes here, and the method is not signed: the requests of two examples may have one signature.
        self.rig.state.replays = ReplayGuard()
        self.rig.marks.clear()
        client.send(json.dumps({"id": 1, "method": method, "params": params}).encode())
        (reply,) = client.take()
        return list(self.commands) or reply.get("result", reply.get("error"))


WORLD = World()


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(REQUESTS)), st.dictionaries(NAMES, VALUES, max_size=3))
@example("order.place", {"newClientOrderId": 5})
@example("order.place", {"symbol": 5})
@example("order.place", {"newOrderRespType": 1})
@example("order.place", {"quantity": 0.01, "newClientOrderId": 7})
@example("order.cancel", {"origClientOrderId": 5})
@example("order.cancel", {"newClientOrderId": 5})
@example("order.cancel", {"cancelRestrictions": 5})
@example("openOrders.status", {"symbol": 5})
@example("account.status", {"omitZeroBalances": 1})
@example("myTrades", {"limit": 10.0})
@example("myTrades", {"limit": -1})
@example("order.place", {"timestamp": -1})
@example("order.place", {"timestamp": 2**63})
def test_a_request_means_the_same_however_it_is_signed(method: str, changes: dict[str, Any]) -> None:
    params = {"timestamp": WORLD.rig.now_ms, **REQUESTS[method], **changes}
    expected = WORLD.outcome(WORLD.logged_on, method, params)
    for key in WORLD.keys:
        client = WORLD.rig.client()
        assert WORLD.outcome(client, method, client.signed(key, **params)) == expected, key


def test_a_whole_number_of_minus_zero_is_zero_for_every_reader() -> None:
    """Only a raw frame can say so: readers without tokens lose the sign."""
    for method, text, name in (("myTrades", '"fromId":-0', "fromId"), ("order.place", '"quantity":-0', "quantity")):
        outcomes = []
        rest = {key: value for key, value in REQUESTS[method].items() if key != name}
        for key in (None, *WORLD.keys):
            client = WORLD.rig.client() if key else WORLD.logged_on
            signed = {"timestamp": WORLD.rig.now_ms, **rest}
            if key is not None:
                signed["apiKey"] = key.id
                payload = {**{name: str(value) for name, value in signed.items()}, name: "-0"}
                signed["signature"] = key.sign("&".join(f"{name}={payload[name]}" for name in sorted(payload)))
            frame = json.dumps({"id": 1, "method": method, "params": signed})[:-2] + f",{text}}}}}"
            client.send(frame.encode())
            (reply,) = client.take()
            outcomes.append(reply.get("result", reply.get("error")))
        assert outcomes[0] == outcomes[1] == outcomes[2], outcomes
        assert outcomes[0] == [] or outcomes[0]["code"] == -1013
