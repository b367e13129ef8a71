"""The gateway's process.

    python -m gateway.service --store unix:///run/jibek/store.sock --data jibek-data --port 9443

It rebuilds what it knows from the events, from the beginning, and only then opens its port. From there on one loop does
everything: what sockets bring in one turn becomes one journal batch; what XREAD of the events brings is applied, answered
and sent on. Nothing leaves before its event entry is in the store (promise P4).

    writer link   append, one at a time; secrets; memory use, once a second
    reader link   XREAD of the events, always one waiting

When the store goes away the process stays, tries again, goes on reading at its cursor, and opens anew as a producer: the
store then says whether the batch on its way is in the journal, and no copy of it can come in later. It ends where a promise is broken: an entry is missing, the store ends before what was read, the epoch has moved
on, or another process speaks under its number.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hiredis
import redis
import uvloop

from engine.journal import (
    BEGINNING,
    EVENTS_KEY,
    FIRST_GATEWAY,
    PUBLISHED_KEY,
    ChainBroken,
    EntryId,
    EventChain,
    Opening,
    PublishedEntry,
    StaleEpoch,
    StoreRefused,
    append_call,
    connect,
    current_epoch,
    open_call,
    parse_events,
    parse_streams,
    prepare_store,
    read_events,
)
from engine.process import (
    EXIT_GOOD,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    StopRequest,
    add_store_argument,
    report_ready,
    set_up,
    stop_on_signals,
)
from engine.reasons import Reason
from engine.records import EventEntry, EventHeader
from gateway.auth.secrets import SECRETS_KEY, SecretError, load_secret_key, unseal
from gateway.auth.sessions import Key, Keys, RateLimitSettings, Session
from gateway.dialect import replies as messages
from gateway.dialect.fast import Ask
from gateway.dialect.refusals import Refusal, refuse
from gateway.handlers.methods import Clock, HttpAnswer, Methods
from gateway.handlers.paths import session_for
from gateway.journal.link import AnswerRefused, StoreLink, memory_use
from gateway.journal.link import connect as connect_link
from gateway.journal.pipeline import Batch, Pipeline, PipelineLimits, Superseded
from gateway.view.accounts import CommandEvents
from gateway.view.feeds import Feeds
from gateway.view.projection import Projection
from gateway.wire.asyncio_client import Client
from gateway.wire.connection import HttpRequest, Limits, UpgradeRequest, encode_text

CONNECTIONS_MAX = 10_000
"""Open connections; one more is turned away with 503."""
ENTRIES_PER_READ = 64
ENTRIES_PER_REBUILD_READ = 256
BLOCK_MS = 5000
READING_UP_MAX = 1000
"""Requests that wait until the gateway has read up; one more is judged by what is known."""
DEPTH_INTERVAL_S = 0.1
HOUSEKEEPING_S = 1.0
RETRY_S_MIN = 0.05
RETRY_S_MAX = 1.0
STORE_FULL_PERCENT = 80
STORE_SILENCE_S_MAX = 15.0
"""Both links have an answer coming at least every BLOCK_MS; one that is silent for longer is half open."""
STORE_NOT_READY = ("LOADING", "BUSY", "TRYAGAIN", "READONLY", "MASTERDOWN")
"""Refusals that pass."""
CLOSE_GOING_AWAY = 1001
SHUTDOWN_GRACE_S = 0.2

Broken = (ChainBroken, StaleEpoch, StoreRefused, Superseded, SecretError)
"""What ends the process with exit code 1: going on would break a promise."""


class Knowledge:
    """What the gateway knows of the venue, and how far it has read. Follows the events in their order."""

    def __init__(self) -> None:
        self.keys = Keys()
        self.feeds = Feeds()
        self.projection = Projection(self.feeds, self.keys)
        self.cursor = BEGINNING
        """The last entry that was applied."""
        self.chain = EventChain()
        self.last_entry_us: dict[int, int] = {}
        """Producer -> the time of its last entry."""

    def take(self, published: PublishedEntry, pipeline: Pipeline | None, methods: Methods | None) -> None:
        """Applies one entry and answers the commands in it that are this gateway's own.

        Raises:
            ChainBroken: it does not follow the last one, or it was changed (promises P1 and P5).
            Superseded: see `Pipeline.answered`.
        """
        self.chain.check(published)
        entry = EventEntry(published.data)
        batch = pipeline.answered(entry.header) if pipeline is not None else None
        if batch is None or methods is None or pipeline is None:
            self.projection.apply(entry)
            self._note_producer(entry.header, pipeline, methods)
        else:
            self._take_own(entry, batch, pipeline, methods)
        self.cursor = published.id

    def _note_producer(self, header: EventHeader, pipeline: Pipeline | None, methods: Methods | None) -> None:
        """Notes until when each producer has sent something: an earlier process of this gateway is one of them."""
        self.last_entry_us[header.producer] = header.time_us
        if methods is None or pipeline is None:
            return
        if header.producer == pipeline.producer and not pipeline.is_own(header.incarnation):
            methods.replays.seen_by_another(header.time_us)

    def _take_own(self, entry: EventEntry, batch: Batch, pipeline: Pipeline, methods: Methods) -> None:
        asks = batch.asks
        if not asks:
            # Everybody in it was told long ago that the outcome is unknown.
            self.projection.apply(entry)
            return

        unanswered: list[Ask | None] = list(asks)

        def answer(index: int, events: CommandEvents, entry: EventEntry) -> None:
            ask = unanswered[index]
            assert ask is not None, f"command {index} has its events in two places"
            unanswered[index] = None
            pipeline.finish(ask)
            methods.answer(ask, events, entry)

        self.projection.apply(entry, answer)
        for ask in unanswered:
            if ask is not None:
                pipeline.finish(ask)
                methods.refused(ask, refuse(Reason.UNAVAILABLE))


class Service:
    """Sockets on one side, the store on the other, and between them `Methods`, `Pipeline` and `Knowledge`."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        knowledge: Knowledge,
        *,
        epoch: int,
        secret_key: bytes,
        log: logging.Logger,
    ) -> None:
        self.limits = Limits(output_bytes_max=arguments.output_bytes_max)
        self.failure: BaseException | None = None
        self._connections_max: int = arguments.connections_max
        self._url: str = arguments.store
        self._epoch = epoch
        self._secret_key = secret_key
        self._log = log
        self._knowledge = knowledge
        self._loop = asyncio.get_running_loop()
        self._dirty: list[Client] = []
        self._clients: dict[Client, None] = {}
        self._writer: StoreLink | None = None
        self._reader: StoreLink | None = None
        self._is_waking = False
        self._depth_ticks = 0
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking_up: deque[Callable[[], None]] = deque()
        """Who asked the store how far the events go."""
        self._reading_up: list[tuple[EntryId, Callable[[], None]]] = []
        """Who knows it, and waits until they are read that far."""
        self._fetching: set[Key] = set()
        """Keys whose secret the store was asked for."""
        clock = Clock(self._loop.time, lambda: time.time_ns() // 1000)
        settings = RateLimitSettings(
            arguments.weight_per_minute,
            arguments.orders_per_10_s,
            arguments.orders_per_day,
            arguments.connections_per_5_min,
            arguments.stream_messages_per_s,
        )
        pipeline_limits = PipelineLimits(
            arguments.commands_max, arguments.commands_per_session_max, arguments.answer_timeout_s
        )
        self._clock = clock
        self.methods = Methods(
            knowledge.projection,
            knowledge.feeds,
            knowledge.keys,
            clock,
            settings,
            fetch_secret=self._fetch_secret,
            read_up=self._read_up,
            wake=self._wake,
        )
        self.pipeline = self.methods.pipeline = Pipeline(arguments.gateway, self.methods.refused, pipeline_limits)
        self.methods.replays.seen_by_another(knowledge.last_entry_us.get(arguments.gateway, 0))

    # -- the life of the process

    async def run(self, arguments: argparse.Namespace) -> None:
        """Serves until `stop` is called or a promise is broken (`failure`)."""
        await self._connect_writer()
        await self._connect_reader()
        server = await self._loop.create_server(
            lambda: Client(self, self._loop, self._dirty), arguments.host, arguments.port, backlog=1024
        )
        self._loop.call_later(DEPTH_INTERVAL_S, self._send_depth)
        self._loop.call_later(HOUSEKEEPING_S, self._keep_house)
        port = server.sockets[0].getsockname()[1]
        report_ready(service="gateway", host=arguments.host, port=port, gateway=arguments.gateway)
        try:
            await self._stopped
        finally:
            server.close()
            await self._say_goodbye()
            for link in (self._writer, self._reader):
                if link is not None:
                    link.close()

    def stop(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _break(self, failure: BaseException) -> None:
        """A promise is broken: nobody gets another word from this process."""
        self.failure = failure
        self.stop()

    async def _say_goodbye(self) -> None:
        """Tells clients of the planned end, closes, and leaves the frames a moment to go out."""
        time_us = self._clock.now_us()
        for client in list(self._clients):
            session = client.session
            if session is not None and self.failure is None:
                event = messages.server_shutdown(time_us, session.unit)
                client.send(encode_text(messages.shutdown_frame(event, session.is_api, session.combined)))
            client.close(CLOSE_GOING_AWAY, "shutting down")
        if self._clients:
            await asyncio.sleep(SHUTDOWN_GRACE_S)
        for client in list(self._clients):
            client.abort()

    # -- clients

    def connected(self, client: Client) -> Refusal | None:
        if len(self._clients) >= self._connections_max:
            return refuse(Reason.OVERLOADED)
        refusal = self.methods.rate_limits.add_connection(client.ip, self._clock.now_us() // 1000)
        if refusal is None:
            self._clients[client] = None
        return refusal

    def disconnected(self, client: Client) -> None:
        self._clients.pop(client, None)
        if client.session is not None:
            self.methods.session_ended(client.session)

    def handle_http(self, client: Client, request: HttpRequest) -> HttpAnswer:
        return self.methods.handle_http(client.ip, request)

    def open_session(self, client: Client, request: UpgradeRequest) -> Session | None:
        now_ms = self._clock.now_us() // 1000
        usage = self.methods.rate_limits.weight_of(client.ip, now_ms)
        opened = session_for(request, client.send, usage, now_ms)
        if opened is None:
            return None
        session, streams = opened
        session.close, session.is_behind = client.close, client.is_behind
        self.methods.follow_url(session, streams)
        return session

    def handle_messages(self, session: Session, messages: Sequence[bytes]) -> None:
        self.methods.handle_messages(session, messages)

    def _flush(self) -> None:
        """Writes what this turn has queued for clients."""
        dirty = self._dirty
        if dirty:
            for client in dirty:
                client.flush()
            dirty.clear()

    # -- commands to the journal

    def _wake(self) -> None:
        """Sends a batch at the end of this turn of the loop, so that all commands of the turn are in it."""
        if not self._is_waking:
            self._is_waking = True
            self._loop.call_soon(self._send_next)

    def _send_next(self) -> None:
        self._is_waking = False
        writer = self._writer
        if writer is not None and writer.is_open:
            batch = self.pipeline.next_batch(self._loop.time(), self._clock.now_us() // 1000)
            if batch is not None:
                self._append(writer, batch)
        self._flush()

    def _append(self, writer: StoreLink, batch: Batch) -> None:
        writer.send(append_call(self._epoch, batch.data, reducing=batch.reduces), self._appended)

    def _appended(self, answer: Any) -> None:
        if isinstance(answer, hiredis.ReplyError):
            self._append_refused(str(answer))
        else:
            self._added(EntryId.parse(answer))

    def _added(self, id: EntryId) -> None:
        self.pipeline.confirmed(id)
        self._send_next()

    def _append_refused(self, text: str) -> None:
        """Judges an answer that is no id: the batch was not added, unless it is THERE."""
        code, _, detail = text.partition(" ")
        if code == "THERE":
            self._added(EntryId.parse(detail))
        elif code == "OOM":
            batch = self.pipeline.store_full(self._loop.time())
            if batch is not None and self._writer is not None:
                self._append(self._writer, batch)
            else:
                self._send_next()
        elif code == "STALEEPOCH":
            self._break(StaleEpoch(f"the epoch in force is {detail}, and this gateway belongs to {self._epoch}"))
        elif code in ("STALE", "GAP"):
            self._refused_by_number(code, int(detail))
        elif code in STORE_NOT_READY:
            self._open_anew()
        else:
            self._break(StoreRefused(f"append: {text}"))

    def _refused_by_number(self, code: str, number: int) -> None:
        """Somebody else speaks under this number, or the store is not what it was; opening anew tells."""
        try:
            if code == "STALE":
                self.pipeline.refused_as_stale(number)
            self._open_anew()
        except Superseded as failure:
            self._break(failure)

    def _open_anew(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _writer_lost(self) -> None:
        self._writer = None
        self.pipeline.lost()
        # Who asked how far the events go gets no answer any more: what is known must do.
        self._reading_up += [(BEGINNING, read) for read in self._asking_up]
        self._asking_up.clear()
        self._call_who_has_read_up()
        fetching, self._fetching = self._fetching, set()
        for key in fetching:
            self.methods.secret_arrived(key, None, refuse(Reason.UNAVAILABLE))
        self._flush()
        if not self._stopped.done():
            self._start(self._connect_writer())

    async def _connect_writer(self) -> None:
        """Connects and opens the gateway, before anything else is sent."""
        link = await self._connect_link(self._writer_lost)
        if link is None:
            return
        try:
            self.pipeline.opened(Opening.parse(await link.ask(*open_call(self.pipeline.producer))))
        except Broken as failure:
            self._break(failure)
        except AnswerRefused as refusal:
            if str(refusal).partition(" ")[0] in STORE_NOT_READY:
                await self._close_after_a_while(link)
            else:
                self._break(StoreRefused(f"open_producer: {refusal}"))
        except OSError:
            await self._close_after_a_while(link)
        else:
            if link.is_open:
                self._writer = link
                self._send_next()

    async def _close_after_a_while(self, link: StoreLink) -> None:
        """Ends a connection on which the gateway could not open; its end brings the next one."""
        await asyncio.sleep(RETRY_S_MIN)
        link.close()

    # -- events from the store

    def _reader_lost(self) -> None:
        self._reader = None
        if not self._stopped.done():
            self._start(self._connect_reader())

    async def _connect_reader(self) -> None:
        self._reader = await self._connect_link(self._reader_lost)
        if self._reader is None:
            return
        try:
            published = await self._reader.ask("GET", PUBLISHED_KEY)
        except OSError:
            if self._reader is not None:
                self._reader.close()
            return
        if EntryId.parse(published or b"0-0") < self._knowledge.cursor:
            self._break(ChainBroken(f"the store ends at {published!r}, before {self._knowledge.cursor} that was read"))
        elif self._reader is not None and self._reader.is_open:
            self._read_on(self._reader, self._knowledge.cursor)

    def _read_on(self, reader: StoreLink, cursor: EntryId) -> None:
        reader.send(
            ("XREAD", "COUNT", ENTRIES_PER_READ, "BLOCK", BLOCK_MS, "STREAMS", EVENTS_KEY, str(cursor)),
            self._events_arrived,
        )

    def _events_arrived(self, answer: Any) -> None:
        reader = self._reader
        if reader is None or self._stopped.done():
            return
        if isinstance(answer, hiredis.ReplyError):
            self._log.warning("the store refused to read: %s", answer)
            reader.close()
            return
        entries: list[PublishedEntry] = []
        try:
            entries = parse_events(parse_streams(answer).get(EVENTS_KEY.encode(), ()))
            # The next read is under way while these entries are applied.
            self._read_on(reader, entries[-1].id if entries else self._knowledge.cursor)
            for published in entries:
                self._knowledge.take(published, self.pipeline, self.methods)
        except Broken as failure:
            self._break(failure)
        except Exception as failure:
            self._log.exception("an event entry cannot be applied")
            self._break(failure)
        self._call_who_has_read_up()
        self._flush()
        if entries:
            self._wake()

    def _read_up(self, read: Callable[[], None]) -> bool:
        """Calls `read` when all that stands in the store now has been read here; False where too many wait for that."""
        writer = self._writer
        if writer is None or not writer.is_open or len(self._asking_up) + len(self._reading_up) >= READING_UP_MAX:
            return False
        self._asking_up.append(read)
        writer.send(("GET", PUBLISHED_KEY), self._published_told)
        return True

    def _published_told(self, answer: Any) -> None:
        id = EntryId.parse(answer) if isinstance(answer, bytes) else BEGINNING
        self._reading_up.append((id, self._asking_up.popleft()))
        self._call_who_has_read_up()
        self._flush()

    def _call_who_has_read_up(self) -> None:
        if self._reading_up:
            waiting, self._reading_up = self._reading_up, []
            for id, read in waiting:
                if id > self._knowledge.cursor:
                    self._reading_up.append((id, read))
                else:
                    read()

    # -- connections to the store

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect_link(self, lost: Callable[[], None]) -> StoreLink | None:
        """A connection, tried for as long as it takes; None when the process is to stop."""
        wait_s = RETRY_S_MIN
        while not self._stopped.done():
            announce = _Once(lost)
            try:
                link = await connect_link(self._url, announce.lost)
            except OSError as error:
                if wait_s == RETRY_S_MIN:
                    self._log.warning("the store cannot be reached, trying again: %s", error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_S_MAX)
                continue
            announce.is_armed = True
            if link.is_open:
                return link
        return None

    # -- secrets

    def _fetch_secret(self, key: Key) -> None:
        writer = self._writer
        if writer is None or not writer.is_open:
            self.methods.secret_arrived(key, None, refuse(Reason.UNAVAILABLE))
            return
        self._fetching.add(key)
        writer.send(("HGET", SECRETS_KEY, key.id), lambda answer: self._secret_fetched(key, answer))

    def _secret_fetched(self, key: Key, answer: Any) -> None:
        self._fetching.discard(key)
        secret, refusal = None, refuse(Reason.UNAUTHORIZED)
        if isinstance(answer, bytes):
            try:
                secret = unseal(self._secret_key, key.id, answer)
            except SecretError as error:
                self._log.error("%s", error)
                refusal = refuse(Reason.UNAVAILABLE)
        elif answer is not None:
            refusal = refuse(Reason.UNAVAILABLE)
        self.methods.secret_arrived(key, secret, refusal)
        self._flush()

    # -- timers

    def _send_depth(self) -> None:
        if self._stopped.done():
            return
        self._loop.call_later(DEPTH_INTERVAL_S, self._send_depth)
        feeds, time_us = self._knowledge.feeds, self._knowledge.projection.time_us
        feeds.send_depth(100, time_us)
        self._depth_ticks += 1
        if self._depth_ticks % 10 == 0:
            feeds.send_depth(1000, time_us)
        self._flush()

    def _keep_house(self) -> None:
        """Once a second: timeouts of clients and of commands, and how full the store is."""
        if self._stopped.done():
            return
        self._loop.call_later(HOUSEKEEPING_S, self._keep_house)
        self.pipeline.expire(self._loop.time())
        for client in list(self._clients):
            client.on_time()
        for link in (self._writer, self._reader):
            if link is not None and link.silent_s() > STORE_SILENCE_S_MAX:
                self._log.warning("the store does not answer: connecting again")
                link.close()
        if self._writer is not None and self._writer.is_open:
            self._writer.send(("INFO", "memory"), self._memory_told)
        self._flush()

    def _memory_told(self, answer: Any) -> None:
        if isinstance(answer, bytes):
            used, largest = memory_use(answer)
            self.methods.is_store_full = largest > 0 and used * 100 >= largest * STORE_FULL_PERCENT


class _Once:
    """Passes on that a connection was lost, unless it was lost while it was being made: then its maker knows."""

    __slots__ = ("_lost", "is_armed")

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self.is_armed = False

    def lost(self) -> None:
        if self.is_armed:
            self._lost()


# -- the process


def rebuild(client: Any, knowledge: Knowledge, stop: StopRequest) -> None:
    """Applies all events in the store, from the beginning. Cost: about 10 µs an event.

    Raises:
        ChainBroken: an entry is missing.
    """
    while not stop:
        entries = read_events(client, knowledge.cursor, count=ENTRIES_PER_REBUILD_READ)
        for published in entries:
            knowledge.take(published, None, None)
        if not entries:
            return


def prepare(arguments: argparse.Namespace, log: logging.Logger, stop: StopRequest) -> tuple[Knowledge, int] | None:
    """Waits for a venue in the store and rebuilds; None when the process is to stop."""
    wait_s = RETRY_S_MIN
    knowledge = Knowledge()
    client = connect(arguments.store)
    while not stop:
        try:
            prepare_store(client)
            epoch = current_epoch(client)
            if epoch:
                rebuild(client, knowledge, stop)
                return None if stop else (knowledge, epoch)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            log.warning("the store cannot be reached, trying again: %s", error)
        stop.wait(wait_s)
        wait_s = min(2 * wait_s, RETRY_S_MAX)
    return None


async def serve(
    arguments: argparse.Namespace, knowledge: Knowledge, epoch: int, secret_key: bytes, log: logging.Logger
) -> BaseException | None:
    """Serves until a signal comes; what broke a promise, if anything did."""
    service = Service(arguments, knowledge, epoch=epoch, secret_key=secret_key, log=log)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    await service.run(arguments)
    return service.failure


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    limits, pipeline = RateLimitSettings(), PipelineLimits()
    parser = argparse.ArgumentParser(prog="python -m gateway.service", description="The WebSocket gateway of a venue.")
    add_store_argument(parser)
    parser.add_argument("--data", required=True, type=Path, help="data folder of the venue, with its secret.key")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=9443, type=int, help="port to listen on, 0 for any (default: %(default)s)")
    parser.add_argument("--gateway", default=FIRST_GATEWAY, type=int, help="number of this gateway, from %(default)s")
    parser.add_argument("--weight-per-minute", default=limits.weight_per_minute, type=int, help="request weight of an address (default: %(default)s)")  # fmt: skip
    parser.add_argument("--orders-per-10-s", default=limits.orders_per_10_s, type=int, help="unfilled new orders of an account (default: %(default)s)")  # fmt: skip
    parser.add_argument("--orders-per-day", default=limits.orders_per_day, type=int, help="unfilled new orders of an account (default: %(default)s)")  # fmt: skip
    parser.add_argument("--connections-per-5-min", default=limits.connections_per_5_min, type=int, help="new connections of an address (default: %(default)s)")  # fmt: skip
    parser.add_argument("--stream-messages-per-s", default=limits.stream_messages_per_s, type=int, help="requests on one stream connection (default: %(default)s)")  # fmt: skip
    parser.add_argument("--connections-max", default=CONNECTIONS_MAX, type=int, help="open connections (default: %(default)s)")  # fmt: skip
    parser.add_argument("--commands-max", default=pipeline.commands_max, type=int, help="commands without an answer (default: %(default)s)")  # fmt: skip
    parser.add_argument("--commands-per-session-max", default=pipeline.commands_per_session_max, type=int, help="commands of a connection without an answer (default: %(default)s)")  # fmt: skip
    parser.add_argument("--answer-timeout-s", default=pipeline.answer_timeout_s, type=float, help="after this a command is answered as unknown (default: %(default)s)")  # fmt: skip
    parser.add_argument("--output-bytes-max", default=Limits().output_bytes_max, type=int, help="what may wait for a slow reader (default: %(default)s)")  # fmt: skip
    return parser.parse_args(arguments)


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    log = set_up("gateway")
    logging.getLogger("websockets.server").setLevel(logging.WARNING)
    stop = stop_on_signals()
    try:
        secret_key = load_secret_key(arguments.data)
        prepared = prepare(arguments, log, stop)
        if prepared is None:
            return EXIT_GOOD
        knowledge, epoch = prepared
        # What was rebuilt lives as long as the process: the collector need not look at it again and again.
        gc.freeze()
        gc.set_threshold(100_000, 20, 50)
        failure = uvloop.run(serve(arguments, knowledge, epoch, secret_key, log))
    except Broken as error:
        log.error("%s", error)
        return EXIT_REFUSED
    except OSError as error:
        log.error("cannot listen on %s:%s: %s", arguments.host, arguments.port, error.strerror or error)
        return EXIT_UNREACHABLE
    if failure is not None:
        log.error("%s", failure)
        return EXIT_REFUSED
    return EXIT_GOOD


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
