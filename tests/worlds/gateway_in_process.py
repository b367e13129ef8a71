"""A gateway without sockets, store or clock: Methods and Pipeline on top of the reference engine, in one process.

`GatewayInProcess.turn` does what the service and the engine do in one turn: it takes the batch, lets the core execute it, and hands
the events back. The clock shows `GatewayInProcess.now_ms`, which only the test changes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from engine.definitions import RULES_VERSION
from engine.journal import (
    BEGINNING,
    GENESIS_HEAD,
    OPERATOR_PRODUCER,
    VENUE_PRODUCER,
    EntryId,
    JournalEntry,
    Opening,
    PublishedEntry,
    chain_head,
    entry_digest,
)
from engine.records import (
    EPOCH_START,
    BatchBuilder,
    Command,
    CommandKind,
    EpochStart,
    EventEntry,
)
from engine.reference import Core
from engine.venue_file import load_venue
from gateway.auth.sessions import Key, RateLimitSettings, Session
from gateway.handlers.methods import Clock, Methods
from gateway.journal.pipeline import Pipeline
from gateway.service import Knowledge
from gateway.wire.connection import HttpRequest
from tests.worlds.accounts import Ed25519Key, HmacKey, OperatedVenue
from tests.worlds.clients import RequestClient

GATEWAY = 16
START_MS = 1_800_000_000_000


def unframe(frame: bytes) -> Any:
    """The JSON value in a server's text frame."""
    assert frame[0] == 0x81
    length, start = frame[1], 2
    if length == 126:
        length, start = int.from_bytes(frame[2:4], "big"), 4
    elif length == 127:
        length, start = int.from_bytes(frame[2:10], "big"), 10
    assert len(frame) == start + length
    return json.loads(frame[start:])


class GatewayInProcess(OperatedVenue):
    """A gateway, an engine and an operator. `trader` and `client` give it clients.

    Args:
        limits: of requests and orders; the gateway's own by default.
    """

    def __init__(self, limits: RateLimitSettings | None = None) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.core = Core()
        self.knowledge = Knowledge()
        self.projection = self.knowledge.projection
        self.sequence = 0
        self.published: list[PublishedEntry] = []
        """All entries from the beginning, as a reader of the store would get them."""
        self.secrets: dict[str, bytes] = {}
        self.secrets_asked: list[Key] = []
        self.answers_secrets = True
        self.methods = Methods(
            self.projection,
            self.knowledge.feeds,
            self.knowledge.keys,
            Clock(lambda: self.now_ms / 1000, lambda: self.now_ms * 1000),
            limits or RateLimitSettings(),
            fetch_secret=self._fetch_secret,
            read_up=self._read_up,
            wake=lambda: None,
        )
        self.pipeline = self.methods.pipeline = Pipeline(GATEWAY, self.methods.refused)
        self.pipeline.opened(Opening(1, 0, 0, BEGINNING))
        self._operator_numbers = itertools.count(1)
        builder = BatchBuilder()
        start = EpochStart(previous_head=GENESIS_HEAD, rules_version=RULES_VERSION)
        builder.add(Command(kind=CommandKind.EPOCH_START), EPOCH_START.pack(start))
        self.execute(builder.build(producer=VENUE_PRODUCER, incarnation=1, number=1))
        for venue_builder in load_venue().batches("test"):
            self.operate(venue_builder)

    def _fetch_secret(self, key: Key) -> None:
        self.secrets_asked.append(key)
        if self.answers_secrets:
            self.methods.secret_arrived(key, self.secrets.get(key.id))

    def _read_up(self, read: Callable[[], None]) -> bool:
        """Reads at once: every event is known here as soon as it is published."""
        read()
        return True

    # -- the engine's side

    def execute(self, batch: bytes) -> EventEntry:
        """Executes a journal entry, and gives its events to the gateway."""
        data = self.core.execute(self.now_ms * 1000, batch)
        id = EntryId(1, self.sequence)
        self.sequence += 1
        digest = entry_digest(JournalEntry(id, self.now_ms * 1000, batch))
        head = chain_head(self.knowledge.chain.head, id, digest, data)
        self.published.append(PublishedEntry(id, head, digest, data))
        self.knowledge.take(self.published[-1], self.pipeline, self.methods)
        return EventEntry(data)

    def turn(self) -> int:
        """Executes the batches that are queued; how many there were."""
        count = 0
        while (batch := self.pipeline.next_batch(self.now_ms / 1000, self.now_ms)) is not None:
            data = batch.data
            self.pipeline.confirmed(EntryId(1, self.sequence))
            self.execute(data)
            count += 1
        return count

    # -- the operator's side

    def operate(self, builder: BatchBuilder) -> EventEntry:
        number = next(self._operator_numbers)
        return self.execute(builder.build(producer=OPERATOR_PRODUCER, incarnation=1, number=number))

    def keep_secret(self, key: HmacKey) -> None:
        self.secrets[key.id] = key.secret.encode()

    # -- the clients' side

    def client(self, **options: Any) -> InProcessClient:
        return InProcessClient(self, **options)

    def trader(self, **deposits: str) -> InProcessClient:
        """A client with money whose session is logged on."""
        return self.trader_of(self.account(**deposits))

    def trader_of(self, account: int) -> InProcessClient:
        client = self.client()
        client.key = self.ed25519_key(account)
        client.logon(client.key)
        return client

    def get(self, path: str, query: str = "", method: str = "GET", **headers: str) -> tuple[int, Any]:
        encoded = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        status, body, _ = self.methods.handle_http("ip", HttpRequest(method, path, query, encoded, b""))
        return status, json.loads(body)


class InProcessClient(RequestClient):
    """A client whose session collects the frames that it gets. Its clock is the gateway's."""

    key: Ed25519Key

    def __init__(self, rig: GatewayInProcess, **options: Any) -> None:
        self.rig = rig
        self.frames: list[bytes] = []
        self.session = Session(
            self.frames.append, rig.methods.rate_limits.weight_of("ip", rig.now_ms), connected_ms=rig.now_ms, **options
        )
        self._ids = itertools.count(1)

    def send(self, frame: object) -> None:
        data = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        self.rig.methods.handle_messages(self.session, (data,))

    def take(self) -> list[Any]:
        """The messages that have come since the last call."""
        messages = [unframe(frame) for frame in self.frames]
        self.frames.clear()
        return messages

    def ask_frame(self, frame: object) -> Any:
        """Sends a frame and returns its reply; `take` returns the events that came with it."""
        self.send(frame)
        self.rig.turn()
        return unframe(self.frames.pop(0))

    def ask(self, method: str, **params: Any) -> Any:
        before = len(self.frames)
        self.send({"id": next(self._ids), "method": method, "params": params})
        self.rig.turn()
        return unframe(self.frames.pop(before))

    def time_ms(self) -> int:
        return self.rig.now_ms
