"""What a signature is over, and which signatures count."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.records import KeyDefinition, KeyType
from gateway.auth.keys import Key
from gateway.auth.signatures import is_signed_by, signature_payload
from gateway.dialect.numbers import NumberToken
from gateway.dialect.requests import Request, read_request
from gateway.view.accounts import Account
from tests.worlds.accounts import HmacKey

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SIGNATURE = "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
DOCUMENTED = {
    "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
    "price": "52000.00", "recvWindow": 100, "timestamp": 1645423376532, "apiKey": API_KEY, "signature": SIGNATURE,
}  # fmt: skip


def hmac_key(secret: str = SECRET) -> Key:
    key = Key(API_KEY, Account(1), KeyDefinition(KeyType.HMAC_SHA256, 3), b"")
    key.secret = secret.encode()
    return key


def exact_request(frame: str) -> Request:
    request = read_request(frame.encode())
    request.use_exact_params()
    return request


def test_the_documented_vector() -> None:
    request = exact_request(json.dumps({"id": 1, "method": "order.place", "params": DOCUMENTED}))
    assert signature_payload(request.params) == (
        f"apiKey={API_KEY}&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT"
        "&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
    )
    assert is_signed_by(hmac_key(), request.params)
    assert not is_signed_by(hmac_key("another"), request.params)


@pytest.mark.parametrize("change", [("price", "52000.01"), ("signature", SIGNATURE.upper()), ("signature", "é"),
                                    ("signature", SIGNATURE[:-1]), ("signature", 5), ("extra", "1"), ("x", [1])])  # fmt: skip
def test_a_changed_request_does_not_verify(change: tuple[str, Any]) -> None:
    params = {**DOCUMENTED, change[0]: change[1]}
    request = exact_request(json.dumps({"id": 1, "method": "order.place", "params": params}))
    assert is_signed_by(hmac_key(), request.params) is (change[1] == SIGNATURE.upper())


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ('"p":0.010', "p=0.010"),
        ('"p":1e-7', "p=1e-7"),
        ('"p":1E5', "p=1E5"),
        ('"p":0.00001', "p=1e-05"),
        ('"p":true', "p=true"),
        ('"p":false', "p=False"),
        ('"p":123456789012345678901234567890', "p=123456789012345678901234567890"),
        ('"p":"b=c"', "p=b=c"),
        ('"p":"\\u20ac"', "p=€"),
        ('"p":"１２"', "p=１２"),
        ('"b":1,"a":2', "a=2&b=1"),
    ],
)
def test_numbers_are_verified_as_they_were_sent(sent: str, signed: str) -> None:
    key = HmacKey(API_KEY, SECRET)
    request = exact_request(f'{{"id":1,"method":"m","params":{{{sent},"signature":"{key.sign(signed)}"}}}}')
    assert is_signed_by(hmac_key(), request.params)


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ('"a=1&b":"2"', "a=1&b=2"),
        ('"a=1":"2"', "a=1=2"),
        ('"a&b":"2"', "a&b=2"),
        ('"a":"1&b=2"', "a=1&b=2"),
        ('"a":1,"b=":0.5', "a=1&b==0.5"),
    ],
)
def test_no_parameter_is_hidden_in_another(sent: str, signed: str) -> None:
    """Else who changes a request on its way could take the restriction off a cancel, or the name off an order."""
    key = HmacKey(API_KEY, SECRET)
    request = exact_request(f'{{"id":1,"method":"m","params":{{{sent},"signature":"{key.sign(signed)}"}}}}')
    assert not is_signed_by(hmac_key(), request.params)


def test_ed25519() -> None:
    private_key = Ed25519PrivateKey.generate()
    key = Key("k", Account(1), KeyDefinition(KeyType.ED25519, 3), private_key.public_key().public_bytes_raw())
    good = base64.b64encode(private_key.sign(b"a=1")).decode()
    for signature, verifies in [(good, True), (good[:-4], False), ("!!", False), ("", False), ("é", False)]:
        assert is_signed_by(key, {"a": NumberToken("1"), "signature": signature}) is verifies
