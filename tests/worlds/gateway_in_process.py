"""A gateway without sockets, store or clock: Router and Pipeline on top of the reference engine, in one process.

`GatewayInProcess.turn` does what the service and the engine do in one turn: it takes the batch, lets the core execute it, and hands
the events back. Time does not pass until `GatewayInProcess.now_ms` is changed.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from engine.definitions import RULES_VERSION
from engine.journal import (
    BEGINNING,
    GENESIS_HEAD,
    OPERATOR_PRODUCER,
    VENUE_PRODUCER,
    EntryId,
    JournalEntry,
    Mark,
    Opening,
    PublishedEntry,
    chain_head,
    entry_digest,
)
from engine.reasons import Reason
from engine.records import (
    EPOCH_START,
    BatchBuilder,
    Command,
    CommandKind,
    EpochStart,
    EventEntry,
)
from engine.reference import Core
from gateway.auth.bans import Bans
from gateway.auth.keys import Key
from gateway.auth.mark_setter import Marked
from gateway.auth.rate_limits import RateLimits
from gateway.auth.sessions import Caller, Session
from gateway.clock import Clock
from gateway.dialect.rejects import Reject
from gateway.handlers.answers import Answers
from gateway.handlers.call import Route
from gateway.handlers.commands import Commands
from gateway.handlers.http import HttpExchange
from gateway.handlers.router import Router
from gateway.handlers.routes import ROUTES
from gateway.handlers.state import GatewayState
from gateway.journal.intake import Intake
from gateway.journal.pipeline import Pipeline
from gateway.limits import BanSettings, PipelineLimits, RateLimitSettings
from gateway.venue_view import VenueView
from gateway.wire.frames import encode_text
from gateway.wire.http_side import HttpAnswer, HttpRequest
from gateway.wire.output import LongMessage
from tests.worlds.accounts import Ed25519Key, HmacKey, OperatedVenue
from tests.worlds.clients import RequestClient
from tests.worlds.definition import UNDISTURBED, world_venue

GATEWAY = 16
START_MS = 1_800_000_000_000
NEVER_BANS = BanSettings(failures_max=10**9)


def unframe(frame: bytes) -> Any:
    """The JSON value in a server's text frame."""
    assert frame[0] == 0x81
    return json.loads(payload_of(frame))


def payload_of(frame: bytes) -> bytes:
    """What a server's frame carries."""
    start, stop = _extent(frame, 0)
    assert len(frame) == stop
    return frame[start:]


def split(frames: bytes) -> list[bytes]:
    """Frames that were sent together."""
    found, position = [], 0
    while position < len(frames):
        _, stop = _extent(frames, position)
        found.append(frames[position:stop])
        position = stop
    return found


def _extent(frames: bytes, position: int) -> tuple[int, int]:
    """Where the payload of the frame at `position` begins and ends."""
    length, start = frames[position + 1], position + 2
    if length == 126:
        length, start = int.from_bytes(frames[start : start + 2], "big"), start + 2
    elif length == 127:
        length, start = int.from_bytes(frames[start : start + 8], "big"), start + 8
    return start, start + length


