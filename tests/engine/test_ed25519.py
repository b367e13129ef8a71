"""Which Ed25519 public keys are sound, against a library's keys, known weak points, and the curve's own arithmetic."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

import engine.core
import engine.reference
from engine.ed25519 import CURVE_D, NEUTRAL, PRIME, Point, _double, decode, is_sound
from engine.reasons import Reason
from engine.records import KEY_DEFINITION, BatchBuilder, Command, CommandKind, EventEntry, KeyDefinition, KeyType
from tests.worlds.accounts import BY_TEST

SIGN = 1 << 255

ORDER_EIGHT = [
    int.from_bytes(bytes.fromhex(text), "little")
    for text in (
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
]
SMALL_ORDER = [1, PRIME - 1, 0, SIGN, *ORDER_EIGHT, *(y | SIGN for y in ORDER_EIGHT)]
"""The eight points of small order in their canonical forms."""
NOT_CANONICAL = [
    # The neutral point and that of order two have x = 0, which has no sign.
    1 | SIGN, PRIME - 1 | SIGN,
    # y that is not below the prime, with and without a sign: all that fit into 255 bits.
    *(y | sign for y in range(PRIME, 1 << 255) for sign in (0, SIGN)),
]  # fmt: skip


def key_of(number: int) -> bytes:
    return number.to_bytes(32, "little")


def public_key_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def is_on_curve(point: Point) -> bool:
    x, y = point
    return (y * y - x * x - 1 - CURVE_D * x * x * y * y) % PRIME == 0


def test_the_list_of_small_points_is_whole() -> None:
    points = {decode(key_of(number)) for number in SMALL_ORDER}
    assert len(points - {None}) == 8
    for point in points:
        assert point is not None
        assert is_on_curve(point)
        assert _double(_double(_double(point))) == NEUTRAL


@pytest.mark.parametrize("number", [*SMALL_ORDER, *NOT_CANONICAL], ids=hex)
def test_weak_and_misspelt_keys_are_not_sound(number: int) -> None:
    assert not is_sound(key_of(number))


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_every_key_that_is_made_is_sound_and_is_its_point(seed: bytes) -> None:
    public_key = public_key_of(seed)
    assert is_sound(public_key)
    point = decode(public_key)
    assert point is not None
    assert is_on_curve(point)
    assert key_of(point[1] | (point[0] % 2) << 255) == public_key


@settings(max_examples=200, deadline=None)
@given(st.integers(2, PRIME - 2))
def test_half_of_all_numbers_name_no_point(y: int) -> None:
    """By Euler's criterion, which the decoder does not use."""
    square = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, PRIME) % PRIME
    is_square = square == 0 or pow(square, (PRIME - 1) // 2, PRIME) == 1
    assert (decode(key_of(y)) is not None) == is_square


@pytest.mark.parametrize("core", [engine.reference.Core, engine.core.Core])
def test_an_engine_refuses_them_by_name_and_takes_the_others(core: type) -> None:
    keys = [*map(key_of, (0, 1, ORDER_EIGHT[0], PRIME + 1, 2)), public_key_of(bytes(32))]
    builder = BatchBuilder()
    builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"alice", *BY_TEST)
    definition = KEY_DEFINITION.pack(KeyDefinition(KeyType.ED25519, 3))
    for number, public_key in enumerate(keys):
        parts = (definition, f"key{number}".encode(), public_key, b"", *BY_TEST)
        builder.add(Command(kind=CommandKind.KEY_ADD, account=1), *parts)
    entry = EventEntry(core().execute(1, builder.build(producer=9, incarnation=1, number=1)))
    reasons = [Reason(event.reason) for event in entry][1:]
    assert reasons == [Reason.WEAK_PUBLIC_KEY] * 5 + [Reason.NONE]
