"""`jibek up`: starts the processes of a venue, watches them, restarts those that crash, and stops them.

    store → engine → (the venue's definition, once) → settlement and gateway        `services` has the order of the stop

One thread waits for the next of three things: output of a child, the end of a child, a signal. A child that ends without
being asked is restarted; after three crashes within a minute (`--crashes-max`) it stays down, and the rest of the venue
goes on without it. That loses nothing, since each of them only follows the store. The first failed starts in a row do not
count (`children`).

It also looks after what they rely on (`surroundings`): it puts a removed socket back, waits for room on a full disk, and
writes the state of all into venue.json three times a second (`state_file`). Nothing that goes wrong there ends it.

However this process dies, its children end with it (`pdeathsig`), and the data folder stays locked until they have.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import redis

from engine.journal import (
    SOCKET_NAME,
    ChainBroken,
    EntryId,
    StoreRefused,
    StoreTimeout,
    connect,
    prepare_store,
    socket_url,
    start_venue,
)
from engine.journal.passing import reason_of
from engine.process import EXIT_GOOD, EXIT_REFUSED, EXIT_UNREACHABLE, LOG_FORMAT_VARIABLE, STORE_VARIABLE
from engine.process.private_files import UnsafePath
from engine.process.watermarks import ACCEPT_STORE_END, UP, WatermarkWriter, write_watermark
from engine.venue_file import VenueDefinition, load_venue
from gateway.access import exposure_warning
from gateway.auth.secrets import SecretError
from gateway.wire.tls import utc_now
from jibek.console.failure import MORE_MEMORY
from jibek.console.operator import operator_name, system_user
from jibek.venue import store_server
from jibek.venue.announcements import Announcements, level_of
from jibek.venue.children import SILENT_S, Child, InheritedFds, exit_text
from jibek.venue.cures import passing_cause, with_cure
from jibek.venue.definition import DefinitionRefused, define_venue, differences
from jibek.venue.directory import read_directory
from jibek.venue.folder import DataFolder
from jibek.venue.launch import FORGET_SECRETS, VenueOptions
from jibek.venue.preflight import (
    StartFailed,
    check_access,
    check_disk,
    check_engine_is_built,
    check_port,
    check_store_answers,
    sentence,
    start_failed,
)
from jibek.venue.services import ENGINE, GATEWAY, SERVICES, STOP_ORDER, STORE, SUPERVISOR, Service
from jibek.venue.state_file import StateFile
from jibek.venue.store_binary import StoreBinary, StoreUnavailable, find_again, find_binary
from jibek.venue.store_claim import StoreClaim, StoreClaimed
from jibek.venue.store_files import check_store_files
from jibek.venue.store_match import StoreMismatch, match_store
from jibek.venue.store_watch import StoreWatch
from jibek.venue.surroundings import Surroundings, remove_left_overs
from jibek.venue.up_log import UpLog
from jibek.venue.venue_state import facts_of, states_of

STOP_WAIT_S = 10.0
"""How long a child may take to stop before it is killed."""
RESTART_POLL_S = 0.1
STORE_RETRY_S = 0.02
PUMP_S = 0.2
"""Longest wait of the loop that watches: whatever it sees is in venue.json so soon."""
LOOK_INTERVAL_S = 0.3
"""How often it looks at what the processes rely on, and writes venue.json."""
LAUNCH_RETRY_S = 1.0
"""Pause before a process that the system had no room for is started again, or a store whose disk takes no writes."""
LONG_START_S = 5.0
"""After so long the supervisor says what it waits for: a long journal takes long to replay."""


class StopRequested(Exception):
    """A signal asked for the end while the supervisor waited for something."""


class Supervisor:
    """The parent of a venue's processes. `run` does everything.

    Args:
        options: what to start.
        say: receives each line for the operator.
        log: receives these and more; it is opened as soon as the data folder is there and locked.
    """

    def __init__(self, options: VenueOptions, say: Callable[[str], None], log: UpLog | None = None) -> None:
        self.options = options
        self._write_line = say
        self.warnings: list[str] = []
        """What an operator should know although the venue starts."""
        self.lost = ""
        """Why the venue stops without being asked to; empty if it does not."""
        self.folder = DataFolder(options.data)
        self.log = log or UpLog(self.folder.logs / f"{SUPERVISOR}.log", options.log_format)
        self.store_url = options.store or ""
        self.store_binary: StoreBinary | None = None
        self.children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._socket: Path | None = None
        self._state_file = StateFile(self.folder.venue_file)
        self._announcements = Announcements()
        self._claim: StoreClaim | None = None
        self._signals = 0
        self._last_signal = ""
        self._reload_is_due = False
        self._has_terminal = sys.stderr.isatty()
        self._serving = False
        self._restart_at_s = 0.0
        """When a start that the system had no room for may be tried again, by the monotonic clock."""
        self._at_end = contextlib.ExitStack()
        """What is left to do once all children have ended."""
        self._looked_s = 0.0
        self._pumped_s = time.monotonic()

    def run(self, when_ready: Callable[[], None] = lambda: None) -> int:
        """Starts the venue and watches it until SIGTERM, SIGINT or SIGHUP; returns the exit code of `jibek up`. With TLS,
        SIGHUP lets the gateway read its certificate again, and ends the venue only with its terminal.

        Raises:
            StartFailed, FolderRefused, UnsafePath, VenueError, StoreUnavailable: it could not be started; nothing is left running.
        """
        try:
            return self._run(when_ready)
        except OSError as error:
            if self._serving or isinstance(error, UnsafePath):
                raise
            raise start_failed(error, self.folder.path) from None

    def _run(self, when_ready: Callable[[], None]) -> int:
        definition = load_venue(self.options.venue)
        check_engine_is_built(self.options.engine)
        if self.options.store is None:
            self.store_binary = find_binary(self.options.store_binary)
        certificate = check_access(self.options.access)
        self._warn(
            exposure_warning(self.options.host, self.options.access),
            "" if certificate is None else certificate.warning(utc_now()),
        )
        self.folder.create()
        self._fds = InheritedFds.create(self.folder.lock())
        # Not before: until here the log may be that of a venue that runs.
        self.log.open()
        self.say(f"Starts a venue on {self.options.data} with the {self.options.engine} engine.", echo=False)
        check_disk(self.folder.path)
        self.folder.mark()
        self.folder.check_parts()
        self._state_file.remove()
        self._listen_for_signals()
        try:
            check_port(self.options.host, self.options.port)
            self._start(definition)
            self._state_file.open()
            self._serving = self._watch_store.checks = True
            self._show(time.monotonic())
            when_ready()
            self._watch()
        except StopRequested:
            self.say(f"{self._last_signal} asks the venue to stop.", echo=False)
        finally:
            self._stop()
            self.say("The venue has stopped.", echo=False)
            self._state_file.remove()
        return EXIT_REFUSED if self.lost or any(child.down for child in self.children.values()) else EXIT_GOOD

    def say(self, text: str, level: int = logging.INFO, *, echo: bool = True) -> None:
        """Writes a text of one sentence or more into the log.

        Args:
            level: of the standard library's `logging`.
            echo: whether the operator gets it now, too.
        """
        self.log.write(text, level)
        if echo:
            # A disk or a terminal that does not take it costs the line, and never the venue.
            with contextlib.suppress(OSError):
                self._write_line(text)

    # -- starting

    def _warn(self, *texts: str) -> None:
        for text in filter(None, texts):
            self.warnings.append(f"Warning: {text}")
            self.say(self.warnings[-1], logging.WARNING)

    def _start(self, definition: VenueDefinition) -> None:
        self._start_store()
        self._claim = StoreClaim(self.store_url)
        client = connect(self.store_url)
        try:
            self._claim.keep()
            prepare_store(client)
            self._warn(
                *match_store(
                    client,
                    self.folder.path,
                    accept_end=self.options.accept_store_end,
                    forget_secrets=self.options.forget_secrets,
                )
            )
            self._note_what_is_given_up()
            start_venue(client)
            self._start_services(*(service for service in SERVICES if not service.needs_definition))
            define_venue(client, self.folder.path, definition)
            if self.options.venue is not None:
                self._warn(*differences(definition, read_directory(client, self.folder.path).listing))
            self._start_services(*(service for service in SERVICES if service.needs_definition))
            self._note_watermark()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            said = [f"The store went away: {reason_of(error).rstrip('.')}."]
            raise StartFailed(with_cure(said, reason_of(error)), EXIT_UNREACHABLE) from None
        except StoreMismatch as error:
            raise StartFailed(str(error)) from None
        except (ChainBroken, DefinitionRefused, SecretError, StoreClaimed, StoreRefused, StoreTimeout) as error:
            raise StartFailed(with_cure([sentence(error)], str(error))) from None
        except redis.OutOfMemoryError:
            raise StartFailed(f"The store is full. {MORE_MEMORY}") from None
        except redis.ResponseError as error:
            raise StartFailed(f"The store cannot hold a venue: {reason_of(error)}.") from None
        finally:
            client.close()

    def _note_what_is_given_up(self) -> None:
        """Leaves in the log who goes on without a proof or without the secrets: the journal has no command for it."""
        given = {ACCEPT_STORE_END: self.options.accept_store_end, FORGET_SECRETS: self.options.forget_secrets}
        if options := " ".join(option for option, is_given in given.items() if is_given):
            who = f"{operator_name()}, system user {system_user()}"
            self.say(f"Started with {options} by {who}.", logging.WARNING, echo=False)

    def _note_watermark(self) -> None:
        """Notes how far the engine had come when it was ready, and keeps that mark as it is. The marks of the other processes are
        newer; this one stays if they are removed."""
        ready = self.children[ENGINE].ready
        assert ready
        write_watermark(self.folder.path, UP, EntryId.parse(ready["cursor"]), bytes.fromhex(ready["head"]))
        self._watermark = WatermarkWriter(self.folder.path, UP, self._say_of_watermark)
        self._at_end.callback(self._watermark.close)

    def _say_of_watermark(self, level: int, text: str) -> None:
        self.say(f"{text[:1].upper()}{text[1:]}.", level, echo=False)

    def _start_store(self) -> None:
        if self.store_binary is None:
            check_store_answers(self.store_url)
            self._begin_watch()
            return
        self._socket = store_server.runtime_folder(self.folder.identity) / SOCKET_NAME
        self._at_end.callback(store_server.forget_runtime_folder, self._socket)
        self.store_url = socket_url(self._socket)
        self._add(STORE, [])
        self._launch_store()
        self._begin_watch()
        self._wait_until("the store", self._store_is_ready, STORE_RETRY_S)

    def _launch_store(self) -> None:
        """Looks at program and files, writes the configuration, and starts the store.

        Raises:
            StoreUnavailable, OSError: one of them is missing, or must not be used as it is. Nothing was started.
        """
        before, child = self.store_binary, self.children[STORE]
        assert before is not None and self._socket is not None
        check_store_files(self.folder.store)
        binary = find_again(before)
        memory_bytes = self.options.store_memory_bytes
        child.command = store_server.command_line(self.folder.store, self._socket, memory_bytes, binary=binary)
        child.called = binary.called
        store_server.make_runtime_folder(self._socket.parent)
        self._launch(child)
        self.store_binary = binary
        if binary != before:
            self.say(
                f"The program of the store, {binary.path}, has changed: it is now {binary.name} {binary.version} "
                f"(SHA-256 {binary.sha256}).",
                logging.WARNING,
            )

    def _begin_watch(self) -> None:
        own_memory_bytes = self.options.store_memory_bytes or store_server.memory_limit_bytes()
        self._watch_store = StoreWatch(self.store_url, own_memory_bytes if self._socket is not None else None)
        self._watch_store.start()
        self._surroundings = Surroundings(self.folder, self._socket, self.store_url)
        self._at_end.callback(self._surroundings.forget_socket)
        self._at_end.callback(self._watch_store.stop)

    def _store_is_ready(self) -> bool:
        """Whether the embedded store serves. It shows that by answering, not by a line on its standard output."""
        store, watch = self.children[STORE], self._watch_store
        if store.is_running:
            store.heard_s = max(store.heard_s, watch.answered_s)
            if store.ready is None and watch.is_serving and watch.answered_s > store.started_s:
                store.ready = {"ready": True}
                self._surroundings.store_serves()
                assert self.store_binary is not None
                store_server.note_server(self.folder.store, self.store_binary)
        return store.ready is not None

    def _start_services(self, *services: Service) -> None:
        children = [self._add(service.name, service.command_line(self.options)) for service in services]
        for child in children:
            self._launch(child)
        self._wait_until(
            " and ".join(child.name for child in children), lambda: all(child.ready for child in children), 1.0
        )

    def _add(self, name: str, command: Sequence[str]) -> Child:
        self.children[name] = Child(
            name, command, self.folder.logs / f"{name}.log", self.options.crashes_max, self.options.log_format
        )
        return self.children[name]

    def _launch(self, child: Child) -> None:
        if child.name == STORE:
            remove_left_overs(self.folder.store)
        child.start(self._fds, {STORE_VARIABLE: self.store_url, LOG_FORMAT_VARIABLE: self.options.log_format})
        self.say(f"The {child.name} is started (process {child.pid}).", echo=False)
        for pipe in child.pipes:
            self._selector.register(pipe, selectors.EVENT_READ, child)

    def _wait_until(self, what: str, is_done: Callable[[], bool], poll_s: float) -> None:
        """Waits without a time limit: a long journal takes long to replay. If a child ends, the start fails."""
        began_s = time.monotonic()
        said = False
        while not is_done():
            self._pump(poll_s)
            if not said and time.monotonic() - began_s > LONG_START_S:
                said = True
                self.say(f"Waiting for {what} (logs in {self.folder.logs}) …")

    # -- watching

    def _watch(self) -> None:
        was_ready = self._ready_names()
        while self._has_its_places():
            is_settled = all(child.down or child.held or child.ready for child in self.children.values())
            self._pump(PUMP_S if is_settled else RESTART_POLL_S)
            now_s = time.monotonic()
            is_due = now_s - self._looked_s >= LOOK_INTERVAL_S
            if is_due:
                self._look_around(now_s)
            self._restart_crashed()
            self.log.on_time()
            for child in self.children.values():
                child.log.on_time()
            is_ready = self._ready_names()
            for name in is_ready - was_ready:
                self.say(f"The {name} is back (process {self.children[name].pid}).")
            if is_due or is_ready != was_ready:
                self._show(now_s)
            was_ready = is_ready

    def _has_its_places(self) -> bool:
        """Whether data folder and store are still this venue's. If not, `lost` says why: whatever is opened in another folder in
        its place is another venue's. A folder that is only missing is waited for (`Surroundings`)."""
        if not self.folder.is_in_place() and os.path.lexists(self.folder.path):
            self.lost = f"{self.folder.path} was moved or removed under the venue, so the venue stops. Put the folder back first."
        try:
            if self._claim is not None and self._watch_store.is_serving:
                self._claim.keep()
        except StoreClaimed as error:
            self.lost = f"{error}. This venue stops."
        except redis.ResponseError:
            pass  # It took the claim at the start, so a store that refuses it now is asked again later.
        if self.lost:
            self.say(self.lost, logging.ERROR)
        return not self.lost

    def _ready_names(self) -> set[str]:
        if STORE in self.children:
            self._store_is_ready()
        return {name for name, child in self.children.items() if child.ready}

    def _look_around(self, now_s: float) -> None:
        """Looks at what the processes rely on, and stops or starts what depends on it."""
        self._looked_s = now_s
        store = self.children.get(STORE)
        surroundings = self._surroundings
        surroundings.look(is_serving=store is not None and bool(store.ready))
        for line in (*surroundings.take_lines(), *self._watch_store.take_lines()):
            self.say(line, logging.WARNING)
        if surroundings.must_restart_store and store is not None and store.ready:
            store.signal(signal.SIGKILL)
        if store is not None and store.held and surroundings.disk_takes_writes and now_s >= store.restart_at_s:
            store.held = ""
        gateway = self.children.get(GATEWAY)
        if gateway is not None and not gateway.down:
            gateway.held = surroundings.orders_stop
            if gateway.held and gateway.is_running:
                gateway.signal(signal.SIGTERM)

    def _pump(self, timeout_s: float) -> None:
        """Waits for one round of output, ended children and signals, and handles them.

        Raises:
            StopRequested: SIGTERM, SIGINT or SIGHUP came.
            StartFailed: a child ended while the venue was starting.
        """
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, Child):
                self._take_output(key)
            else:
                os.read(key.fd, 4096)
        self._forgive_own_silence(time.monotonic())
        for child in self.children.values():
            if child.is_running and (code := child.poll()) is not None:
                self._forget_pipes(child)
                child.reap()
                self._child_ended(child, code)
        if self._signals:
            raise StopRequested
        gateway = self.children.get(GATEWAY)
        if self._reload_is_due and gateway is not None and gateway.ready:
            self._reload_is_due = False
            gateway.signal(signal.SIGHUP)

    def _forgive_own_silence(self, now_s: float) -> None:
        """After a time in which this process itself did not run, no child is to blame for what was not heard."""
        if now_s - self._pumped_s > SILENT_S:
            for child in self.children.values():
                child.heard_s = max(child.heard_s, now_s)
        self._pumped_s = now_s

    def _take_output(self, key: selectors.SelectorKey) -> None:
        child, pipe = key.data, key.fileobj
        assert isinstance(child, Child) and not isinstance(pipe, int)
        if not child.take_output(pipe):
            self._selector.unregister(pipe)

    def _child_ended(self, child: Child, code: int) -> None:
        text = f"the {child.name} {exit_text(code)}"
        if not self._serving:
            raise StartFailed(
                with_cure([f"The venue did not start: {text}. It said:\n{child.last_lines()}\n"], child.said())
            )
        if child.held:
            return  # It was asked to end; `_restart_crashed` starts it again once it may.
        if child.name == STORE and (cause := passing_cause(child.said())):
            child.held = cause
            child.restarts += 1
            self.say(
                f"The store ended, because {cause}. It is started again once that is over.\n{child.last_lines()}",
                logging.ERROR,
            )
            child.restart_at_s = time.monotonic() + LAUNCH_RETRY_S
            return
        if code == EXIT_UNREACHABLE and self._lost_its_store(child):
            # That is no crash; `_restart_crashed` restarts it once the store is back.
            self.say(
                f"T{text[1:]}: its store was away. It is restarted when the store is back.", logging.WARNING, echo=False
            )
            return
        if child.note_crash(time.monotonic(), text):
            self.say(f"T{text[1:]}: it is restarted.", logging.ERROR)
        else:
            ends = f"T{child.down[1:]}. Its log, {child.log.path}, ends:\n{child.last_lines()}\n"
            self.say(with_cure([ends], child.said()).rstrip(), logging.ERROR)
        self._looked_s = 0.0  # The next turn shows it.

    def _lost_its_store(self, child: Child) -> bool:
        """Whether the store is away, or was away at some time since the child was started."""
        store = self.children.get(STORE)
        is_newer = store is not None and store.started_s > child.started_s
        return is_newer or not store_server.is_serving(self.store_url)

    def _restart_crashed(self) -> None:
        """Restarts the children that have ended and may run: the store first, the others once it serves."""
        now_s = time.monotonic()
        ended = [child for child in self.children.values() if not (child.is_running or child.down or child.held)]
        crashed = [child for child in ended if now_s >= child.restart_at_s]
        if not crashed or now_s < self._restart_at_s:
            return
        store = self.children.get(STORE)
        if store in crashed:
            crashed = [store]
        elif not self._watch_store.is_serving or (store is not None and not store.ready):
            return
        for child in crashed:
            try:
                self._launch_store() if child is store else self._launch(child)
                child.seen.pop("start", None)
            except (OSError, StoreUnavailable) as error:
                child.seen["start"] = f"it cannot be started, and is tried again: {error}"
                self._restart_at_s = time.monotonic() + LAUNCH_RETRY_S
                return

    def _show(self, now_s: float) -> None:
        """Writes the state of everything into venue.json, and says what has changed for long enough."""
        states = states_of(self.children, self._watch_store, self._surroundings, self._state_file.fault, now_s)
        for line in self._announcements.lines(states, now_s):
            self.say(line, level_of(line))
        disk = self._surroundings.disk
        if self.folder.is_in_place():
            facts = facts_of(self.options, self.store_url, self.children, states, disk, self.store_binary)
            self._state_file.write(facts)

    # -- ending

    def _stop(self) -> None:
        """Stops the children one after the other: first the gateway, which takes orders in, last the store, which keeps them."""
        self._signals = 0
        for name in STOP_ORDER:
            child = self.children.get(name)
            if child is not None and child.is_running:
                self._stop_child(child)
        self._at_end.close()

    def _stop_child(self, child: Child) -> None:
        # Where the folder was replaced, its path is another venue's: a child must not write its last words there.
        child.signal(signal.SIGKILL if self.lost else signal.SIGTERM)
        deadline = time.monotonic() + STOP_WAIT_S
        is_killed = False
        while child.is_running:
            # A second Ctrl-C does not wait: what was acknowledged is on disk anyway.
            if not is_killed and (self._signals or time.monotonic() > deadline):
                is_killed = True
                why = (
                    f"{self._last_signal} came again" if self._signals else f"it has not stopped in {STOP_WAIT_S:.0f} s"
                )
                self.say(f"The {child.name} is killed: {why}.", logging.WARNING, echo=False)
                child.signal(signal.SIGKILL)
            for key, _ in self._selector.select(0.05):
                if isinstance(key.data, Child):
                    self._take_output(key)
            if child.poll() is not None:
                self._forget_pipes(child)
                child.reap()

    def _forget_pipes(self, child: Child) -> None:
        for pipe in child.pipes:
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)

    # -- signals

    def _listen_for_signals(self) -> None:
        """Lets signals wake `select`: SIGCHLD only wakes it, the others also ask for the end."""
        read_fd, write_fd = os.pipe()
        for fd in (read_fd, write_fd):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        self._selector.register(read_fd, selectors.EVENT_READ, None)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)
        signal.signal(signal.SIGHUP, self._note_hang_up)

    def _note_signal(self, number: int, _: object) -> None:
        self._signals += 1
        self._last_signal = signal.Signals(number).name

    def _note_hang_up(self, *_: object) -> None:
        """SIGHUP asks for the new certificate where there is one, unless it is the end of the terminal that says so."""
        has_lost_terminal = self._has_terminal and not sys.stderr.isatty()
        if self.options.access.is_tls and not has_lost_terminal:
            self._reload_is_due = True
        else:
            self._note_signal(signal.SIGHUP, None)
