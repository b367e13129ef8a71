"""Nothing that was acknowledged is lost, whatever is killed. `make kill-test N=…` kills more often; see docs/reliability.md."""

from __future__ import annotations

from pathlib import Path

from tests.faults.__main__ import fault_text, run_round
from tests.faults.kills import TARGETS, schedule
from tests.worlds.store import binary_of

SEED = 1
KILLS = 20
KILLS_ON_REDIS = 5
"""One of each process."""


def test_nothing_that_was_told_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    result = run_round(tmp_path / "data", SEED, KILLS)
    assert not result.faults, fault_text(result, KILLS, tmp_path)
    # A check of nothing proves nothing.
    for name in (
        "placements acknowledged",
        "placements unknown",
        "fills seen in streams",
        "orders confirmed as cancelled",
    ):
        assert result.counts[name] > 0, name
    assert result.states_compared > 0 and result.checks > 0


def test_nothing_is_lost_on_redis_either(tmp_path: Path) -> None:
    result = run_round(tmp_path / "data", SEED, KILLS_ON_REDIS, binary_of("redis"))
    assert not result.faults, fault_text(result, KILLS_ON_REDIS, tmp_path)
    assert result.counts["placements acknowledged"] > 0 and result.checks > 0


def test_the_schedule_comes_from_the_seed_and_takes_each_process_in_turn() -> None:
    kills = list(schedule(SEED, KILLS))
    assert kills == list(schedule(SEED, KILLS)) != list(schedule(SEED + 1, KILLS))
    for start in range(0, KILLS, len(TARGETS)):
        assert {kill.target for kill in kills[start : start + len(TARGETS)]} == set(TARGETS)
