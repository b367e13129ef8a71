"""The clock guard on a store: it halts once, says why, and does not halt what an operator has accepted, wherever that runs."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from engine.core import Core
from engine.journal import (
    ENGINE_PRODUCER,
    OPERATOR_PRODUCER,
    EntryId,
    Producer,
    Store,
    read_journal,
    store_time_us,
)
from engine.process.watermarks import write_watermark
from engine.records import BatchBuilder, Command, CommandKind, MarketState, parse_batch, unpack_parts
from engine.reference import Core as ReferenceCore
from engine.service.clock_file import FILE_NAME, ClockFile, boot_id
from engine.service.clock_guard import ClockGuard
from engine.service.clocks import Machine
from engine.service.engine import EngineService
from engine.service.own_producer import OwnProducer
from tests.worlds.clocks import stamp_ahead
from tests.worlds.processes import ServiceProcess
from tests.worlds.store import StoreProcess

S = 1_000_000
HOUR = 3_600 * S
CORES = [ReferenceCore, Core]
LOG = logging.getLogger("engine")


class FakeMachine:
    """A machine with the clock of the store: `set_us` ahead of it, and after a sleep of `slept_us` that the store has not
    slept."""

    def __init__(self, client: Store) -> None:
        self.set_us = self.slept_us = 0
        self.clocks = Machine(
            lambda: store_time_us(client) + self.set_us + self.slept_us, lambda: store_time_us(client) + self.slept_us
        )


class Engine:
    """An engine that a test steps by hand, with its guard."""

    def __init__(
        self,
        client: Store,
        data: Path,
        machine: FakeMachine,
        make: type[ReferenceCore] | type[Core],
        boot: str = "this start",
    ) -> None:
        self.machine = machine
        self.service = EngineService(client, make(), data)
        self.service.recover()
        self.guard = ClockGuard(self.service, OwnProducer(client), LOG, ClockFile(data, LOG, boot), machine.clocks)

    @property
    def is_halted(self) -> bool:
        return self.service.core.venue_state == MarketState.HALTED

    def work_off(self) -> None:
        while self.service.step(None):
            pass

    def look(self) -> bool:
        """Looks at the clocks and executes what is new; whether the venue is halted then."""
        self.guard.check()
        self.work_off()
        return self.is_halted


@pytest.fixture
def machine(client: Store, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """The guard looks as often as it is asked."""
    monkeypatch.setattr("engine.service.clock_guard.CHECK_US", 0)
    return FakeMachine(client)


@pytest.fixture(params=CORES, ids=["reference", "compiled"])
def engine(request: pytest.FixtureRequest, client: Store, tmp_path: Path, machine: FakeMachine) -> Engine:
    engine = Engine(client, tmp_path, machine, request.param)
    engine.work_off()
    return engine


def halts(client: Store) -> list[str]:
    """Why the engine's own service has halted the venue, each time."""
    found = []
    for entry in read_journal(client, EntryId(1, 0)):
        header, commands, blobs = parse_batch(entry.batch)
        for command in commands:
            if header.producer == ENGINE_PRODUCER and command.kind == CommandKind.MARKET_STATE_SET:
                assert (command.market, command.state) == (0, MarketState.HALTED)
                who, why, *_ = unpack_parts(blobs[command.blob_offset :][: command.blob_length])
                assert who == b"engine"
                found.append(why.decode())
    return found


def operate(client: Store, *commands: Command) -> None:
    builder = BatchBuilder()
    for command in commands:
        builder.add(command, b"me", b"test", b"root/0")
    Producer(client, OPERATOR_PRODUCER).append(builder)


RESUME = Command(kind=CommandKind.MARKET_STATE_SET, state=MarketState.TRADING)
HALT = Command(kind=CommandKind.MARKET_STATE_SET, state=MarketState.HALTED)


def accept(difference_us: int = 0, store_us: int = 0) -> Command:
    return Command(kind=CommandKind.TIME_ACCEPT, amount=difference_us, expiry_us=store_us)


