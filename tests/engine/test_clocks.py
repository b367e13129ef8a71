"""When clocks have parted, and when it only takes long to look at them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import Store
from engine.service.clocks import (
    DRIFT_PPM_MAX,
    MACHINE,
    Accepted,
    Look,
    Machine,
    baseline_of,
    look_at,
    moved,
    parted,
    stepped,
)

S = 1_000_000
NOW = 1_800_000_000 * S
HOUR = 3_600 * S


def look(at: int = 0, *, wall: int = 0, store: int = 0, took: int = 0) -> Look:
    """A look that began so many microseconds after the machine's start; clocks that are right show NOW plus as much."""
    return Look(at, NOW + at + wall, NOW + at + store, at + took)


@pytest.mark.parametrize(
    ("seen", "venue_time", "accepted", "texts"),
    [
        (look(), 0, Accepted(), []),
        (look(), NOW, Accepted(), []),
        (look(), NOW - 8 * HOUR, Accepted(), []),
        (look(store=5 * S), 0, Accepted(), []),
        (look(store=5 * S + 1), 0, Accepted(), ["the store's clock is 5.0 s ahead of the machine's"]),
        (look(store=-HOUR), 0, Accepted(), ["the store's clock is 3600.0 s behind the machine's"]),
        (look(store=HOUR), 0, Accepted(HOUR), []),
        (look(store=HOUR), NOW + HOUR, Accepted(HOUR), []),
        (look(), 0, Accepted(HOUR), ["the store's clock is 0.0 s ahead of the machine's, and an operator has accepted 3600.0 s ahead of it"]),
        (look(), NOW + 5 * S, Accepted(), []),
        (look(), NOW + HOUR, Accepted(), ["the venue's time is 3600.0 s ahead of the store's clock: a clock stood ahead when an entry was stamped"]),
        (look(), NOW + HOUR, Accepted(time_us=NOW + HOUR), []),
        (look(), NOW + HOUR + 1, Accepted(time_us=NOW + HOUR), ["the venue's time is 3600.0 s ahead of the store's clock: a clock stood ahead when an entry was stamped"]),
        # The venue's time was ahead when it was accepted, and then somebody has set the store's clock back.
        (look(store=-S), NOW + HOUR, Accepted(time_us=NOW + HOUR, store_us=NOW + 4 * S), []),
        (look(wall=-HOUR, store=-HOUR), NOW + HOUR, Accepted(time_us=NOW + HOUR, store_us=NOW), ["the store's clock is 3600.0 s before what it showed when an operator accepted the clocks"]),
        # Between the clocks of the machine and the store the process was stopped for ten minutes, or the store was busy.
        (look(store=600 * S, took=601 * S), 0, Accepted(), []),
        (look(store=600 * S, took=594 * S), 0, Accepted(), ["the store's clock is 600.0 s ahead of the machine's"]),
        (look(store=-600 * S, took=600 * S), 0, Accepted(), ["the store's clock is 600.0 s behind the machine's"]),
    ],
)  # fmt: skip
def test_clocks_part(seen: Look, venue_time: int, accepted: Accepted, texts: list[str]) -> None:
    assert [fault.text for fault in parted(seen, venue_time, accepted)] == texts


@pytest.mark.parametrize(
    ("before", "now", "text"),
    [
        (look(0), look(S), ""),
        (look(0), look(S, wall=5 * S), ""),
        (look(0), look(S, wall=5 * S + 1), "the machine's clock was set 5.0 s ahead"),
        (look(0), look(S, wall=HOUR), "the machine's clock was set 3600.0 s ahead"),
        (look(0, wall=HOUR), look(S), "the machine's clock was set 3600.0 s back"),
        (look(0, wall=HOUR), look(S, wall=HOUR), ""),
        # The machine slept, or the process was stopped, for a night: both clocks of the machine went on.
        (look(0), look(8 * HOUR), ""),
        # It was stopped for a night between reading one clock and the other.
        (look(0), look(S, wall=8 * HOUR, took=8 * HOUR), ""),
        (look(0, wall=8 * HOUR, took=8 * HOUR), look(8 * HOUR + S), ""),
    ],
)
def test_a_machine_whose_clock_was_set(before: Look, now: Look, text: str) -> None:
    fault = stepped(baseline_of(before), now)
    assert (fault.text if fault else "") == text


@given(steps=st.lists(st.integers(-5 * S, 5 * S), max_size=30), every=st.integers(S, 60 * S))
def test_small_steps_show_when_they_add_up(steps: list[int], every: int) -> None:
    """Each is as long as clocks may be apart; the first by which they are too far from where they began shows."""
    baseline, wall = baseline_of(look()), 0
    for number, step in enumerate(steps, 1):
        wall += step
        seen = look(number * every, wall=wall)
        if stepped(baseline, seen) is not None:
            assert abs(wall) > 5 * S - number * every * DRIFT_PPM_MAX // 1_000_000
            return
        baseline = moved(baseline, seen)
        assert abs(wall) <= 5 * S + number * every * DRIFT_PPM_MAX // 1_000_000
        assert baseline.low_us <= baseline.high_us


PAUSES = st.lists(st.integers(0, 10 * HOUR), min_size=7, max_size=7)


@given(pauses=PAUSES, step=st.integers(-HOUR, HOUR), skew=st.integers(-S, S))
def test_no_pause_looks_like_a_step_and_no_step_like_a_pause(pauses: list[int], step: int, skew: int) -> None:
    """Whenever the process is stopped within two looks: a step shows if it is longer than both took, and only a step does."""
    at, looks = 0, []
    for set_us, gaps in ((0, pauses[:3]), (step, pauses[3:6])):
        began = at = at + pauses[6]
        at += gaps[0]
        wall = NOW + at + set_us
        at += gaps[1]
        store = NOW + at + set_us + skew
        at += gaps[2]
        looks.append(Look(began, wall, store, at))
    fault = stepped(baseline_of(looks[0]), looks[1])
    if abs(step) <= 5 * S:
        assert fault is None
    elif abs(step) > 5 * S + sum(pauses[:6]):
        assert fault is not None and fault.kind == ("set ahead" if step > 0 else "set back")
    assert all(parted(seen, seen.store_us, Accepted()) == [] for seen in looks), "the store is at most a second apart"


def test_the_clocks_are_read_within_the_look(client: Store) -> None:
    times = iter((10, 20))
    seen = look_at(client, Machine(lambda: NOW, lambda: next(times)))
    assert (seen.began_us, seen.wall_us, seen.ended_us) == (10, NOW, 20)
    real = look_at(client, MACHINE)
    assert abs(real.difference_us) < 60 * S, "one machine has one clock"
    assert MACHINE.since_start_us() >= real.ended_us >= real.began_us