class GatewayInProcess(OperatedVenue):
    """
    Args:
        limits: of the tier `default`; None for limits that no test reaches.
        routes: the methods of the gateway.
    """

    """A gateway on a venue of its own.

    Args:
        marks: of used signatures, as the store keeps them: two gateways that share one share these.
    """

    def __init__(
        self,
        limits: RateLimitSettings | None = None,
        routes: Mapping[str, Route] = ROUTES,
        *,
        marks: dict[str, str] | None = None,
        bans: BanSettings = NEVER_BANS,
    ) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.core = Core()
        self.sequence = 0
        self.head = GENESIS_HEAD
        self.published: list[PublishedEntry] = []
        """All entries from the beginning, as another reader of the store would get them."""
        self.secrets: dict[str, bytes] = {}
        self.secrets_asked: list[Key] = []
        self.answers_secrets = True
        self.marks: dict[str, str] = {} if marks is None else marks
        """What the store knows of used signatures: mark → method."""
        self.answers_marks = True
        self._marking: list[tuple[Mark, Marked]] = []
        self.has_read_all = True
        """Else a request with an unknown key waits, until `catch_up` is called."""
        self._fetching: list[tuple[Key, Callable[[Key, bytes | None, Reject], None]]] = []
        self._catching_up: dict[Caller, Callable[[bool], None]] = {}
        self.refused_here: list[tuple[int, Reason]] = []
        """What the gateway has refused itself: account and reason."""
        rate_limits = RateLimits()
        self.view = VenueView(rate_limits)
        self.projection = self.view.projection
        clock = Clock(lambda: self.now_ms / 1000, lambda: self.now_ms * 1000)
        self.state = GatewayState(self.view, rate_limits, clock, Bans(bans))
        answers = Answers(self.state)
        self.pipeline = Pipeline(GATEWAY, answers.reject)
        self.commands = Commands(
            self.state,
            answers,
            self.pipeline,
            appended=self,
            note_refusal=lambda command, reason: self.refused_here.append((command.account.number, reason)),
            wake=lambda: None,
            limits=PipelineLimits(),
        )
        self.router = Router(
            self.state,
            answers,
            self.commands,
            fetch_secret=self._fetch_secret,
            set_mark=self._set_mark,
            published=self,
            routes=routes,
        )
        self.intake = Intake(self.view, self.pipeline, answers)
        self.pipeline.opened(Opening(1, 0, 0, BEGINNING))
        self._operator_numbers = itertools.count(1)
        builder = BatchBuilder()
        start = EpochStart(previous_head=GENESIS_HEAD, rules_version=RULES_VERSION)
        builder.add(Command(kind=CommandKind.EPOCH_START), EPOCH_START.pack(start))
        self.execute(builder.build(producer=VENUE_PRODUCER, incarnation=1, number=1))
        tier = UNDISTURBED._replace(**limits._asdict()) if limits else UNDISTURBED
        for venue_builder in world_venue(tier).batches("test"):
            self.operate(venue_builder)

    def _fetch_secret(self, key: Key, arrived: Callable[[Key, bytes | None, Reject], None]) -> None:
        self.secrets_asked.append(key)
        self._fetching.append((key, arrived))
        if self.answers_secrets:
            self.send_secrets()

    def send_secrets(self, reject: Reject = Reject(Reason.UNAUTHORIZED)) -> None:  # noqa: B008
        """The store answers everybody who has asked for a secret."""
        fetching, self._fetching = self._fetching, []
        for key, arrived in fetching:
            arrived(key, self.secrets.get(key.id), reject)

    def _set_mark(self, mark: Mark, marked: Marked) -> None:
        self._marking.append((mark, marked))
        if self.answers_marks:
            self.send_marks()

    def send_marks(self, reject: Reject | None = None) -> None:
        """The store answers everybody who has asked for a mark; with a `reject` it is away."""
        marking, self._marking = self._marking, []
        for mark, marked in marking:
            if reject is not None:
                marked(None, reject)
                continue
            before = self.marks.get(mark.name)
            self.marks.setdefault(mark.name, mark.method)
            marked(before, None)

    # -- as the router's EventsAwaited

    def wait(self, caller: Caller, resume: Callable[[bool], None]) -> None:
        self._catching_up[caller] = resume

    def forget(self, caller: Caller) -> None:
        self._catching_up.pop(caller, None)

    def catch_up(self, *, has_caught_up: bool = True) -> None:
        """Goes on with what waits for newer events; some of it may wait again."""
        waiting, self._catching_up = self._catching_up, {}
        for resume in waiting.values():
            resume(has_caught_up)

    # -- the engine's side

    def execute(self, batch: bytes) -> EventEntry:
        """Lets the core execute a journal entry and the gateway take in its events."""
        data = self.core.execute(self.now_ms * 1000, batch)
        id = EntryId(1, self.sequence)
        self.sequence += 1
        digest = entry_digest(JournalEntry(id, self.now_ms * 1000, batch))
        self.head = chain_head(self.head, id, digest, data)
        self.published.append(PublishedEntry(id, self.head, digest, data))
        self.intake.take(self.published[-1])
        self.commands.entries_taken()
        return EventEntry(data)

    def next_id(self) -> EntryId:
        """The id of the next journal entry."""
        return EntryId(1, self.sequence)

    def turn(self) -> int:
        """Carries what is queued to the engine and the events back; how many batches it took."""
        count = 0
        while True:
            self.catch_up_if_told()
            if (batch := self.pipeline.next_batch(self.now_ms / 1000, self.now_ms)) is None:
                return count
            marks = batch.marks()
            keys = [mark.name for mark in marks]
            used = [place for place, key in enumerate(keys) if key in self.marks or key in keys[:place]]
            if used:
                batch = self.pipeline.signatures_used(used, self.now_ms / 1000)
                if batch is None:
                    continue
            self.marks.update((mark.name, mark.method) for mark in batch.marks())
            data = batch.data
            self.pipeline.confirmed(EntryId(1, self.sequence))
            self.execute(data)
            count += 1

    def catch_up_if_told(self) -> None:
        while self.has_read_all and self._catching_up:
            self.catch_up()

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
        (answer,) = self.http(HttpRequest(method, path, query, encoded, b""))
        return answer.status, json.loads(answer.body)

    def http(self, request: HttpRequest) -> list[HttpAnswer]:
        """Sends a request; the list gets its answer, now or after `turn`."""
        answers: list[HttpAnswer] = []
        usage = self.state.rate_limits.weight_of("ip", self.now_ms)
        self.router.handle_http(HttpExchange(request, usage, answers.append, "ip"))
        return answers