def test_the_clocks_are_looked_at_once_a_second(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.service.clock_guard.CHECK_US", 1_000 * S)
    assert not engine.look()
    engine.machine.set_us = HOUR
    assert not engine.look(), "it is not yet time to look"
    engine.machine.slept_us = 1_000 * S
    assert engine.look()


@pytest.mark.parametrize("set_us", [-HOUR, HOUR])
def test_a_store_on_another_machine_whose_clock_differs(
    engine: Engine, machine: FakeMachine, client: Store, set_us: int
) -> None:
    machine.set_us = set_us
    assert engine.look()
    way = "behind" if set_us > 0 else "ahead of"
    assert halts(client) == [f"the store's clock is 3600.0 s {way} the machine's"]
    operate(client, accept(-set_us), RESUME)
    engine.work_off()
    for _ in range(3):
        assert not engine.look(), "this difference was accepted"
    machine.set_us = 0
    assert engine.look(), "another was not"
    assert len(halts(client)) == 2


def test_an_entry_that_was_stamped_ahead(engine: Engine, machine: FakeMachine, client: Store) -> None:
    assert not engine.look()
    stamp_ahead(client, HOUR)
    engine.work_off()
    assert engine.look()
    [why] = halts(client)
    shown = re.fullmatch(
        r"the venue's time is ([\d.]+) s ahead of the store's clock: a clock stood ahead when .+ stamped", why
    )
    assert shown is not None and 3_590 < float(shown[1]) <= 3_600
    for _ in range(3):
        assert engine.look()
    assert halts(client) == [why], "it is halted already"
    operate(client, RESUME)
    engine.work_off()
    assert engine.look(), "nobody has accepted the time"
    operate(client, accept(), RESUME)
    engine.work_off()
    assert not engine.look()
    stamp_ahead(client, 2 * HOUR)
    engine.work_off()
    assert engine.look(), "this hour is another one"


def test_a_clock_that_was_set_halts_while_it_stands(engine: Engine, machine: FakeMachine, client: Store) -> None:
    """Store and machine have one clock, so nothing but the machine's other clock shows that it was set. Here the store's is
    real, and what makes the difference is accepted."""
    assert not engine.look()
    operate(client, accept(-HOUR))
    engine.work_off()
    machine.set_us = HOUR
    assert engine.look()
    assert halts(client) == ["the machine's clock was set 3600.0 s ahead"]
    assert engine.look() and engine.guard.fault == halts(client)[0], "it is shown until somebody has dealt with it"
    machine.set_us = 0
    operate(client, accept(), RESUME)
    engine.work_off()
    assert engine.look()
    assert halts(client)[1:] == ["the machine's clock was set 3600.0 s back"]
    operate(client, accept())
    engine.work_off()
    assert engine.look() and engine.guard.fault == "", "it is accepted; the venue is still halted"


def test_a_night_of_sleep_is_no_step(engine: Engine, machine: FakeMachine, client: Store) -> None:
    """Here the store's clock, which is real, does not go on; what makes the difference is accepted."""
    assert not engine.look()
    machine.slept_us = 8 * HOUR
    operate(client, accept(-8 * HOUR))
    engine.work_off()
    assert not engine.look()


@pytest.mark.parametrize("make", CORES, ids=["reference", "compiled"])
def test_what_was_accepted_holds_after_a_restart_and_for_another_engine(
    engine: Engine, client: Store, tmp_path: Path, make: type[ReferenceCore] | type[Core]
) -> None:
    stamp_ahead(client, HOUR)
    engine.work_off()
    another = Engine(client, tmp_path, FakeMachine(client), make)
    assert another.look(), "a new engine sees it before it has executed anything"
    operate(client, accept(), RESUME)
    for follower in (engine, another):
        follower.work_off()
    assert not another.look() and not engine.look()
    restarted = Engine(client, tmp_path, FakeMachine(client), make)
    assert not restarted.look()
    assert len(halts(client)) == 1
    assert restarted.service.core.state_hash() == engine.service.core.state_hash()


def test_two_engines_do_not_halt_in_turn(client: Store, tmp_path: Path, machine: FakeMachine) -> None:
    engines = [Engine(client, tmp_path, machine, make) for make in CORES]
    stamp_ahead(client, HOUR)
    for engine in engines:
        engine.work_off()
    for engine in engines:
        engine.guard.check()
    for _ in range(5):
        for engine in engines:
            assert engine.look()
    assert 1 <= len(halts(client)) <= 2
    operate(client, accept(), RESUME)
    for engine in engines:
        engine.work_off()
    for engine in engines:
        assert not engine.look()
    assert len({engine.service.head for engine in engines}) == 1


def test_a_halt_that_is_not_executed_yet_is_not_appended_again(
    engine: Engine, machine: FakeMachine, client: Store
) -> None:
    machine.set_us = HOUR
    for _ in range(3):
        engine.guard.check()
    assert len(halts(client)) == 1


def test_what_parts_under_the_halt_of_an_operator_halts_too(
    engine: Engine, machine: FakeMachine, client: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "engine")
    operate(client, HALT)
    engine.work_off()
    machine.set_us = HOUR
    for _ in range(3):
        assert engine.look()
    [why] = halts(client)
    assert "3600.0 s behind the machine's" in why
    [line] = caplog.messages
    assert "the venue is halted" in line and why in line and "jibek clock accept" in line
    machine.set_us = 0
    engine.look()
    assert "was set 3600.0 s back" in caplog.messages[-1]


def test_a_step_under_the_halt_of_an_operator_is_kept_until_it_is_accepted(
    engine: Engine, machine: FakeMachine, client: Store
) -> None:
    """Store and machine have one clock; what makes the difference here is accepted."""
    engine.look()
    operate(client, HALT, accept(-HOUR))
    engine.work_off()
    machine.set_us = HOUR
    for _ in range(3):
        assert engine.look()
    assert halts(client) == ["the machine's clock was set 3600.0 s ahead"]
    operate(client, RESUME)
    engine.work_off()
    assert engine.look() and len(halts(client)) == 2, "nobody has accepted it"
    operate(client, accept(-HOUR, 1), RESUME)
    engine.work_off()
    assert not engine.look() and engine.guard.fault == ""


def test_small_steps_halt_when_they_add_up(engine: Engine, machine: FakeMachine, client: Store) -> None:
    engine.look()
    operate(client, accept(-6 * S))
    engine.work_off()
    machine.set_us = 4 * S
    assert not engine.look()
    machine.set_us = 8 * S
    assert engine.look()
    [why] = halts(client)
    assert re.fullmatch(r"the machine's clock was set [78]\.\d s ahead", why)


@pytest.mark.parametrize(("boot", "shows"), [("this start", True), ("another start", False)])
def test_a_clock_that_was_set_while_the_engine_was_down(
    engine: Engine, machine: FakeMachine, client: Store, tmp_path: Path, boot: str, shows: bool
) -> None:
    assert not engine.look()
    operate(client, accept(-HOUR))
    engine.work_off()
    engine.guard.close()
    machine.set_us = HOUR
    for _ in range(2):
        started = Engine(client, tmp_path, machine, Core, boot)
        assert started.look() is shows
        started.guard.close()
    assert halts(client) == (["the machine's clock was set 3600.0 s ahead"] if shows else []), "once"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"boot":"this start","low_us":"1","high_us":2,"at_us":3}', None]
)
def test_a_file_of_the_clocks_that_is_none_stops_nothing(
    client: Store, machine: FakeMachine, tmp_path: Path, content: bytes | None
) -> None:
    if content is None:
        (tmp_path / f"{FILE_NAME}.new").mkdir()
        (tmp_path / FILE_NAME).mkdir()
    else:
        (tmp_path / FILE_NAME).write_bytes(content)
        (tmp_path / FILE_NAME).chmod(0o600)
    engine = Engine(client, tmp_path, machine, ReferenceCore)
    engine.work_off()
    assert not engine.look()
    engine.guard.close()


