"""The contract of appending (promises P1 and P8), on a real store that is treated badly.

A gateway (its `Pipeline`) and two command lines (`Producer`, both in one name) append through wires that lose calls before
or after the store has carried them out. What was lost arrives at any later time, and so do copies of what was not,
openings included; the store runs full, and is killed and started again; the gateway's process ends, and another one
starts. An engine executes the journal and answers the gateway.

Each command has a name of its own, and a last answer about it: its fate. At the end, with every copy delivered once more:

- of each producer and incarnation the journal has batches 1, 2, 3, ..., once each, in this order, and the engine executes all;
- what was confirmed is in the journal once, what was refused never, what is unknown at most once;
- of each signature the journal has at most one command, and the store has the mark of exactly those that are in it (P14).
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import redis

from engine.journal import (
    BEGINNING,
    FIRST_GATEWAY,
    ChainBroken,
    EntryId,
    Mark,
    Opening,
    Producer,
    StoreTimeout,
    append_call,
    open_call,
    prepare_store,
    producer,
    read_journal,
    start_venue,
)
from engine.process.watermarks import write_watermark
from engine.reasons import Reason
from engine.records import (
    COMMAND,
    BatchBuilder,
    Command,
    CommandKind,
    Disposition,
    EventEntry,
    is_sealed,
    parse_batch,
)
from engine.reference import Core
from engine.service.engine import EngineService
from gateway.dialect.rejects import Reject, Rejected
from gateway.journal.pending import PendingCommand
from gateway.journal.pipeline import Pipeline, Superseded
from gateway.limits import PipelineLimits
from tests.worlds.sessions import silent_session
from tests.worlds.store import StoreProcess

STEPS = 150
FULL, ROOMY = "1mb", "1gb"


class Fate(Enum):
    """The last answer about a command."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class World:
    """A store, what was ever sent to it, what it answered, and an engine that reads along."""

    def __init__(self, store: StoreProcess, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = store
        self.client = store.client()
        self.client.config_set("maxmemory", ROOMY)
        self.client.flushall()
        self.client.function_flush()
        prepare_store(self.client)
        start_venue(self.client)
        self.loss = 0.25
        """How likely it is that a call is lost."""
        self.sent: list[tuple[Any, ...]] = []
        self.fates: dict[str, Fate] = {}
        self.signatures: dict[str, str] = {}
        """Commands that are signed → the key of their signature's mark. Some come again under the same signature."""
        self.now_s = 0.0
        self.core = Core()
        self.cursor: EntryId = BEGINNING
        self.gateway = Gateway(self)
        self.operators = [Operator(self), Operator(self)]

    def name(self) -> str:
        """The name of a new command."""
        name = f"c{len(self.fates)}"
        self.fates[name] = Fate.OPEN
        return name

    def execute_command(self, *call: Any) -> Any:
        """A call over a wire: it may be lost before the store carries it out, or after.

        Each call is written once, to one connection. So there is no copy of one whose refusal for want of memory was heard,
        and its number may be used again; a copy of any other is refused, and arrives here to show it.
        """
        is_lost, is_carried_out = self.random.random() < self.loss, self.random.random() < 0.5
        if is_lost and not is_carried_out:
            self.sent.append(call)
            raise redis.ConnectionError("lost on the way")
        answer = refusal = None
        try:
            answer = self.client.execute_command(*call)
        except redis.ResponseError as error:
            refusal = error
        if is_lost or not isinstance(refusal, redis.exceptions.OutOfMemoryError):
            self.sent.append(call)
        if is_lost:
            raise redis.ConnectionError("the answer was lost")
        if refusal is not None:
            raise refusal
        return answer

    def __getattr__(self, name: str) -> Any:
        """Reading is not what is tested here: to a Producer this is a client whose writes may be lost."""
        return getattr(self.client, name)

    def deliver(self, call: tuple[Any, ...]) -> None:
        """A copy of what was sent once arrives, on another connection, and no one waits for the answer."""
        with suppress(redis.ResponseError):
            self.client.execute_command(*call)

    def read(self) -> None:
        """The engine executes what the journal has, and the gateway hears of it."""
        while entries := read_journal(self.client, self.cursor, count=256):
            for entry in entries:
                assert is_sealed(entry.batch)
                header = EventEntry(self.core.execute(entry.time_us, entry.batch)).header
                assert header.disposition == Disposition.EXECUTED, f"{entry.id} was not executed"
                self.cursor = entry.id
                self.gateway.hears(header)

    def restart_store(self) -> None:
        self.client.close()
        self.store.kill()
        self.store.start()
        self.client = self.store.client()

    # -- the run

    def step(self) -> None:
        """Something happens."""
        self.now_s += self.random.choice((0.0, 0.1, 0.5, 2.0))
        happenings = {
            self.gateway.add: 30,
            self.gateway.turn: 40,
            self.read: 20,
            self.deliver_any: 20,
            self.random.choice(self.operators).append: 10,
            self.gateway.lose_patience: 4,
            self.gateway.restart: 1,
            self.fill: 6,
            self.restart_store: 0.4,
        }
        self.random.choices(list(happenings), list(happenings.values()))[0]()

    def fill(self) -> None:
        self.client.config_set("maxmemory", self.random.choice((FULL, ROOMY)))

    def deliver_any(self) -> None:
        # Openings are few among the calls; late ones take the name from a gateway that works.
        if self.sent:
            self.deliver(self.random.choice(self.sent[-20:] if self.random.random() < 0.7 else self.sent))

    def finish(self) -> None:
        """The weather clears: everybody gets an answer. Then all copies arrive once more."""
        self.client.config_set("maxmemory", ROOMY)
        self.loss = 0.0
        for _ in range(1000):
            if not self.gateway.pipeline.open_commands:
                break
            self.gateway.turn()
            self.read()
        length = self.client.xlen("{jibek}:journal")
        copies = list(self.sent)
        self.random.shuffle(copies)
        for call in copies:
            self.deliver(call)
        assert self.client.xlen("{jibek}:journal") == length, "a late copy was added"
        self.read()

    def check(self) -> None:
        numbers: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        found: Counter[str] = Counter()
        cursor: EntryId = BEGINNING
        while entries := read_journal(self.client, cursor, count=256):
            for entry in entries:
                header, commands, _ = parse_batch(entry.batch)
                numbers[header.producer, header.incarnation].append(header.number)
                found.update(command.client_id.rstrip(b"\0").decode() for command in commands)
            cursor = entries[-1].id
        for sender, sequence in numbers.items():
            assert sequence == list(range(1, len(sequence) + 1)), f"the batches of {sender} are {sequence}"
        allowed = {Fate.CONFIRMED: (1,), Fate.REFUSED: (0,), Fate.UNKNOWN: (0, 1)}
        for name, fate in self.fates.items():
            assert fate in allowed, f"{name} has no answer"
            assert found[name] in allowed[fate], f"{name} is {fate.value} and stands {found[name]} times in the journal"
        used = Counter(self.signatures[name] for name in found.elements() if name in self.signatures)
        assert all(count == 1 for count in used.values()), "a signature opened two doors"
        assert {key.decode() for key in self.client.scan_iter("{jibek}:used:*", count=1000)} == set(used)


class Gateway:
    """A gateway's pipeline, driven as `gateway.service` does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pipeline = Pipeline(FIRST_GATEWAY, self._refused)
        self.is_open = False
        self.session = silent_session()

    def _refused(self, command: PendingCommand, reject: Reject) -> None:
        is_unknown = reject.reason == Reason.OUTCOME_UNKNOWN
        self._tell(command, Fate.UNKNOWN if is_unknown else Fate.REFUSED)

    def _tell(self, command: PendingCommand, fate: Fate) -> None:
        assert self.world.fates[command.id_text] == Fate.OPEN, f"{command.id_text} was told twice"
        self.world.fates[command.id_text] = fate

    def add(self) -> None:
        pick = self.world.random
        for _ in range(pick.choice((1, 2, 5))):
            name, reduces = self.world.name(), pick.random() < 0.4
            kind = CommandKind.ORDER_CANCEL if reduces else CommandKind.ORDER_PLACE
            command = COMMAND.pack(Command(kind=kind, account=1, client_id=name.encode()))
            expires_ms = int(self.world.now_s * 1000) + 1000 if pick.random() < 0.3 else 0
            mark = self._sign(name) if pick.random() < 0.5 else None
            pending = PendingCommand(
                self.session, None, name, command, "ACK", False, expires_ms=expires_ms, reduces=reduces, mark=mark
            )
            pending.passes_full_store = reduces
            try:
                self.pipeline.add(pending, self.world.now_s)
            except Rejected:
                self.world.fates[name] = Fate.REFUSED

    def _sign(self, name: str) -> Mark:
        """What the signature of a command leaves behind; now and then it was used before."""
        signatures = self.world.signatures
        is_copy = bool(signatures) and self.world.random.random() < 0.3
        signatures[name] = self.world.random.choice(list(signatures.values())) if is_copy else f"{{jibek}}:used:{name}"
        return Mark("key", signatures[name], "order.place", 3_600_000)

    def turn(self) -> None:
        """Opens where it has to, and sends a batch."""
        now_s = self.world.now_s
        try:
            if not self.is_open:
                answer = self.world.execute_command(*open_call(FIRST_GATEWAY))
                self.pipeline.opened(Opening.parse(answer))
                self.is_open = True
            batch = self.pipeline.next_batch(now_s, int(now_s * 1000))
            while batch is not None:
                try:
                    call = append_call(1, batch.data, reducing=batch.reduces, marks=batch.marks())
                    answer = self.world.execute_command(*call)
                    batch = self.pipeline.confirmed(EntryId.parse(answer))
                except redis.exceptions.OutOfMemoryError:
                    batch = self.pipeline.store_full(now_s)
                except redis.ResponseError as error:
                    code, *places = str(error).split(" ")
                    if code != "USED":
                        raise
                    batch = self.pipeline.signatures_used([int(place) for place in places], now_s)
        except redis.ConnectionError:
            self._lost()
        except redis.ResponseError as error:
            self._judge(str(error))
        except Superseded:
            self.restart()

    def _judge(self, refusal: str) -> None:
        code, detail = refusal.split(" ")
        if code == "THERE":
            self.pipeline.confirmed(EntryId.parse(detail))
            return
        assert code in ("STALE", "GAP"), refusal
        if code == "STALE":
            try:
                self.pipeline.refused_as_stale(int(detail))
            except Superseded:
                self.restart()
                return
        self._lost()

    def _lost(self) -> None:
        self.is_open = False
        self.pipeline.lost()

    def restart(self) -> None:
        """The process ends, and its connections with it: no answer reaches it any more. Another one starts."""
        waiting = [command for batch in self.pipeline._waiting.values() for command in batch.commands]
        for command in {id(command): command for command in [*waiting, *self.session.queue]}.values():
            if not command.is_told_unknown:
                self._tell(command, Fate.UNKNOWN)
        self.pipeline, self.is_open = Pipeline(FIRST_GATEWAY, self._refused), False
        self.session = silent_session()

    def hears(self, header: Any) -> None:
        batch = self.pipeline.answered(header)
        if batch is not None:
            for command in batch.commands:
                if not command.is_told_unknown:
                    self._tell(command, Fate.CONFIRMED)
                self.pipeline.finish(command)

    def lose_patience(self) -> None:
        self.world.now_s += PipelineLimits().answer_timeout_s / 2
        self.pipeline.expire(self.world.now_s)


class Operator:
    """A command line. It does not know of others that work in the same name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.producer: Producer | None = None

    def append(self) -> None:
        name = self.world.name()
        builder = BatchBuilder()
        builder.add(Command(kind=CommandKind.ORDER_CANCEL, client_id=name.encode()))
        fate = Fate.REFUSED
        try:
            if self.producer is None:
                self.producer = Producer(self.world)
            fate = Fate.UNKNOWN
            self.producer._append_surely(builder, time.monotonic() + 10.0)
            fate = Fate.CONFIRMED
        except (redis.ConnectionError, StoreTimeout):
            pass
        self.world.fates[name] = fate


@pytest.fixture(scope="module")
def store() -> Iterator[StoreProcess]:
    store = StoreProcess()
    yield store
    store.remove()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "RETRY_S", 0.0)
    monkeypatch.setattr(producer, "CONTENTION_S_MAX", 0.0)