def joined(message: LongMessage) -> bytes:
    """A long message in one frame, as a client gets it."""
    payload, is_last = b"", False
    while not is_last:
        fragment, is_last = message.next_frame()
        assert fragment[0] == (0x80 if is_last else 0) | (0 if payload else 1)
        payload += payload_of(fragment)
    return encode_text(payload)


class InProcessConnection:
    """The wire under the session of a InProcessClient."""

    def __init__(self, client: InProcessClient) -> None:
        self._client = client

    def send(self, frames: bytes) -> None:
        self._client.frames += split(frames)

    def close(self, code: int, reason: str) -> None:
        self._client.closed.append((code, reason))

    def is_behind(self) -> bool:
        return self._client.is_slow

    def has_ended(self) -> bool:
        return self._client.has_ended

    def abort(self) -> None:
        self._client.closed.append((0, "aborted"))

    def is_slice_over(self) -> bool:
        return self._client.has_short_slices

    def hold(self) -> None:
        self._client.is_reading = False

    def go_on(self) -> None:
        self._client.is_reading = True
        self._client.work()

    def send_long(self, message: LongMessage) -> None:
        self._client.frames.append(joined(message))

    def trust(self) -> None:
        self._client.is_trusted = True


class InProcessClient(RequestClient):
    """A session whose frames are collected."""

    key: Ed25519Key

    def __init__(self, rig: GatewayInProcess, **options: Any) -> None:
        self.rig = rig
        self.frames: list[bytes] = []
        self.closed: list[tuple[int, str]] = []
        self.inbox: deque[bytes] = deque()
        """What came and is yet to be handled."""
        self.is_reading = True
        self.is_slow = False
        self.has_ended = False
        """Whether the client has gone, which the session does not hear while it waits."""
        self.is_trusted = False
        self.has_short_slices = False
        """Whether one message that is not an ordinary order uses up a slice."""
        self._is_working = False
        usage = rig.state.rate_limits.weight_of("ip", rig.now_ms)
        self.session = Session(InProcessConnection(self), usage, address="ip", connected_ms=rig.now_ms, **options)
        self._ids = itertools.count(1)

    def send(self, frame: object) -> None:
        data = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        self.deliver(data)

    def deliver(self, *messages: bytes) -> None:
        """Messages come in one read of the socket."""
        self.inbox += messages
        self.work()
        self.rig.catch_up_if_told()

    def work(self) -> None:
        """Handles what came, as far as no message has to wait."""
        if self._is_working:
            return
        self._is_working = True
        while self.inbox and self.is_reading:
            for _ in range(self.rig.router.handle_messages(self.session, self.inbox)):
                self.inbox.popleft()
        self._is_working = False

    def take(self) -> list[Any]:
        """What came since the last call."""
        self.rig.catch_up_if_told()
        messages = [unframe(frame) for frame in self.frames]
        self.frames.clear()
        return messages

    def ask_frame(self, frame: object) -> Any:
        """The one reply to a frame; events that come with it stay to be taken."""
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
