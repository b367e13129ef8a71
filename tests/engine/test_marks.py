"""Marks of used signatures on a real store: set with the batch or not at all, never twice, and gone in time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from engine.journal import (
    JOURNAL_KEY,
    PRODUCERS_KEY,
    Mark,
    Opening,
    Store,
    append_call,
    mark_name,
    mark_used_call,
    open_call,
)
from engine.records import BatchBuilder, Command, CommandKind

PRODUCER = 9
LIFETIME_MS = 60_000

Append = Callable[..., object]


@pytest.fixture(params=[False, True], ids=["append", "append_reducing"])
def append(client: Store, request: pytest.FixtureRequest) -> Append:
    """Appends a batch with these marks, under the next number or another."""
    incarnation = Opening.parse(client.execute_command(*open_call(PRODUCER))).incarnation

    def append(*marks: Mark, number: int) -> object:
        builder = BatchBuilder()
        builder.add(Command(kind=CommandKind.TIME_TICK))
        batch = builder.build(producer=PRODUCER, incarnation=incarnation, number=number)
        return client.execute_command(*append_call(1, batch, reducing=request.param, marks=marks))

    return append


def mark(name: str, method: str = "order.place", lifetime_ms: int = LIFETIME_MS) -> Mark:
    return Mark("key", mark_name("key", name.encode()), method, lifetime_ms)


def marks_in(client: Store) -> dict[str, str]:
    return {key.decode(): client.get(key).decode() for key in client.scan_iter("{jibek}:used:*")}


def test_a_batch_and_its_marks_are_added_together(client: Store, append: Append) -> None:
    marks = [mark("a"), mark("b", "order.cancel", 1500)]
    assert append(*marks, number=1) == b"1-1"
    assert marks_in(client) == {each.name: each.method for each in marks}
    for each in marks:
        assert 0 < client.pttl(each.name) <= each.lifetime_ms


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["used"], "0"),
        (["a", "used", "b", "also"], "1 3"),
        (["a", "b", "a"], "2"),
        (["a", "used", "a", "used"], "1 2 3"),
    ],
)
def test_a_batch_with_a_used_mark_is_refused_by_place_and_writes_nothing(
    client: Store, append: Append, names: list[str], places: str
) -> None:
    append(mark("used"), mark("also", "account.status"), number=1)
    before = client.dump(PRODUCERS_KEY), client.xlen(JOURNAL_KEY), marks_in(client)
    with pytest.raises(redis.ResponseError) as refused:
        append(*map(mark, names), number=2)
    assert str(refused.value) == f"USED {places}"
    assert (client.dump(PRODUCERS_KEY), client.xlen(JOURNAL_KEY), marks_in(client)) == before
    assert append(mark("fresh"), number=2) == b"1-2", "the number is still free"


def test_a_batch_that_is_not_the_next_one_sets_no_marks(client: Store, append: Append) -> None:
    append(mark("first"), number=1)
    before = marks_in(client)
    for number, refusal in ((1, "THERE 1-1"), (3, "GAP 1")):
        for name in ("first", "other"):
            with pytest.raises(redis.ResponseError, match=refusal):
                append(mark(name), number=number)
    assert marks_in(client) == before


def test_all_commands_of_the_largest_batch_may_be_signed(client: Store, append: Append) -> None:
    marks = [mark(f"n{number}") for number in range(256)]
    assert append(*marks, number=1) == b"1-1"
    with pytest.raises(redis.ResponseError, match="USED 0 1 2 "):
        append(*marks, number=2)


def test_a_mark_of_its_own_says_for_what_the_signature_was_used(client: Store) -> None:
    assert client.execute_command(*mark_used_call(mark("a", "account.status"))) is None
    for method in ("account.status", "session.logon"):
        assert client.execute_command(*mark_used_call(mark("a", method, 1))) == b"account.status"
    assert client.pttl(mark("a").name) > LIFETIME_MS - 10_000, "a copy neither shortens nor lengthens it"


def test_a_full_store_takes_marks_of_their_own(client: Store) -> None:
    """Who cannot log on could not cancel."""
    roomy = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", "1mb")
    try:
        assert client.execute_command(*mark_used_call(mark("a", "session.logon"))) is None
    finally:
        client.config_set("maxmemory", roomy)


def test_a_mark_is_gone_when_its_signature_is_too_old(client: Store) -> None:
    client.execute_command(*mark_used_call(mark("a", lifetime_ms=1)))
    while client.exists(mark("a").name):
        pass
    assert client.execute_command(*mark_used_call(mark("a"))) is None


@pytest.mark.parametrize(
    "call",
    [
        ("FCALL", "jibek_append", 4, "e", "j", "p", "m", "1", "9", "1", "1", "batch"),
        ("FCALL", "jibek_append", 3, "e", "j", "p", "1", "9", "1", "1", "batch", "method", "1"),
        ("FCALL", "jibek_append", 2, "e", "j", "1", "9", "1"),
        ("FCALL", "jibek_mark_used", 1, "m", "method"),
    ],
)
def test_wrong_arguments_are_refused(client: Store, call: tuple[object, ...]) -> None:
    with pytest.raises(redis.ResponseError, match="ARGUMENTS"):
        client.execute_command(*call)
