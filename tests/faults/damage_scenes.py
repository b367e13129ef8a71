"""Damage that takes a running venue: a clock that jumps, a disk that fills up, a process that is stopped.

A scene starts the venue on the copy of its folder itself, and leaves it running for the look at what it serves. It ends by
`Found` as soon as the venue has said what is wrong, and by `Unnoticed` if it had to say something and did not.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from websockets.exceptions import WebSocketException

from engine.journal import Producer
from engine.records import BatchBuilder, Command, CommandKind
from tests.faults.damage_venue import Trader, asker
from tests.worlds.venue import VenueProcess

NOTICE_S_MAX = 4.0
"""So soon the state must say that a process does not work, the time of the command that asks included."""
RESUME_S_MAX = 10.0
"""So soon after its cause is gone a fault must be over."""
HOUR_S = 3600
DISK_MARGIN_BYTES = 32 << 20
ROOM_BYTES = 96 << 10
"""What is left on the small disk when clients begin to trade."""
ORDERS_MAX = 400


class Skipped(Exception):
    """This machine cannot show the scene; the text says what is missing."""


class Unnoticed(Exception):
    """The venue had to say something and did not."""


class Scene(NamedTuple):
    """A kind of damage to a running venue."""

    group: str
    name: str
    play: Callable[[VenueProcess, list[Trader], Path], str]
    """Gets the venue, not yet started; its clients; a folder for what the scene needs. Returns by which word the venue showed
    that it knows, or an empty text if it needs none. What it serves is looked at afterwards, on a venue that runs."""
    changed: tuple[str, ...] = ()
    """What the venue may show otherwise than in truth then: the ends of the names in its view."""


# -- stopped processes


def stop(name: str, venue: VenueProcess, clients: list[Trader], place: Path) -> str:
    """SIGSTOP for one process: it keeps its connections and does nothing. The state must say so, and all goes on after SIGCONT."""
    venue.start()
    pid = venue.pids()[name]
    os.kill(pid, signal.SIGSTOP)
    try:
        word = _word_of_status(venue)
    finally:
        os.kill(pid, signal.SIGCONT)
    _wait_until_good(venue)
    return f"jibek status: {word}"


def _word_of_status(venue: VenueProcess) -> str:
    """What `jibek status` says is wrong.

    Raises:
        Unnoticed: it goes on saying that all is well.
    """
    deadline = time.monotonic() + NOTICE_S_MAX
    while time.monotonic() < deadline:
        if word := status_word(venue):
            return word
    raise Unnoticed(f"`jibek status` said for {NOTICE_S_MAX:.0f} s that all is well")


def status_word(venue: VenueProcess) -> str:
    """What `jibek status` says is wrong at the moment; empty if nothing."""
    done = venue.jibek("status", "--json")
    if done.returncode == 0:
        return ""
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return done.stderr.strip() or f"exit code {done.returncode}"
    bad = [f"{each['name']}: {each['state']}" for each in found["processes"] if each["state"] != "ready"]
    return "; ".join(bad) or f"the store is {found['store']['state']}"


def _wait_until_good(venue: VenueProcess) -> None:
    deadline = time.monotonic() + RESUME_S_MAX
    while word := status_word(venue):
        if time.monotonic() > deadline:
            raise Unnoticed(
                f"the venue did not go on by itself within {RESUME_S_MAX:.0f} s after the cause was gone: {word}"
            )


# -- small disks


def fill_disk(venue: VenueProcess, clients: list[Trader], place: Path) -> str:
    """The disk of the data folder fills up while clients trade. Nothing that was acknowledged may be lost, and the venue goes
    on when there is room again, or stays down and says so."""
    _mount_small_disk(venue.data)
    venue.start()
    filler = _fill(venue.data)
    acknowledged, word = _trade_until_refused(venue, clients[0])
    filler.unlink()
    if not word:
        raise Unnoticed(f"{len(acknowledged)} orders were acknowledged on a disk that was full")
    _wait_until_good(venue)
    _look_for(acknowledged, venue, clients[0])
    _cancel_all(venue, clients[0])
    return word


def _mount_small_disk(data: Path) -> None:
    """Moves the folder onto a small file system of its own. `unmount` ends it.

    Raises:
        Skipped: none can be mounted here.
    """
    content = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    moved = data.with_name("moved")
    data.rename(moved)
    data.mkdir(mode=0o700)
    size = content + DISK_MARGIN_BYTES
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", data],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        data.rmdir()
        moved.rename(data)
        raise Skipped(f"a small file system cannot be mounted: {done.stderr.strip()}")
    subprocess.run(["cp", "-a", f"{moved}/.", data], check=True)


def _fill(data: Path) -> Path:
    """The file that fills the disk, but for a little room."""
    filler = data / "logs" / "filler"
    disk = os.statvfs(data)
    filler.write_bytes(bytes(max(0, disk.f_bavail * disk.f_bsize - ROOM_BYTES)))
    return filler


def unmount(data: Path) -> None:
    """Ends a small disk, if there is one. Call it when the venue has ended."""
    if os.path.ismount(data):
        subprocess.run(["umount", "-l", data], check=True)


def _trade_until_refused(venue: VenueProcess, client: Trader) -> tuple[list[int], str]:
    """The orders that were acknowledged, and what ended the trading; an empty text if nothing did."""
    acknowledged: list[int] = []
    try:
        with asker(venue.options.port, client.keys[0]) as trader:
            for _ in range(ORDERS_MAX):
                reply = trader.order("BTCKZT", "BUY", "0.001", "30000000")
                if reply["status"] != 200:
                    return acknowledged, f"gateway: {reply['error']['code']} {reply['error']['msg']}"
                acknowledged.append(reply["result"]["orderId"])
    except (OSError, TimeoutError, WebSocketException) as error:
        return acknowledged, f"gateway: no answer ({type(error).__name__})"
    return acknowledged, ""


def _look_for(orders: list[int], venue: VenueProcess, client: Trader) -> None:
    with asker(venue.options.port, client.keys[0]) as trader:
        for order in orders:
            reply = trader.ask("order.status", symbol="BTCKZT", orderId=order)
            if reply["status"] != 200:
                raise Unnoticed(f"order {order} was acknowledged and is lost: {reply['error']}")


def _cancel_all(venue: VenueProcess, client: Trader) -> None:
    """Cancels all that is open of the scene, also what was executed without an answer."""
    with asker(venue.options.port, client.keys[0]) as trader:
        for order in trader.ask("openOrders.status", symbol="BTCKZT")["result"]:
            if order["price"].startswith("30000000"):
                trader.ask("order.cancel", symbol="BTCKZT", orderId=order["orderId"])


# -- clocks

_SHIM = r"""
/* Adds the seconds in a file to the time of day of the process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long *offset_s;
static int (*real_clock)(clockid_t, struct timespec *);
static void begin(void) {
    if (!real_clock) real_clock = dlsym(RTLD_NEXT, "clock_gettime");
    if (offset_s) return;
    const char *path = getenv("JIBEK_CLOCK_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    static long none;
    void *mapped = fd < 0 ? MAP_FAILED : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
    offset_s = mapped == MAP_FAILED ? &none : mapped;
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    begin();
    int code = real_clock(clock, time);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) time->tv_sec += *offset_s;
    return code;
}
int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    int code = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return code;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


class Clock:
    """The time of day of a venue's processes, which may be set."""

    def __init__(self, place: Path) -> None:
        """
        Raises:
            Skipped: the library that sets it cannot be made here.
        """
        place.mkdir(exist_ok=True)
        source, self.library, self.file = place / "clock.c", place / "clock.so", place / "offset"
        source.write_text(_SHIM)
        self.set(0)
        compiler = os.environ.get("CC", "cc").split()
        command = [*compiler, "-shared", "-fPIC", "-O1", "-o", str(self.library), str(source), "-ldl"]
        try:
            subprocess.run(command, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Skipped(f"no library that sets the clock can be compiled: {error}") from None

    def set(self, offset_s: int) -> None:
        """From now on the processes see the real time plus so much. The file stays the same one: they have it mapped."""
        with self.file.open("r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("l", offset_s))

    @contextmanager
    def of_new_processes(self) -> Iterator[None]:
        """Processes that are started in the block have this clock, and so have their children."""
        os.environ |= {"LD_PRELOAD": str(self.library), "JIBEK_CLOCK_FILE": str(self.file)}
        try:
            yield
        finally:
            del os.environ["LD_PRELOAD"], os.environ["JIBEK_CLOCK_FILE"]


def jump_ahead(venue: VenueProcess, clients: list[Trader], place: Path) -> str:
    """The clock of the machine is an hour ahead while one command comes, and then goes back."""
    clock = Clock(place)
    with clock.of_new_processes():
        venue.start()
    clock.set(HOUR_S)
    client = venue.store()
    builder = BatchBuilder()
    builder.add(Command(kind=CommandKind.STATE_REPORT))
    Producer(client).execute(builder)
    client.close()
    venue.wait_until_settled()
    clock.set(0)
    return _word_on_time(venue, clients)


def jump_back(venue: VenueProcess, clients: list[Trader], place: Path) -> str:
    """The clock of the machine is an hour behind when the venue starts."""
    clock = Clock(place)
    clock.set(-HOUR_S)
    with clock.of_new_processes():
        venue.start()
    word = _word_on_time(venue, clients)
    clock.set(0)
    return word


def _word_on_time(venue: VenueProcess, clients: list[Trader]) -> str:
    """How the venue says that its time is wrong: its markets are halted, or its state says it.

    Raises:
        Unnoticed: it does not.
    """
    deadline = time.monotonic() + NOTICE_S_MAX
    while time.monotonic() < deadline:
        with asker(venue.options.port, clients[0].keys[0]) as client:
            markets = client.wire.ask("exchangeInfo")["result"]["symbols"]
        if all(market["status"] != "TRADING" for market in markets):
            return "engine: the markets are halted"
        if word := status_word(venue):
            return f"jibek status: {word}"
    raise Unnoticed(f"the markets traded for {NOTICE_S_MAX:.0f} s with a time that is an hour off")


HALTED, TRADED = ("exchange", "markets"), ("ledger, transfers",)


def _scenes() -> list[Scene]:
    stops = [
        Scene("stopped processes", f"the {name} is stopped", partial(stop, name))
        for name in ("store", "engine", "settlement", "gateway")
    ]
    return [
        *stops,
        Scene("a full disk", "the disk fills up", fill_disk, TRADED),
        Scene("clocks", "the clock is an hour ahead for one command", jump_ahead, HALTED),
        Scene("clocks", "the clock is an hour behind at the start", jump_back, HALTED),
    ]


SCENES = _scenes()
