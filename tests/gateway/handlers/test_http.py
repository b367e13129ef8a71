"""One router for WebSockets and for HTTP: any method, answered at once or when a command has come back."""

from __future__ import annotations

import json

import pytest

from engine.reasons import Reason
from engine.records import COMMAND, Command, CommandKind
from gateway.dialect.rejects import Rejected
from gateway.handlers.call import Call, Outcome, Result, Route
from gateway.handlers.routes import ROUTES
from gateway.journal.pending import PendingCommand
from gateway.wire.http_side import HttpRequest
from tests.worlds.accounts import MARKETS
from tests.worlds.gateway_in_process import GatewayInProcess


def echo(call: Call) -> Outcome:
    return Result(json.dumps(dict(call.params)))


def cancel_all(call: Call) -> Outcome:
    """A command of account 1, as a route with a key would make it."""
    command = COMMAND.pack(Command(kind=CommandKind.ORDER_CANCEL_ALL, account=1, market=MARKETS["BTCKZT"]))
    account = call.state.view.projection.account(1)
    return PendingCommand(call.caller, account, "null", command, "CANCEL_ALL", False, reduces=True)


def refuse(call: Call) -> Outcome:
    raise Rejected(Reason.INVALID_API_KEY_FORMAT)


CHANGING = {
    "get": Route(echo, 1, http="GET /x"),
    "post": Route(echo, 2, http="POST /x"),
    "put": Route(echo, 3, http="PUT /x"),
    "delete": Route(cancel_all, 4, http="DELETE /orders", cancels=True),
    "refuse": Route(refuse, 1, http="POST /refuse"),
}


def request(method: str, path: str, query: str = "", body: bytes = b"") -> HttpRequest:
    return HttpRequest(method, path, query, {}, body)


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess(routes=CHANGING)


@pytest.mark.parametrize(
    ("method", "query", "body", "params", "weight"),
    [
        ("GET", "a=1", b"b=2", {"a": "1"}, 1),
        ("POST", "a=1", b"b=2", {"a": "1", "b": "2"}, 2),
        ("PUT", "", b"a=1&b=%20x", {"a": "1", "b": " x"}, 3),
        ("POST", "a=1", b"a=2", {"a": "1"}, 2),
    ],
)
def test_a_method_has_the_route_of_its_own(
    rig: GatewayInProcess, method: str, query: str, body: bytes, params: dict[str, str], weight: int
) -> None:
    (answer,) = rig.http(request(method, "/x", query, body))
    assert (answer.status, json.loads(answer.body)) == (200, params)
    assert dict(answer.headers)["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_a_command_is_answered_when_its_events_have_come_back() -> None:
    rig = GatewayInProcess(routes={**ROUTES, **CHANGING})
    rig.trader(KZT="100000000").place("BTCKZT", "BUY", "0.01", "50000000")
    answers = rig.http(request("DELETE", "/orders"))
    assert answers == []
    rig.turn()
    (answer,) = answers
    assert answer.status == 200
    assert [order["status"] for order in json.loads(answer.body)] == ["CANCELED"]


def test_a_command_that_the_engine_refuses_has_its_status_and_code(rig: GatewayInProcess) -> None:
    rig.account(KZT="1")
    answers = rig.http(request("DELETE", "/orders"))
    rig.turn()
    (answer,) = answers
    assert (answer.status, json.loads(answer.body)["code"]) == (400, -2011)


def test_a_method_that_a_path_has_not_is_named_with_those_that_it_has(rig: GatewayInProcess) -> None:
    (answer,) = rig.http(request("DELETE", "/x"))
    assert (answer.status, dict(answer.headers)["Allow"]) == (405, "GET, POST, PUT")
    assert json.loads(answer.body)["msg"] == "This operation is not supported: DELETE /x."


def test_what_a_handler_refuses_is_answered(rig: GatewayInProcess) -> None:
    (answer,) = rig.http(request("POST", "/refuse"))
    assert (answer.status, json.loads(answer.body)["code"]) == (401, -2014)


def test_no_route_that_needs_a_key_is_offered_over_http_yet() -> None:
    assert [name for name, route in ROUTES.items() if route.http and route.needs is not None] == []
    with pytest.raises(AssertionError, match=r"order\.place"):
        GatewayInProcess(routes={"order.place": ROUTES["order.place"]._replace(http="POST /api/v3/order")})
