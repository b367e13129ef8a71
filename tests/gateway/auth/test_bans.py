"""Bans of addresses that keep failing: as a table, and against a model that keeps everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.bans import Bans
from gateway.limits import (
    BAN_MEMORY_S,
    BAN_S_MAX,
    BAN_S_MIN,
    FAILURES_INTERVAL_S,
    BanSettings,
)

FAILURES_MAX = BanSettings().failures_max
DAY_MS = BAN_MEMORY_S * 1000
FIRST_MS, LAST_MS = BAN_S_MIN * 1000, BAN_S_MAX * 1000
INTERVAL_MS = FAILURES_INTERVAL_S * 1000
START_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("failures", "is_banned"),
    [
        ([(0, FAILURES_MAX)], True),
        ([(0, FAILURES_MAX - 1)], False),
        ([(0, 1_000_000)], True),
        ([(0, FAILURES_MAX - 1), (INTERVAL_MS - 1, 1)], True),
        ([(0, FAILURES_MAX - 1), (INTERVAL_MS, 1)], False),
        ([(0, 1), (1, FAILURES_MAX - 2), (INTERVAL_MS, 1)], False),
        ([(0, 1), (1, FAILURES_MAX - 2), (INTERVAL_MS - 1, 1)], True),
        ([(second * 1300, 1) for second in range(200)], False),
        ([(second * 1200, 1) for second in range(200)], True),
    ],
)
def test_an_address_that_fails_too_often_is_banned(failures: list[tuple[int, int]], is_banned: bool) -> None:
    bans = Bans()
    was_banned = False
    for after_ms, count in failures:
        bans.failed("a", START_MS + after_ms, count)
        was_banned = was_banned or bans.until_ms("a", START_MS + after_ms) > 0
    assert was_banned is is_banned
    assert bans.until_ms("b", START_MS) == 0


def ban(bans: Bans, address: str, now_ms: int) -> int:
    """Bans an address, and returns for how long."""
    bans.failed(address, now_ms, FAILURES_MAX)
    return bans.until_ms(address, now_ms) - now_ms


def test_each_ban_is_twice_as_long_as_the_last_up_to_three_days() -> None:
    bans, now_ms, lengths_ms = Bans(), START_MS, []
    for _ in range(14):
        lengths_ms.append(ban(bans, "a", now_ms))
        assert bans.until_ms("a", now_ms + lengths_ms[-1] - 1) == now_ms + lengths_ms[-1]
        assert bans.until_ms("a", now_ms + lengths_ms[-1]) == 0
        now_ms += lengths_ms[-1]
    assert lengths_ms == [min(FIRST_MS * 2**index, LAST_MS) for index in range(14)]
    assert lengths_ms[0] == 120_000 and lengths_ms[-1] == 3 * DAY_MS


def test_a_day_without_a_ban_makes_the_next_one_the_first() -> None:
    bans = Bans()
    assert ban(bans, "a", START_MS) == FIRST_MS
    ended_ms = START_MS + FIRST_MS
    assert ban(bans, "a", ended_ms + DAY_MS - 1) == 2 * FIRST_MS
    ended_ms += DAY_MS - 1 + 2 * FIRST_MS
    assert ban(bans, "a", ended_ms + DAY_MS) == FIRST_MS


def test_what_comes_during_a_ban_does_not_count() -> None:
    bans = Bans()
    until_ms = START_MS + ban(bans, "a", START_MS)
    bans.failed("a", until_ms - 1, 1000)
    assert bans.until_ms("a", until_ms - 1) == until_ms
    bans.failed("a", until_ms, FAILURES_MAX - 1)
    assert bans.until_ms("a", until_ms) == 0


def test_addresses_that_are_too_many_are_not_banned_until_others_are_forgotten() -> None:
    bans = Bans(addresses_max=2)
    bans.failed("a", START_MS)
    assert ban(bans, "b", START_MS) == FIRST_MS
    bans.failed("c", START_MS, FAILURES_MAX)
    assert (len(bans), bans.until_ms("c", START_MS)) == (2, 0)
    # "a" has nothing to remember after an interval; "b" is remembered for a day after its ban.
    later_ms = START_MS + INTERVAL_MS
    assert ban(bans, "c", later_ms) == FIRST_MS
    assert (len(bans), bans.until_ms("b", later_ms)) == (2, START_MS + FIRST_MS)
    assert ban(bans, "d", START_MS + FIRST_MS + DAY_MS - 1) < 0
    assert ban(bans, "d", START_MS + FIRST_MS + DAY_MS + INTERVAL_MS) == FIRST_MS


def test_each_ban_is_noted_once() -> None:
    noted: list[tuple[str, int]] = []
    bans = Bans(note_ban=lambda address, seconds: noted.append((address, seconds)))
    bans.failed("a", START_MS, FAILURES_MAX - 1)
    assert noted == []
    bans.failed("a", START_MS, 10)
    bans.failed("a", START_MS + 1, 10)
    ban(bans, "a", START_MS + FIRST_MS)
    assert noted == [("a", 120), ("a", 240)]


class Model:
    """The rule word for word: keeps every failure and every ban of one address."""

    def __init__(self) -> None:
        self.failures_ms: list[int] = []
        self.bans_ms: list[tuple[int, int]] = []

    def until_ms(self, now_ms: int) -> int:
        return next((end for start, end in self.bans_ms if start <= now_ms < end), 0)

    def failed(self, now_ms: int, count: int) -> None:
        if self.until_ms(now_ms):
            return
        self.failures_ms += [now_ms] * count
        began_ms = max([now_ms - INTERVAL_MS, *(end - 1 for _, end in self.bans_ms[-1:])])
        if sum(each > began_ms for each in self.failures_ms) >= FAILURES_MAX:
            length_ms = FIRST_MS
            if self.bans_ms and now_ms < self.bans_ms[-1][1] + DAY_MS:
                length_ms = min(2 * (self.bans_ms[-1][1] - self.bans_ms[-1][0]), LAST_MS)
            self.bans_ms.append((now_ms, now_ms + length_ms))


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([0, 1, 500, INTERVAL_MS - 1, INTERVAL_MS, FIRST_MS, 4 * FIRST_MS, DAY_MS, DAY_MS + FIRST_MS]),
        st.sampled_from([1, 10, 25, FAILURES_MAX - 1, FAILURES_MAX, 200]),
    ),
    max_size=40,
)


@given(STEPS)
def test_bans_are_those_of_the_rule(steps: list[tuple[str, int, int]]) -> None:
    bans, models, now_ms = Bans(), {address: Model() for address in "abc"}, START_MS
    for address, after_ms, count in steps:
        now_ms += after_ms
        bans.failed(address, now_ms, count)
        models[address].failed(now_ms, count)
        for each, model in models.items():
            assert bans.until_ms(each, now_ms) == model.until_ms(now_ms), each
            assert bans.until_ms(each, now_ms + FIRST_MS) == model.until_ms(now_ms + FIRST_MS), each


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, INTERVAL_MS), st.integers(1, 60)), max_size=50))
def test_the_table_never_grows_beyond_its_bound(steps: list[tuple[int, int, int]]) -> None:
    bans, now_ms = Bans(addresses_max=4), START_MS
    for number, after_ms, count in steps:
        now_ms += after_ms
        bans.failed(f"{number}", now_ms, count)
        assert len(bans) <= 4


def test_a_clock_that_stood_ahead_for_a_moment_makes_no_ban_longer() -> None:
    bans, ahead_ms = Bans(), START_MS + 3_600_000
    ban(bans, "a", ahead_ms)
    assert bans.until_ms("a", START_MS) == START_MS + FIRST_MS
    assert bans.until_ms("a", START_MS + 1_000) == START_MS + FIRST_MS, "the end does not move on"
    assert bans.until_ms("a", START_MS + FIRST_MS) == 0
    bans.failed("b", ahead_ms, FAILURES_MAX - 1)
    bans.failed("b", START_MS, 1)
    assert bans.until_ms("b", START_MS) == 0, "when the others happened is not known any more"


def test_an_address_from_before_the_clock_was_set_back_takes_the_place_of_no_other() -> None:
    bans, ahead_ms = Bans(addresses_max=1), START_MS + 3_600_000
    for address in "ab":
        bans.failed(address, ahead_ms)
    bans.failed("b", START_MS, FAILURES_MAX)
    assert bans.until_ms("b", START_MS) == START_MS + FIRST_MS
    assert len(bans) == 1
