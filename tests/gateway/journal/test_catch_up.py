"""Waiting until everything is read that was published, or appended, when somebody asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from engine.journal import BEGINNING, EntryId, Opening
from gateway.auth.rate_limits import RateLimits
from gateway.auth.sessions import Session
from gateway.journal.catch_up import APPENDED, PUBLISHED, CatchUp, Question
from gateway.journal.pipeline import Pipeline
from gateway.journal.writer import JournalWriter
from gateway.venue_view import VenueView
from tests.worlds.sessions import silent_session


class Bench:
    """A store that is asked and answers when the test says so."""

    def __init__(self, earlier: EntryId = BEGINNING, question: Question = PUBLISHED) -> None:
        self.question = question
        self.asked: list[Callable[[Any], None]] = []
        self.resumed: list[tuple[Session, bool]] = []
        self.view = VenueView(RateLimits())
        pipeline = Pipeline(16, lambda command, reject: None)
        pipeline.opened(Opening(2, 1, 1, earlier))
        self.catch_up = CatchUp(cast(JournalWriter, self), self.view, pipeline, question)

    def ask(self, call: tuple[Any, ...], answered: Callable[[Any], None]) -> None:
        assert call == self.question.call
        self.asked.append(answered)

    def wait(self) -> Session:
        session = silent_session()
        self.catch_up.wait(session, lambda has_caught_up: self.resumed.append((session, has_caught_up)))
        return session

    def read(self, sequence: int) -> None:
        self.view.cursor = EntryId(1, sequence)
        self.catch_up.moved()


def in_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())  # type: ignore[arg-type]

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


@in_loop
async def test_one_question_serves_all_who_ask_in_a_turn() -> None:
    bench = Bench()
    waiting = [bench.wait() for _ in range(5000)]
    assert bench.asked == [], "the question leaves when the turn is over"
    await asyncio.sleep(0)
    (answered,) = bench.asked
    answered(b"1-7")
    assert bench.resumed == []
    bench.read(6)
    assert bench.resumed == []
    bench.read(7)
    assert bench.resumed == [(session, True) for session in waiting]


@in_loop
async def test_who_asks_while_a_question_is_on_its_way_waits_for_the_next() -> None:
    """The answer to the first may be older than the request."""
    bench = Bench()
    first = bench.wait()
    await asyncio.sleep(0)
    second, third = bench.wait(), bench.wait()
    bench.read(7)
    bench.asked[0](b"1-7")
    assert bench.resumed == [(first, True)]
    assert len(bench.asked) == 2
    bench.asked[1](b"1-8")
    bench.read(8)
    assert bench.resumed[1:] == [(second, True), (third, True)]
    bench.wait()
    await asyncio.sleep(0)
    assert len(bench.asked) == 3


@in_loop
async def test_while_the_store_is_away_all_who_asked_are_told_so() -> None:
    bench = Bench()
    session = bench.wait()
    await asyncio.sleep(0)
    bench.asked[0](ConnectionError("lost"))
    assert bench.resumed == [(session, False)]


@pytest.mark.parametrize("when", ["gathering", "asking", "reading"])
def test_who_is_gone_is_forgotten(when: str) -> None:
    async def run() -> None:
        bench = Bench()
        session = bench.wait()
        if when != "gathering":
            await asyncio.sleep(0)
        if when == "reading":
            bench.asked[0](b"1-9")
        bench.catch_up.forget(session)
        await asyncio.sleep(0)
        if when != "reading":
            bench.asked[0](b"1-9")
        bench.read(9)
        assert bench.resumed == []

    asyncio.run(run())


@in_loop
async def test_a_gateway_that_was_started_again_reads_first_what_the_one_before_it_has_sent() -> None:
    """Its last batch may be in the journal and not executed yet: until then something of every account may be on its way."""
    bench = Bench(earlier=EntryId(1, 12))
    bench.wait()
    await asyncio.sleep(0)
    bench.asked[0](b"1-10")
    bench.read(11)
    assert bench.resumed == []
    bench.read(12)
    assert len(bench.resumed) == 1


@in_loop
async def test_a_command_waits_for_what_any_gateway_has_appended() -> None:
    """The order that a cancel names may have come through another gateway, and the engine may have still to execute it."""
    bench = Bench(question=APPENDED)
    bench.wait()
    await asyncio.sleep(0)
    bench.asked[0]([b"3 0 0-0", b"2 7 1-9", b"1 1 1-12", b"4 1 1-4"])
    bench.read(11)
    assert bench.resumed == []
    bench.read(12)
    assert len(bench.resumed) == 1
