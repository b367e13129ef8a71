"""`jibek up`: starts the processes of a venue, watches them, restarts those that crash, and stops them.

    store → engine → (the venue's definition, once) → settlement and gateway        `services` has the order of the stop

One thread waits for the next of three things: output of a child, the end of a child, a signal. A child that ends without
being asked is restarted; after three crashes within a minute (`--crashes-max`) it stays down, and the rest of the venue
goes on without it. That loses nothing, since each of them only follows the store.

However this process dies, its children end with it (`pdeathsig`), and the data folder stays locked until they have.
"""

from __future__ import annotations

import importlib.util
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import redis

from engine.journal import StoreRefused, StoreTimeout, connect, prepare_store, start_venue
from engine.process import EXIT_GOOD, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, STORE_VARIABLE
from engine.venue_file import VenueDefinition, load_venue
from gateway.access import Access, AccessRefused, exposure_warning
from gateway.auth.secrets import SecretError, create_secret_key
from gateway.wire.tls import Certificate, TlsRefused, utc_now
from jibek.console.failure import MORE_MEMORY
from jibek.venue import store_server
from jibek.venue.children import Child, InheritedFds, exit_text
from jibek.venue.definition import DefinitionRefused, define_venue, differences
from jibek.venue.directory import read_directory
from jibek.venue.folder import DataFolder
from jibek.venue.launch import VenueOptions
from jibek.venue.services import GATEWAY, SERVICES, STOP_ORDER, STORE, Service
from jibek.venue.store_binary import StoreBinary, find_binary

STOP_WAIT_S = 10.0
"""How long a child may take to stop before it is killed."""
RESTART_DELAY_S = 0.1
STORE_RETRY_S = 0.02
LONG_START_S = 5.0
"""After so long the supervisor says what it waits for: a long journal takes long to replay."""


class StartFailed(Exception):
    """The venue cannot be started; the text says why in one sentence."""

    def __init__(self, text: str, exit_code: int = EXIT_REFUSED) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class StopRequested(Exception):
    """A signal asked for the end while the supervisor waited for something."""


