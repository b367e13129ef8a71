"""A dump loads into either engine and gives the same dump again; bytes that no engine wrote are refused by both in the same words."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from engine.core import Core
from engine.definitions import SavedStateFault
from engine.reference import Core as ReferenceCore
from tests.engine.command_flow import CommandFlow
from tests.engine.scenario import Scenario

SEED = int(os.environ.get("JIBEK_SEED", "20261126"))


def dump_of_a_flow(entries: int) -> bytes:
    """The state after so many entries of mixed commands: orders, own fees, keys, frozen accounts."""
    flow, core = CommandFlow(SEED), ReferenceCore()
    for _ in range(entries):
        flow.learn(core.execute(*flow.next_entry()))
    return core.dump()


def dump_with_an_agenda() -> bytes:
    """The state when a cancel-all of more orders than one entry takes has begun."""
    core = ReferenceCore()
    scenario = Scenario(core, 10_000)
    for line in ("deposit alice 1000000 KZT", "alice buy 1 @ 100 × 4100", "alice cancel all"):
        scenario.run(line)
    assert core.exchange.agenda and core.open_order_count == 4
    return core.dump()


def loaded_by(engine: type[Core] | type[ReferenceCore], data: bytes) -> bytes | str:
    """What an engine makes of a dump: its own dump after loading, or why it refuses."""
    try:
        core = engine.load(data)
    except SavedStateFault as fault:
        return str(fault)
    core.check()
    return core.dump()


DUMPS = [lambda: dump_of_a_flow(150), dump_with_an_agenda, lambda: Core().dump()]


@pytest.mark.parametrize("make_dump", DUMPS, ids=["flow", "agenda", "empty"])
def test_a_dump_gives_itself_in_either_engine(make_dump: Callable[[], bytes]) -> None:
    data = make_dump()
    assert loaded_by(ReferenceCore, data) == loaded_by(Core, data) == data
    assert Core.load(data).state_hash() == ReferenceCore.load(data).state_hash()


@pytest.mark.parametrize("make_dump", DUMPS[:2], ids=["flow", "agenda"])
def test_a_bit_that_turned_is_refused_by_both_or_is_a_state_of_both(make_dump: Callable[[], bytes]) -> None:
    data = make_dump()
    pick, refused, bits = random.Random(SEED), 0, 2_000
    for _ in range(bits):
        damaged = bytearray(data)
        bit = pick.randrange(8 * len(data))
        damaged[bit // 8] ^= 1 << bit % 8
        reference, compiled = loaded_by(ReferenceCore, bytes(damaged)), loaded_by(Core, bytes(damaged))
        assert reference == compiled, f"bit {bit}: {reference!r:.200} != {compiled!r:.200}"
        refused += reference != bytes(damaged)
        assert isinstance(reference, str) or reference == bytes(damaged), f"bit {bit} is lost by loading"
    # What is left are numbers that could as well be so: times, client ids, credits, counters.
    assert refused > bits // 3, refused


def test_a_dump_that_is_cut_off_or_longer_is_refused() -> None:
    data = dump_of_a_flow(60)
    for length in range(0, len(data), 7):
        reference, compiled = loaded_by(ReferenceCore, data[:length]), loaded_by(Core, data[:length])
        assert reference == compiled and isinstance(compiled, str), length
    assert loaded_by(ReferenceCore, data + b"\0") == loaded_by(Core, data + b"\0") == "1 bytes too many"
