"""Requests that carry their own key and signature, over a whole gateway without sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.records import BatchBuilder, Command, CommandKind
from gateway.auth.replay_guard import ReplayGuard
from tests.worlds.gateway_in_process import GatewayInProcess

RICH = {"BTC": "10", "KZT": "1000000000"}


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess()


def test_hmac_and_ed25519_keys_sign_single_requests(rig: GatewayInProcess) -> None:
    account = rig.account(**RICH)
    for key in (rig.hmac_key(account), rig.ed25519_key(account)):
        client = rig.client()
        params = client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "50000000"))
        assert client.result("order.place", **params)["status"] == "NEW"


def test_a_secret_is_fetched_once_and_requests_wait_for_it(rig: GatewayInProcess) -> None:
    rig.answers_secrets = False
    key = rig.hmac_key(rig.account(**RICH))
    client = rig.client()
    for id in (1, 2):
        client.send({"id": id, "method": "account.status", "params": client.signed(key)})
    assert client.take() == []
    assert [asked.id for asked in rig.secrets_asked] == [key.id]
    rig.send_secrets()
    assert [(reply["id"], reply["status"]) for reply in client.take()] == [(1, 200), (2, 200)]


def test_without_a_secret_a_key_is_refused_and_asked_for_again(rig: GatewayInProcess) -> None:
    key = rig.hmac_key(rig.account())
    secret = rig.secrets.pop(key.id)
    client = rig.client()
    assert client.refusal("account.status", **client.signed(key))[0] == -2015
    rig.secrets[key.id] = secret
    assert client.ask("account.status", **client.signed(key))["status"] == 200


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"apiKey": None}, 400, -1102),
        ({"apiKey": ""}, 400, -1102),
        ({"apiKey": "unknown"}, 401, -2015),
        ({"apiKey": "not a key!"}, 401, -2014),
        ({"apiKey": "x" * 65}, 401, -2014),
        ({"signature": None}, 400, -1102),
        ({"signature": "00"}, 400, -1022),
        ({"timestamp": 1}, 400, -1021),
    ],
    ids=repr,
)
def test_what_is_refused(rig: GatewayInProcess, change: dict[str, Any], status: int, code: int) -> None:
    client = rig.client()
    params = {**client.signed(rig.hmac_key(rig.account())), **change}
    reply = client.ask("account.status", **{name: value for name, value in params.items() if value is not None})
    assert (reply["status"], reply["error"]["code"]) == (status, code)


WINDOWS = [
    # the JSON of recvWindow, the code of its refusal
    ("1", None),
    ("5000", None),
    ("60000", None),
    ("00060", None),
    ("5000.5", None),
    ("5000.500", None),
    ("59999.999", None),
    ("60000.000", None),
    ("60000.001", -1131),
    ("60001", -1131),
    ("99999", -1131),
    ("100000", -1100),
    ("005000", -1100),
    ("0000000005000", -1100),
    ("5000.5000", -1100),
    ("5000.", -1100),
    (".5", -1100),
    ("5e3", -1100),
    ("5E3", -1100),
    ("-1", -1100),
    ("-0", -1100),
    ("+5", -1100),
    ("5_000", -1100),
    (" 5000", -1100),
    ("5000\\n", -1100),
    ("٥٠٠٠", -1100),
    ("", -1100),
    ("9223372036854775808", -1100),
    ("123456789012345678901234567890", -1100),
]


def json_forms(written: str) -> list[str]:
    """How JSON may carry it: as text, and as a number if it is one."""
    try:
        json.loads(written)
    except ValueError:
        return [f'"{written}"']
    return [f'"{written}"', written.strip()] if written == written.strip() else [f'"{written}"']


@pytest.mark.parametrize("kind", ["session", "hmac", "ed25519"])
@pytest.mark.parametrize(("written", "code"), WINDOWS)
def test_a_window_is_judged_alike_in_every_form_and_way(
    rig: GatewayInProcess, kind: str, written: str, code: int | None
) -> None:
    account = rig.account(**RICH)
    for number, form in enumerate(json_forms(written)):
        client = rig.trader_of(account) if kind == "session" else rig.client()
        orders = [
            client.limit("BTCKZT", "BUY", f"0.01{number}", "50000000"),
            {"symbol": "BTCKZT", "orderId": 1 + number},
        ]
        for method, params in zip(("order.place", "order.cancel"), orders, strict=True):
            params |= {"timestamp": rig.now_ms, "recvWindow": "PLACE"}
            if kind != "session":
                key = rig.hmac_key(account) if kind == "hmac" else rig.ed25519_key(account)
                params["apiKey"] = key.id
                payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
                params["signature"] = key.sign(payload.replace("PLACE", json.loads(f'"{written}"')))
            frame = json.dumps({"id": 1, "method": method, "params": params}).replace('"PLACE"', form)
            reply = client.ask_frame(frame.encode())
            assert reply.get("error", {}).get("code") == code, (method, form)


@pytest.mark.parametrize(("window", "code"), [(None, None), (5000, None), ("5000", None), (5001, -1131), (5000.5, None), (60_000, -1131)])  # fmt: skip
def test_a_logon_has_a_short_window(rig: GatewayInProcess, window: object, code: int | None) -> None:
    client = rig.client()
    params = {} if window is None else {"recvWindow": window}
    reply = client.ask("session.logon", **client.signed(rig.ed25519_key(rig.account()), **params))
    assert reply.get("error", {}).get("code") == code
    assert (client.session.key is None) == (code is not None)
    if code is not None:
        assert reply["error"]["msg"] == "recvWindow of session.logon must be at most 5000."


def test_a_name_twice_is_refused(rig: GatewayInProcess) -> None:
    client = rig.client()
    params = client.signed(rig.hmac_key(rig.account()))
    text = json.dumps({"id": 1, "method": "account.status", "params": params})
    reply = client.ask_frame(text.replace('"apiKey"', '"x":1,"x":2,"apiKey"').encode())
    assert reply["error"]["code"] == -1101


def test_an_own_signature_overrides_the_session(rig: GatewayInProcess) -> None:
    client = rig.trader(**RICH)
    other = rig.account()
    result = client.result("account.status", **client.signed(rig.hmac_key(other)))
    assert result["uid"] == other
    assert client.refusal("account.status", **{**client.signed(rig.hmac_key(other)), "signature": "00"})[0] == -1022


@pytest.mark.parametrize("difference_ms", [0, 3_600_000], ids=["clocks that agree", "a store an hour ahead"])
def test_a_copy_from_before_the_clocks_were_accepted_is_refused_though_its_mark_is_gone(
    rig: GatewayInProcess, difference_ms: int
) -> None:
    """The store's clock stood ahead for a moment, and the marks expired by it; the gateway was started again since."""
    account = rig.account(**RICH)
    clients = rig.client(), rig.client()
    hmac, ed25519 = rig.hmac_key(account), rig.ed25519_key(account)
    clients[1].logon(ed25519)
    order = clients[0].limit("BTCKZT", "BUY", "0.01", "50000000")
    copied = [clients[0].signed(key, **order, recvWindow=60_000) for key in (hmac, ed25519)]
    for params in copied:
        assert clients[0].result("order.place", **params)["status"] == "NEW"
    rig.marks.clear()
    rig.state.replays = ReplayGuard()
    rig.now_ms += 2
    builder = BatchBuilder()
    accepted_us = (rig.now_ms - 1 + difference_ms) * 1000
    command = Command(kind=CommandKind.TIME_ACCEPT, amount=difference_ms * 1000, expiry_us=accepted_us)
    builder.add(command, b"me", b"set right", b"root/0")
    rig.operate(builder)
    for params in copied:
        assert clients[0].refusal("order.place", **params)[0] == -1021
    assert clients[1].refusal("order.place", **{**order, "timestamp": rig.now_ms - 2})[0] == -1021
    for key in (hmac, ed25519):
        assert (
            clients[0].result("order.place", **clients[0].signed(key, **{**order, "timestamp": rig.now_ms}))["status"]
            == "NEW"
        )
    assert clients[1].result("order.place", **{**order, "timestamp": rig.now_ms})["status"] == "NEW"