class Supervisor:
    """The parent of a venue's processes. `run` does everything.

    Args:
        options: what to start.
        say: receives each line for the operator.
    """

    def __init__(self, options: VenueOptions, say: Callable[[str], None]) -> None:
        self.options = options
        self.say = say
        self.warnings: list[str] = []
        """What an operator should know although the venue starts."""
        self.folder = DataFolder(options.data)
        self.store_url = options.store or ""
        self.store_binary: StoreBinary | None = None
        self.children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._socket: Path | None = None
        self._signals = 0
        self._reload_is_due = False
        self._has_terminal = sys.stderr.isatty()
        self._serving = False
        self._restart_at_s = 0.0

    def run(self, when_ready: Callable[[], None] = lambda: None) -> int:
        """Starts the venue and watches it until SIGTERM, SIGINT or SIGHUP; returns the exit code of `jibek up`. With TLS,
        SIGHUP lets the gateway read its certificate again, and ends the venue only with its terminal.

        Raises:
            StartFailed, FolderLocked, VenueError, StoreUnavailable: it could not be started; nothing is left running.
        """
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
        self.folder.forget_venue()
        self._listen_for_signals()
        try:
            check_port(self.options.host, self.options.port)
            self._start(definition)
            self._serving = True
            self._write_venue()
            when_ready()
            self._watch()
        except StopRequested:
            pass
        finally:
            self._stop()
            self.folder.forget_venue()
        return EXIT_REFUSED if any(child.down for child in self.children.values()) else EXIT_GOOD

    # -- starting

    def _warn(self, *texts: str) -> None:
        for text in filter(None, texts):
            self.warnings.append(f"Warning: {text}")
            self.say(self.warnings[-1])

    def _start(self, definition: VenueDefinition) -> None:
        try:
            create_secret_key(self.folder.path)
        except SecretError as error:
            raise StartFailed(f"{error}.") from None
        self._start_store()
        client = connect(self.store_url)
        try:
            prepare_store(client)
            start_venue(client)
            self._start_services(*(service for service in SERVICES if not service.needs_definition))
            define_venue(client, self.folder.path, definition)
            if self.options.venue is not None:
                self._warn(*differences(definition, read_directory(client, self.folder.path).listing))
            self._start_services(*(service for service in SERVICES if service.needs_definition))
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StartFailed(f"The store went away: {error}", EXIT_UNREACHABLE) from None
        except (StoreRefused, StoreTimeout, DefinitionRefused) as error:
            raise StartFailed(f"{error}.") from None
        except redis.OutOfMemoryError:
            raise StartFailed(f"The store is full. {MORE_MEMORY}") from None
        except redis.ResponseError as error:
            raise StartFailed(f"The store cannot hold a venue: {error}.") from None
        finally:
            client.close()

    def _start_store(self) -> None:
        if self.store_binary is None:
            check_store_answers(self.store_url)
            return
        self._socket = store_server.runtime_folder(self.folder.path) / store_server.SOCKET_NAME
        self.store_url = store_server.socket_url(self._socket)
        memory_bytes = self.options.store_memory_bytes
        command = store_server.command_line(self.folder.store, self._socket, memory_bytes, binary=self.store_binary)
        store = self._add(STORE, command)
        self._launch(store)
        self._wait_until("the store", self._store_is_ready, STORE_RETRY_S)

    def _store_is_ready(self) -> bool:
        """Whether the embedded store serves. It shows that by answering, not by a line on its standard output."""
        store = self.children[STORE]
        if store.is_running and store.ready is None and store_server.is_serving(self.store_url):
            store.ready = {"ready": True}
        return store.ready is not None

    def _start_services(self, *services: Service) -> None:
        children = [self._add(service.name, service.command_line(self.options)) for service in services]
        for child in children:
            self._launch(child)
        self._wait_until(
            " and ".join(child.name for child in children), lambda: all(child.ready for child in children), 1.0
        )

    def _add(self, name: str, command: Sequence[str]) -> Child:
        self.children[name] = Child(name, command, self.folder.logs / f"{name}.log", self.options.crashes_max)
        return self.children[name]

    def _launch(self, child: Child) -> None:
        child.start(self._fds, {STORE_VARIABLE: self.store_url})
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
        while True:
            is_settled = all(child.down or child.ready for child in self.children.values())
            self._pump(1.0 if is_settled else RESTART_DELAY_S)
            self._restart_crashed()
            is_ready = self._ready_names()
            for name in is_ready - was_ready:
                self.say(f"The {name} is back (process {self.children[name].pid}).")
            if is_ready != was_ready:
                self._write_venue()
            was_ready = is_ready

    def _ready_names(self) -> set[str]:
        if STORE in self.children:
            self._store_is_ready()
        return {name for name, child in self.children.items() if child.ready}

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

    def _take_output(self, key: selectors.SelectorKey) -> None:
        child, pipe = key.data, key.fileobj
        assert isinstance(child, Child) and not isinstance(pipe, int)
        if not child.take_output(pipe):
            self._selector.unregister(pipe)

    def _child_ended(self, child: Child, code: int) -> None:
        text = f"the {child.name} {exit_text(code)}"
        if not self._serving:
            raise StartFailed(f"The venue did not start: {text}. Its log says:\n{child.log.last_lines()}")
        if code == EXIT_UNREACHABLE and self._lost_its_store(child):
            return  # That is no crash; `_restart_crashed` restarts it once the store is back.
        if child.note_crash(time.monotonic(), text):
            self.say(f"T{text[1:]}: it is restarted.")
        else:
            self.say(f"T{child.down[1:]}. Its log, {child.log.path}, ends:\n{child.log.last_lines()}")
        self._restart_at_s = time.monotonic() + RESTART_DELAY_S
        self._write_venue()

    def _lost_its_store(self, child: Child) -> bool:
        """Whether the store is away, or was away at some time since the child was started."""
        store = self.children.get(STORE)
        is_newer = store is not None and store.started_s > child.started_s
        return is_newer or not store_server.is_serving(self.store_url)

    def _restart_crashed(self) -> None:
        """Restarts the children that have ended: the store first, the others once it serves."""
        crashed = [child for child in self.children.values() if not child.is_running and not child.down]
        if not crashed or time.monotonic() < self._restart_at_s:
            return
        store = self.children.get(STORE)
        if store in crashed:
            crashed = [store]
            store_server.runtime_folder(self.folder.path)
        elif not store_server.is_serving(self.store_url):
            self._end_store_without_socket()
            return
        for child in crashed:
            self._launch(child)
        self._write_venue()

    def _end_store_without_socket(self) -> None:
        """Kills a store whose socket was removed, as a program that cleans temporary folders may do. Open connections
        would go on, but no new one could be made. The store is then restarted, with a new socket."""
        store = self.children.get(STORE)
        if store is not None and store.ready and self._socket is not None and not self._socket.exists():
            self.say("The socket of the store was removed.")
            store.signal(signal.SIGKILL)

    def _write_venue(self) -> None:
        access = self.options.access
        self.folder.write_venue(
            {
                "pid": os.getpid(),
                "store": self.store_url,
                "host": self.options.host,
                "port": self.options.port,
                "certificate": None if access.tls_cert is None else str(access.tls_cert.absolute()),
                "engine": self.options.engine,
                "store_binary": None if self.store_binary is None else self.store_binary.facts(),
                "services": {name: child.pid for name, child in self.children.items() if child.is_running},
                "states": {name: self._state(child) for name, child in self.children.items()},
                "restarts": {name: child.restarts for name, child in self.children.items()},
            }
        )

    def _state(self, child: Child) -> str:
        if child.down:
            return f"down: {child.down}; see {child.log.path}"
        return "ready" if child.ready else "starting"

    # -- ending

    def _stop(self) -> None:
        """Stops the children one after the other: first the gateway, which takes orders in, last the store, which keeps them."""
        self._signals = 0
        for name in STOP_ORDER:
            child = self.children.get(name)
            if child is not None and child.is_running:
                self._stop_child(child)
        if self._socket is not None:
            store_server.forget_runtime_folder(self._socket)

    def _stop_child(self, child: Child) -> None:
        child.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WAIT_S
        while child.is_running:
            # A second Ctrl-C does not wait: what was acknowledged is on disk anyway.
            if self._signals or time.monotonic() > deadline:
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

    def _note_signal(self, *_: object) -> None:
        self._signals += 1

    def _note_hang_up(self, *_: object) -> None:
        """SIGHUP asks for the new certificate where there is one, unless it is the end of the terminal that says so."""
        has_lost_terminal = self._has_terminal and not sys.stderr.isatty()
        if self.options.access.is_tls and not has_lost_terminal:
            self._reload_is_due = True
        else:
            self._signals += 1