def run(store: StoreProcess, seed: int, test: str) -> None:
    try:
        world = World(store, seed)
        for _ in range(STEPS):
            world.step()
        world.finish()
        world.check()
    except Exception as failure:
        command = f".venv/bin/python -m pytest 'tests/engine/{Path(__file__).name}::{test}[{seed}]'"
        raise AssertionError(f"seed {seed} fails; repeat with\n\n    {command}\n\n{failure!r}") from failure


@pytest.mark.parametrize("seed", range(30))
def test_every_batch_is_added_once_or_not_at_all(store: StoreProcess, seed: int) -> None:
    run(store, seed, "test_every_batch_is_added_once_or_not_at_all")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1600))
def test_every_batch_is_added_once_or_not_at_all_for_longer(store: StoreProcess, seed: int) -> None:
    run(store, seed, "test_every_batch_is_added_once_or_not_at_all_for_longer")


def test_a_store_restored_from_an_older_copy_is_refused_by_all_who_knew_more(tmp_path: Path) -> None:
    """Only a process that got an answer which the copy lacks can know. One that starts afterwards has the watermark (P5)."""
    store = StoreProcess()
    try:
        world = World(store, seed=1)
        world.loss = 0.0
        engine = EngineService(world.client, Core(), tmp_path)
        operator = Producer(world.client)

        def everybody_speaks() -> None:
            world.gateway.add()
            world.gateway.turn()
            operator.append(BatchBuilder())
            while engine.step(block_ms=1):
                write_watermark(tmp_path, "engine", engine.published, engine.head)

        everybody_speaks()
        store.kill()
        shutil.copytree(store.folder / "appendonlydir", tmp_path / "copy")
        store.start()
        world.client = operator.client = engine.client = store.client()
        everybody_speaks()
        store.kill()
        shutil.rmtree(store.folder / "appendonlydir")
        shutil.copytree(tmp_path / "copy", store.folder / "appendonlydir")
        store.start()
        world.client = operator.client = engine.client = store.client()

        length = world.client.xlen("{jibek}:journal")
        world.gateway.add()
        world.gateway.turn()  # There is a gap: the connection is closed, and the gateway opens again.
        for speak in (world.gateway.turn, lambda: operator.append(BatchBuilder()), engine.reconnected):
            with pytest.raises(ChainBroken):
                speak()
        with pytest.raises(ChainBroken, match="old copy"):
            EngineService(world.client, Core(), tmp_path).recover()
        assert world.client.xlen("{jibek}:journal") == length
    finally:
        store.remove()
