"""What every process of the venue does in the same way: log lines, readiness, and an orderly end.

A supervisor starts each service with the read end of a pipe (its number in `JIBEK_PARENT_FD`) of which it holds the
other end. When the supervisor dies, however it dies, the pipe closes and the service ends.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from engine.journal.store_url import (
    STORE_FILE_VARIABLE,
    STORE_VARIABLE,
    BadStoreUrl,
    check_is_for_all_eyes,
    read_store_file,
    store_from_environment,
)
from engine.process.private_files import PRIVATE_UMASK

PARENT_FD_VARIABLE = "JIBEK_PARENT_FD"
EXIT_GOOD = 0
EXIT_REFUSED = 1
"""A check failed, or what was asked for was refused."""
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
"""The venue or the store cannot be reached."""
EXIT_MISSED = 4
"""A measurement missed a goal."""


STOP_GRACE_S = 1.0
"""How long a process that is asked to stop may go on with what it is at."""


class StopOverdue(BaseException):
    """The process was asked to stop and has not done so in `STOP_GRACE_S`: it waits for a store that is silent, or has a
    long way to replay. What it was at is cut off, as a kill would; all that matters is in the store."""


class StopRequest:
    """Becomes set once the process is asked to end: by SIGTERM, by SIGINT."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self, *_: object) -> None:
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """Waits until the stop is requested, at most `timeout_s`; returns whether it is."""
        return self._event.wait(timeout_s)


def set_up(name: str) -> logging.Logger:
    """Configures log lines to standard error, begins to watch the parent, and returns the process's logger. From here on,
    what the process makes is for its user alone."""
    os.umask(PRIVATE_UMASK)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=f"%(asctime)s.%(msecs)03dZ {name}[%(process)d] %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )  # fmt: skip
    logging.Formatter.converter = time.gmtime
    parent = os.environ.get(PARENT_FD_VARIABLE)
    if parent is not None:
        threading.Thread(target=_end_with_parent, args=(int(parent),), daemon=True).start()
    return logging.getLogger(name)


def add_store_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--store` and `--store-file`, which every service takes; both give `store`. Without them it is what the environment
    holds, which only this user can read."""
    try:
        url = store_from_environment()
    except BadStoreUrl as error:
        parser.error(f"{STORE_FILE_VARIABLE}: {error}.")
    ways = parser.add_mutually_exclusive_group(required=url is None)
    help_text = (
        "URL of the store, without a password: unix:///path or redis://host:port/0 "
        f"(default: what {STORE_VARIABLE} or the file named by {STORE_FILE_VARIABLE} holds, there with a password)"
    )
    ways.add_argument("--store", action=_StoreUrl, default=url, metavar="URL", help=help_text)
    ways.add_argument(
        "--store-file", action=_StoreFile, dest="store", default=url, metavar="PATH",
        help="file of mode 0600 that holds the URL",
    )  # fmt: skip


class _StoreUrl(argparse.Action):
    """Takes a URL from the command line, and only from there: one with a password is wrong usage."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        try:
            check_is_for_all_eyes(values)
        except BadStoreUrl as error:
            parser.error(f"{error}.")
        namespace.store = values


class _StoreFile(argparse.Action):
    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        try:
            namespace.store = read_store_file(Path(values))
        except BadStoreUrl as error:
            parser.error(f"{error}.")


def stop_on_signals() -> StopRequest:
    """A StopRequest that SIGTERM and SIGINT set. For the main thread, which gets `StopOverdue` if it has not called
    `stop_is_obeyed` within `STOP_GRACE_S` from then.

    A read that waits for the store's answer goes on after a signal, for up to 15 s; only an exception ends it.
    """
    stop = StopRequest()

    def requested(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, STOP_GRACE_S)
        stop.set()

    signal.signal(signal.SIGALRM, _raise_overdue)
    signal.signal(signal.SIGTERM, requested)
    signal.signal(signal.SIGINT, requested)
    return stop


def stop_is_obeyed() -> None:
    """From here on a stop request is no longer overdue: the process is about to end, or has handlers of its own."""
    signal.setitimer(signal.ITIMER_REAL, 0.0)


def _raise_overdue(*_: object) -> None:
    raise StopOverdue


def report_ready(**facts: object) -> None:
    """Reports to the supervisor that this process is ready: one line of JSON on standard output, which ends up in its log."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps({"time": moment, "ready": True, **facts}), flush=True)


def _end_with_parent(fd: int) -> None:
    """Ends this process when the other end of the pipe is gone. Everything that matters is in the store already."""
    while os.read(fd, 1):
        pass
    os._exit(EXIT_GOOD)
