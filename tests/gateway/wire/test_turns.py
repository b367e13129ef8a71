"""Who is served when, with a clock that the work itself moves."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable

import pytest

from gateway.limits import NEWCOMERS_IN_A_ROW, SLICE_S, TURN_S
from gateway.wire.turns import Turns

NUMBERS = itertools.count()


class Loop:
    """A loop and a clock; work takes time on it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.calls: deque[Callable[[], None]] = deque()
        self.turns = Turns(lambda: self.now_s, self.calls.append)
        self.served: list[str] = []

    def turn(self) -> float:
        """Runs what was to be called soon; how long that took."""
        begun_s = self.now_s
        for _ in range(len(self.calls)):
            self.calls.popleft()()
        return self.now_s - begun_s


class Worker:
    """A client with jobs that take so many seconds each."""

    def __init__(self, loop: Loop, name: str, ip: str = "") -> None:
        self.loop = loop
        self.name = name
        self.ip = ip or f"{name}-{next(NUMBERS)}"
        self.is_in_line = False
        self.jobs: deque[float] = deque()

    def send(self, *jobs_s: float) -> None:
        self.jobs += jobs_s
        self.loop.turns.arrived(self)

    def take_turn(self) -> bool:
        while self.jobs:
            self.loop.now_s += self.jobs.popleft()
            self.loop.served.append(self.name)
            if self.loop.turns.is_slice_over():
                break
        return bool(self.jobs)


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_while_nobody_waits_a_client_is_served_at_once(loop: Loop) -> None:
    Worker(loop, "a").send(SLICE_S / 10)
    assert loop.served == ["a"]
    assert not loop.calls


def test_what_does_not_fit_into_a_slice_waits_and_the_loop_looks_at_its_sockets(loop: Loop) -> None:
    flood = Worker(loop, "flood")
    flood.send(*[SLICE_S / 4] * 100)
    assert 4 <= len(loop.served) <= 5
    assert TURN_S <= loop.turn() <= TURN_S + SLICE_S
    assert 5 < len(loop.served) < 100
    while loop.calls:
        loop.turn()
    assert len(loop.served) == 100


def test_a_quiet_client_waits_for_the_slice_in_hand_and_not_for_the_floods(loop: Loop) -> None:
    floods = [Worker(loop, "flood") for _ in range(100)]
    for flood in floods:
        flood.send(*[SLICE_S / 2] * 1000)
    for _ in range(5 * 100):
        loop.turn()
    quiet = Worker(loop, "quiet")
    loop.served.clear()
    quiet.send(1e-6)
    loop.turn()
    assert loop.served.index("quiet") <= 4, "at most one slice of two jobs before it, and what is begun"


def test_floods_share_what_is_left(loop: Loop) -> None:
    for name in "abc":
        Worker(loop, name).send(*[SLICE_S / 2] * 10_000)
    for _ in range(300):
        loop.turn()
    counts = [loop.served.count(name) for name in "abc"]
    assert max(counts) - min(counts) <= 4, counts


def test_a_hundred_new_connections_of_an_address_are_one_newcomer_at_a_time(loop: Loop) -> None:
    Worker(loop, "first").send(*[SLICE_S] * 3)
    for _ in range(100):
        Worker(loop, "storm", ip="203.0.113.1").send(SLICE_S)
    Worker(loop, "quiet").send(1e-6)
    loop.turn()
    assert loop.served.index("quiet") <= 3
    while loop.calls:
        loop.turn()
    assert loop.served.count("storm") == 100


def test_a_row_of_newcomers_does_not_starve_those_that_wait_longer(loop: Loop) -> None:
    flood = Worker(loop, "flood")
    flood.send(*[SLICE_S] * 100)
    for _ in range(20):
        for _ in range(100):
            Worker(loop, "new").send(SLICE_S)
        loop.turn()
    served = loop.served
    share = served.count("flood") / len(served)
    assert share >= 1 / (NEWCOMERS_IN_A_ROW + 2), f"{served.count('flood')} of {len(served)}"


@pytest.mark.parametrize("seed", range(10))
def test_everything_is_done_once_and_in_the_order_of_its_client(loop: Loop, seed: int) -> None:
    pick = random.Random(seed)
    workers = [Worker(loop, str(number)) for number in range(10)]
    sent = {worker.name: 0 for worker in workers}
    for _ in range(200):
        worker = pick.choice(workers)
        jobs = pick.randint(1, 30)
        sent[worker.name] += jobs
        worker.send(*[pick.random() * SLICE_S for _ in range(jobs)])
        if pick.random() < 0.5:
            loop.turn()
    while loop.calls:
        loop.turn()
    assert {name: loop.served.count(name) for name in sent} == sent, f"seed {seed}"
    assert not any(worker.is_in_line for worker in workers)