def check_store_answers(url: str) -> None:
    """
    Raises:
        StartFailed: it is no URL, or no store answers there. The text leaves out a password.
    """
    place = url.rpartition("@")[2]
    try:
        if store_server.is_serving(url):
            return
    except ValueError:
        raise StartFailed(
            f"{place} is no URL of a store: it is redis://host:port/0 or unix:///path.", EXIT_USAGE
        ) from None
    raise StartFailed(f"No store answers at {place}.", EXIT_UNREACHABLE)


def check_port(host: str, port: int) -> None:
    """
    Raises:
        StartFailed: the port cannot be listened on.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        raise StartFailed(
            f"Port {port} on {host} cannot be used ({error.strerror}): choose another with --port."
        ) from None


def check_access(access: Access) -> Certificate | None:
    """Returns the certificate; None without TLS.

    Raises:
        StartFailed: the options do not go together, or the certificate cannot be used.
    """
    try:
        access.check()
        return access.certificate()
    except AccessRefused as error:
        raise StartFailed(f"{error}.", EXIT_USAGE) from None
    except TlsRefused as error:
        raise StartFailed(f"{error}.") from None


def check_engine_is_built(name: str) -> None:
    """
    Raises:
        StartFailed: it is the compiled engine, and that is not built.
    """
    if name == "compiled" and importlib.util.find_spec("engine.core.core") is None:
        raise StartFailed("The compiled engine is not built: run `make build`, or start with --engine reference.")