def test_a_store_that_is_set_back_behind_what_was_accepted(engine: Engine, machine: FakeMachine, client: Store) -> None:
    """The venue's time is ahead, so nothing else says what the store's clock may show."""
    stamp_ahead(client, HOUR)
    now_us = store_time_us(client)
    operate(client, accept(0, now_us), RESUME)
    engine.work_off()
    assert not engine.look()
    operate(client, accept(0, now_us + 10 * S), RESUME)
    engine.work_off()
    assert engine.look()
    [why] = halts(client)
    assert "before what it showed when an operator accepted the clocks" in why


def test_a_halt_that_could_not_be_appended_is_not_forgotten(
    engine: Engine, machine: FakeMachine, client: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not engine.look()
    append = OwnProducer.append

    def fails(self: OwnProducer, builder: BatchBuilder) -> EntryId:
        raise ConnectionError("the store is away")

    monkeypatch.setattr(OwnProducer, "append", fails)
    machine.set_us = HOUR
    with pytest.raises(ConnectionError):
        engine.look()
    monkeypatch.setattr(OwnProducer, "append", append)
    assert engine.look()
    assert "was set 3600.0 s ahead" in halts(client)[0]


def test_an_engine_that_starts_halts_before_it_is_ready(
    engine: Engine, server: StoreProcess, client: Store, tmp_path: Path
) -> None:
    """The entry was executed under no guard, as by an older version."""
    stamp_ahead(client, HOUR)
    engine.work_off()
    write_watermark(tmp_path, "engine", engine.service.cursor, engine.service.head)
    process = ServiceProcess(tmp_path, "engine", "engine.service", "--store", server.url, "--data", str(tmp_path))
    try:
        assert len(halts(client)) == 1
    finally:
        assert process.stop() == 0
    assert "the venue is halted: the venue's time is" in process.log.read_text()
    assert (ClockFile(tmp_path, LOG).read() is not None) == bool(boot_id()), (
        "the next start knows what the clocks showed"
    )
