"""The gateway's process: it makes the parts, connects them, and runs until it is stopped.

    python -m gateway.service --store unix:///run/jibek/store.sock --data jibek-data --port 9443

It rebuilds its view from the events, from the beginning, and only then opens its port. From there on one loop does
everything: what sockets bring in one turn becomes one journal batch; what XREAD of the events brings is applied, answered
and sent on. Nothing leaves before its event entry is in the store (promise P4).

    sockets ─▶ Clients ─▶ Router ─▶ Pipeline ─▶ JournalWriter ─▶ store
    sockets ◀─ Outbox  ◀─ Answers ◀─ Intake  ◀─ EventsLink    ◀─ store

When the store goes away the process stays, tries again, goes on reading at its cursor, and opens again as a producer: the
store then says whether the batch on its way is in the journal, and no copy of it can come in later. A store whose settings are
unsafe, or that ends before what was read, is waited for like one that is away. The process ends when a promise is broken: an
entry is missing, the epoch has moved on, or another process speaks under its number.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from typing import Any

import uvloop

from engine.process import (
    EXIT_GOOD,
    EXIT_UNREACHABLE,
    StopOverdue,
    StopRequest,
    entry_is,
    report_ready,
    set_up,
    stop_is_obeyed,
    stop_on_signals,
)
from engine.process.disk import read_disk
from engine.process.duties import LINE_INTERVAL_S, Duties, Fault
from engine.process.follower import end_code
from engine.process.log_lines import where_of
from engine.process.wall_clock import wall_ns
from engine.process.watermarks import WatermarkWriter
from gateway.access import PROXY_PROTOCOL, exposure_warning
from gateway.arguments import Arguments, parse_arguments
from gateway.auth.bans import Bans
from gateway.auth.mark_setter import MarkSetter
from gateway.auth.secret_fetcher import SecretFetcher
from gateway.auth.secret_key_watch import SecretKeyWatch
from gateway.auth.secrets import SECRET_KEY_FILE, SecretError
from gateway.clients import Clients
from gateway.clock import Clock
from gateway.descriptors import fit_descriptors
from gateway.handlers.answers import Answers
from gateway.handlers.commands import Commands
from gateway.handlers.router import Router
from gateway.handlers.state import GatewayState
from gateway.incidents import Incidents
from gateway.journal.catch_up import APPENDED, PUBLISHED, CatchUp
from gateway.journal.events_link import EventsLink
from gateway.journal.intake import Intake
from gateway.journal.kept_link import KeptLink
from gateway.journal.link import memory_use
from gateway.journal.pipeline import Pipeline, Superseded
from gateway.journal.writer import JournalWriter
from gateway.judgement.record import RefusalRecord
from gateway.limits import STORE_FULL_PERCENT, STORE_SILENCE_S_MAX
from gateway.rebuild import Prepared, find_secret_key, prepare
from gateway.wire.asyncio_client import Outbox
from gateway.wire.listener import Listener
from gateway.wire.places import Places
from gateway.wire.tls import Certificate, TlsRefused, utc_now

DEPTH_INTERVAL_S = 0.1
HOUSEKEEPING_S = 1.0
SILENCE_SHOWN_S = 1.5
"""After so long without an answer the link of the journal counts as broken. It asks once a second."""

BROKEN_PROMISES = (Superseded, SecretError, TlsRefused)
"""What ends the process besides what ends every follower of the events."""


class Service:
    """All parts of a gateway, and its timers."""

    def __init__(
        self, arguments: Arguments, prepared: Prepared, secret_key: bytes, log: logging.Logger, duties: Duties
    ) -> None:
        self._arguments = arguments
        self._log = log
        self._duties = duties
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._note_defect)
        self._ended: asyncio.Future[BaseException | None] = self._loop.create_future()
        self._depth_ticks = 0
        self._is_memory_full = False
        self._disk_fault = ""
        clock = Clock(self._loop.time, lambda: wall_ns() // 1000)
        outbox = self._outbox = Outbox(self._loop.call_soon)
        view = self._view = prepared.view
        incidents = self._incidents = Incidents(log)
        bans = Bans(arguments.bans, note_ban=incidents.note_ban)
        state = self._state = GatewayState(view, prepared.rate_limits, clock, bans, incidents)
        answers = Answers(state)
        pipeline = self._pipeline = Pipeline(arguments.producer, answers.reject, arguments.pipeline_limits)
        writer = self._writer = JournalWriter(
            arguments.store,
            pipeline,
            epoch=prepared.epoch,
            clock=clock,
            flush=outbox.flush,
            broken=self._end,
            log=log,
            read_to=lambda: prepared.reader.cursor,
        )
        self._published = CatchUp(writer, view, pipeline, PUBLISHED)
        self._appended = CatchUp(writer, view, pipeline, APPENDED)
        self._refusals = RefusalRecord(arguments.data, arguments.producer, clock, log)
        commands = self._commands = Commands(
            state,
            answers,
            pipeline,
            appended=self._appended,
            note_refusal=self._refusals.note,
            wake=writer.wake,
            limits=arguments.pipeline_limits,
        )
        router = Router(
            state,
            answers,
            commands,
            fetch_secret=SecretFetcher(writer.ask, secret_key, log).fetch,
            set_mark=MarkSetter(writer.ask).set,
            published=self._published,
        )
        self._secret_key = SecretKeyWatch(arguments.data, secret_key)
        self._watermark = WatermarkWriter(arguments.data, f"gateway-{arguments.producer}")
        self._watermark.note(prepared.reader.cursor, prepared.reader.head)
        self._events = EventsLink(
            arguments.store,
            prepared.reader,
            Intake(view, pipeline, answers),
            taken=self._entries_taken,
            verified=self._watermark.note,
            broken=self._end,
            log=log,
        )
        access = arguments.access
        self._clients = Clients(
            router,
            outbox,
            arguments.connection_limits,
            Places(arguments.connections_max, arguments.connections_per_address_max),
            access,
            arguments.host,
        )
        self._listener = Listener(self._clients, self._loop, log, proxies=access.proxies(PROXY_PROTOCOL))

        for name, fault in self._faults().items():
            duties.watch(name, fault)

    def _faults(self) -> dict[str, Fault]:
        """The duties of a gateway, for `jibek status`."""

        def orders() -> str:
            return self._disk_fault and f"new ones are refused: {self._disk_fault}"

        def writer() -> str:
            silent_s = self._writer.link.silent_s()
            return self._writer.link.fault or (f"no answer for {silent_s:.0f} s" if silent_s > SILENCE_SHOWN_S else "")

        return {
            "journal": writer,
            "events": lambda: self._events.link.fault,
            "refusals": lambda: self._refusals.fault,
            "watermark": lambda: self._watermark.fault,
            "orders": orders,
            SECRET_KEY_FILE: lambda: self._secret_key.fault,
        }

    async def run(self) -> BaseException | None:
        """Serves until `stop` is called or a promise is broken; what broke it."""
        for link in self._links():
            await asyncio.wait((link.start(), self._ended), return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                self._stop_links()
                return await self._ended
        port = self._listener.listen(self._arguments.host, self._arguments.port)
        self._loop.call_later(DEPTH_INTERVAL_S, self._send_depth)
        self._loop.call_later(HOUSEKEEPING_S, self._once_a_second)
        self._come_round()
        report_ready(service="gateway", host=self._arguments.host, port=port, gateway=self._arguments.producer)
        failure: BaseException | None = None
        try:
            failure = await self._ended
        finally:
            self._listener.close()
            await self._clients.say_goodbye(with_words=failure is None)
            self._incidents.close()
            await self._refusals.close()
            self._stop_links()
        return failure

    def stop(self) -> None:
        """Ends the process in good order: clients get a `serverShutdown` event and close code 1001."""
        self._end(None)

    def close(self) -> None:
        """Ends what outlives `run`: the last watermark is written."""
        self._watermark.close()

    def reload(self) -> None:
        """Reads the files of the certificate again. New connections get what they hold now; if that cannot be used, nothing
        changes."""
        try:
            certificate = self._arguments.access.certificate()
        except TlsRefused as error:
            self._log.error("the certificate stays as it is: %s.", error)
            return
        if certificate is None:
            self._log.info("there is no certificate to read again: the gateway speaks no TLS")
        self.use(certificate)

    def use(self, certificate: Certificate | None) -> None:
        """Answers new connections with this certificate; None, without TLS."""
        if certificate is None:
            return
        self._listener.tls = certificate.context
        self._log.info("the certificate is valid until %s", certificate.valid_until.isoformat(" "))
        if warning := certificate.warning(utc_now()):
            self._log.warning("%s", warning)

    def _end(self, failure: BaseException | None) -> None:
        """Ends the process; after a broken promise nothing is sent any more."""
        if not self._ended.done():
            self._ended.set_result(failure)
            if failure is not None:
                self._stop_links()

    def _note_defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Says what has failed in a callback, and where. What the loop itself would say has the arguments of the callback in
        it, and those are what a client has sent."""
        error = context.get("exception")
        if error is None:
            self._log.error("the loop reports a fault without an exception")
        else:
            self._log.error("a callback failed: %s at %s", type(error).__name__, where_of(error))

    def _links(self) -> tuple[KeptLink, ...]:
        return self._writer.link, self._events.link

    def _stop_links(self) -> None:
        for link in self._links():
            link.stop()

    def _entries_taken(self) -> None:
        """Entries were applied: goes on with what waited for them, and with commands that gathered meanwhile."""
        self._published.moved()
        self._appended.moved()
        self._commands.entries_taken()
        self._outbox.flush()
        self._writer.wake()

    # -- timers

    def _come_round(self) -> None:
        """Shows that the loop gets on."""
        self._duties.came_round()
        if not self._ended.done():
            self._loop.call_later(LINE_INTERVAL_S, self._come_round)

    def _send_depth(self) -> None:
        if self._ended.done():
            return
        self._loop.call_later(DEPTH_INTERVAL_S, self._send_depth)
        feeds, time_us = self._view.feeds, self._view.projection.time_us
        feeds.send_depth(100, time_us)
        self._depth_ticks += 1
        if self._depth_ticks % 10 == 0:
            feeds.send_depth(1000, time_us)
        self._outbox.flush()

    def _once_a_second(self) -> None:
        """Timeouts of clients and of commands; keys that have expired; a store that is silent, or nearly full."""
        if self._ended.done():
            return
        self._loop.call_later(HOUSEKEEPING_S, self._once_a_second)
        self._pipeline.expire(self._loop.time())
        self._commands.on_time()
        self._refusals.on_time()
        self._view.keys.end_expired(self._state.clock.now_us())
        self._clients.on_time()
        self._incidents.on_time(self._state.clock.now_us() // 1000)
        self._listener.on_time()
        for link in self._links():
            if link.silent_s() > STORE_SILENCE_S_MAX:
                link.drop("the store does not answer")
        self._secret_key.look()
        self._disk_fault = self._look_at_disk()
        self._judge_store()
        self._writer.check_settings()
        self._writer.ask(("INFO", "memory"), self._note_memory)
        self._outbox.flush()

    def _note_memory(self, reply: Any) -> None:
        if isinstance(reply, bytes):
            used, largest = memory_use(reply)
            self._is_memory_full = largest > 0 and used * 100 >= largest * STORE_FULL_PERCENT
            self._judge_store()

    def _judge_store(self) -> None:
        self._state.is_store_full = self._is_memory_full or bool(self._disk_fault)

    def _look_at_disk(self) -> str:
        """Why a store on this machine must not be filled any further; the empty text if it may.

        It ends when it cannot write, and takes the cancels with it. A store on another machine has a disk of its own.
        """
        if not self._arguments.store.startswith("unix:"):
            return ""
        try:
            disk = read_disk(self._arguments.data)
        except OSError as error:
            return f"the data folder cannot be used ({error.strerror})"
        return "" if disk.takes_writes else f"the disk of the data folder is {disk.state}"


# -- the process


async def serve(
    arguments: Arguments,
    prepared: Prepared,
    secret_key: bytes,
    stop: StopRequest,
    log: logging.Logger,
    duties: Duties,
) -> BaseException | None:
    """Serves until a signal comes, or has come already; what broke a promise, if anything did."""
    service = Service(arguments, prepared, secret_key, log, duties)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    # From here on a SIGHUP is heard; a certificate that was replaced before is read now.
    loop.add_signal_handler(signal.SIGHUP, service.reload)
    service.use(arguments.access.certificate())
    stop_is_obeyed()
    if stop:
        service.stop()
    try:
        return await service.run()
    finally:
        service.close()


def main(argv: list[str]) -> int:
    """Runs the gateway until a signal ends it; the exit code says how it ended (`engine.process`)."""
    arguments = parse_arguments(argv)
    log = set_up("gateway")
    duties = Duties()
    duties.begin()
    logging.getLogger("websockets.server").setLevel(logging.WARNING)
    stop = stop_on_signals()
    # Until the service listens there is nothing to read again.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        arguments.access.certificate()
        secret_key = find_secret_key(arguments, stop, log, duties)
        prepared = prepare(arguments, secret_key, stop, log, duties) if secret_key else None
    except StopOverdue:
        log.info("stopped in the middle of what it was at")
        return EXIT_GOOD
    except Exception as error:
        return end_code(log, error, BROKEN_PROMISES)
    finally:
        stop_is_obeyed()
    if secret_key is None or prepared is None:
        log.info("stopped before it was ready")
        return EXIT_GOOD
    entry_is(lambda: prepared.reader.cursor)
    if warning := exposure_warning(arguments.host, arguments.access):
        log.warning("%s", warning)
    arguments = arguments._replace(connections_max=fit_descriptors(arguments.connections_max, log))
    # What was rebuilt lives as long as the process: the collector need not look at it again and again.
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    try:
        failure = uvloop.run(serve(arguments, prepared, secret_key, stop, log, duties))
    except TlsRefused as error:
        return end_code(log, error, BROKEN_PROMISES)
    except OSError as error:
        log.error("cannot listen on %s:%s: %s", arguments.host, arguments.port, error.strerror or error)
        return EXIT_UNREACHABLE
    if failure is None:
        log.info("stopped")
    return end_code(log, failure, BROKEN_PROMISES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
