"""Callers take turns, and each keeps its order."""

from __future__ import annotations

import random

import pytest

from gateway.journal.command_queue import CommandQueue
from gateway.journal.pending import PendingCommand
from gateway.limits import COMMANDS_IN_A_ROW
from tests.worlds.sessions import silent_session


def command(caller: object, name: str, queued_s: float = 0.0) -> PendingCommand:
    pending = PendingCommand(caller, None, name, bytes(128), "ACK", False)
    pending.queued_s = queued_s
    return pending


def taken(queue: CommandQueue, count: int) -> list[str]:
    return [queue.take().id_text for _ in range(count)]


def test_one_command_passes_the_many_of_another_caller() -> None:
    queue, flood, quiet = CommandQueue(), silent_session(), silent_session()
    for index in range(8000):
        queue.add(command(flood, f"f{index}"))
    queue.add(command(quiet, "q"))
    first = taken(queue, COMMANDS_IN_A_ROW + 2)
    assert first == [*(f"f{index}" for index in range(COMMANDS_IN_A_ROW)), "q", f"f{COMMANDS_IN_A_ROW}"]


def test_what_was_too_old_is_taken_out_and_the_others_stay() -> None:
    queue, callers = CommandQueue(), [silent_session() for _ in range(3)]
    for caller, times in zip(callers, ((1.0, 5.0), (2.0,), (6.0,)), strict=True):
        for queued_s in times:
            queue.add(command(caller, str(queued_s), queued_s))
    assert [old.id_text for old in queue.take_older(4.0)] == ["1.0", "2.0"]
    assert sorted(taken(queue, 2)) == ["5.0", "6.0"]
    assert not queue


@pytest.mark.parametrize("seed", range(20))
def test_each_caller_keeps_its_order_whatever_is_put_back(seed: int) -> None:
    pick = random.Random(seed)
    queue, callers = CommandQueue(), {name: silent_session() for name in "abcde"}
    sent = dict.fromkeys(callers, 0)
    got: dict[str, list[int]] = {name: [] for name in callers}
    for _ in range(300):
        for _ in range(pick.randint(0, 40)):
            name = pick.choice("abcde")
            queue.add(command(callers[name], f"{name}{sent[name]}"))
            sent[name] += 1
        batch: list[PendingCommand] = []
        while queue and len(batch) < pick.randint(1, 60):
            batch.append(queue.take())
        if pick.random() < 0.3:
            queue.put_back(batch)
            continue
        for each in batch:
            got[each.id_text[0]].append(int(each.id_text[1:]))
    while queue:
        each = queue.take()
        got[each.id_text[0]].append(int(each.id_text[1:]))
    assert got == {name: list(range(count)) for name, count in sent.items()}, f"seed {seed}"
