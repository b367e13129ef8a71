"""A thread that asks the store all the time whether it answers and keeps what it is given, and how far journal, events and
ledger have come.

It waits for the store, so that the supervisor's own loop never does: a store that is stopped would take the watch over all
other processes with it.
"""

from __future__ import annotations

import threading
import time

import redis

from engine.journal import (
    REQUIRED_SETTINGS,
    Store,
    StoreRefused,
    check_answered_log,
    check_settings,
    check_takes_writes,
    connect,
    log_call,
    prepare_store,
)
from engine.journal.passing import reason_of
from jibek.console.text import counted
from jibek.venue.offsets import Offset, read_offsets
from ledger.store import LedgerStore

ASK_INTERVAL_S = 0.3
RETRY_INTERVAL_S_MIN, RETRY_INTERVAL_S_MAX = 0.02, 0.1
"""Pause before a store that does not answer is asked again, and the longest: the venue waits for it."""
ANSWER_TIMEOUT_S = 1.0
CHECK_INTERVAL_S = 1.0
"""How often it looks whether the store keeps what it is given."""
BEHIND_SHOWN_S = 1.5
"""After so long at the same entry, with more to do, a part of the venue does not follow any more."""


class Lag:
    """Since when one part of the venue has not moved on though there is more to do."""

    def __init__(self) -> None:
        self._offset: Offset | None = None
        self._since_s = 0.0

    def note(self, offset: Offset, now_s: float) -> None:
        """Takes the next reading."""
        before, self._offset = self._offset, offset
        if before is None or offset.id != before.id or not before.lag_entries:
            self._since_s = now_s

    def fault(self, now_s: float) -> str:
        """What is wrong; the empty text if it is up to date or comes on."""
        offset = self._offset
        if offset is None or not offset.lag_entries or now_s - self._since_s <= BEHIND_SHOWN_S:
            return ""
        behind = counted(offset.lag_entries, "entry")
        return f"it does not get beyond {offset.id}, {behind} behind, for {now_s - self._since_s:.0f} s"


class StoreWatch:
    """Asks the store at `url` from `start` to `stop`. Its attributes may be read from any thread.

    Args:
        memory_bytes: for an embedded store, its `maxmemory`: settings of it that were changed are put right. None for a store
            of the operator's own, who alone changes them.
    """

    def __init__(self, url: str, memory_bytes: int | None = None) -> None:
        self._url = url
        self._own_memory_bytes = memory_bytes
        self.checks = False
        """Whether to look at more than the answers; not before the venue is in the store."""
        self.fault = ""
        """Why the venue cannot use a store that answers; the empty text if it can."""
        self._was_unsafe = False
        self._checked_s = 0.0
        self._lines: list[str] = []
        self.is_serving = False
        """Whether it has answered the last question, and not with an error."""
        self.answered_s = time.monotonic()
        """When it last answered anything, by the monotonic clock; a store that loads its files answers, too."""
        self.memory_bytes = 0
        """What it uses, as it was when it last served."""
        self.lags = {"events": Lag(), "ledger": Lag()}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends it, without waiting for a store that does not answer."""
        self._stopping.set()

    def take_lines(self) -> list[str]:
        """What there is to say about what was put right, once."""
        lines, self._lines = self._lines, []
        return lines

    def _run(self) -> None:
        wait_s = RETRY_INTERVAL_S_MIN
        while not self._stopping.wait(wait_s):
            client = connect(self._url, timeout_s=ANSWER_TIMEOUT_S)
            try:
                while not self._stopping.is_set():
                    self._ask(client)
                    wait_s = RETRY_INTERVAL_S_MIN
                    self._stopping.wait(ASK_INTERVAL_S)
            except (redis.ResponseError, redis.BusyLoadingError):
                self.answered_s = time.monotonic()
                self.is_serving = False
            except Exception:
                # It is away, or silent, or answers what no one can use. This thread must go on, whatever it is.
                self.is_serving = False
            finally:
                client.close()
            self._checked_s = 0.0  # A store that comes back may be another one.
            wait_s = min(2 * wait_s, RETRY_INTERVAL_S_MAX)

    def _ask(self, client: Store) -> None:
        client.ping()
        self.answered_s = time.monotonic()
        self.is_serving = True
        if self.checks and self.answered_s - self._checked_s >= CHECK_INTERVAL_S:
            self._checked_s = self.answered_s
            self._check(client)
        self.memory_bytes = int(client.info("memory")["used_memory"])
        _, events, ledger = read_offsets(client)
        now_s = time.monotonic()
        self.lags["events"].note(events, now_s)
        # The ledger follows the events: what the engine owes is not its fault.
        self.lags["ledger"].note(ledger._replace(lag_entries=max(0, ledger.lag_entries - events.lag_entries)), now_s)

    def _check(self, client: Store) -> None:
        """Looks at the settings, puts functions back that are missing, and tries whether a write would be taken."""
        try:
            self._check_settings(client)
            prepare_store(client)
            LedgerStore(client).prepare()
            check_takes_writes(client)
            self.fault = ""
        except StoreRefused as error:
            self.fault = str(error)
        except redis.ResponseError as error:
            self.fault = f"it takes none: {reason_of(error)}"

    def _check_settings(self, client: Store) -> None:
        """
        Raises:
            StoreRefused: a setting is unsafe, or was until now and the log is not written yet.
        """
        try:
            check_settings(client)
            if self._was_unsafe:
                check_answered_log(client.execute_command(*log_call()))
        except StoreRefused as unsafe:
            if self._own_memory_bytes is not None:
                self._put_right(client, unsafe)
            self._was_unsafe = True
            raise
        self._was_unsafe = False

    def _put_right(self, client: Store, unsafe: StoreRefused) -> None:
        """The settings of an embedded store are the venue's own. They are put right at the second look: by then the gateway, which
        looks as often, has seen it too, and waits until the log is written."""
        if not self._was_unsafe:
            self._lines.append(f"A setting was changed: {unsafe}. It is put right.")
            return
        if not int(client.config_get("maxmemory")["maxmemory"]):
            client.config_set("maxmemory", str(self._own_memory_bytes))
        # Last comes `appendonly`, which lets the store write all that it has.
        for name, value in sorted(REQUIRED_SETTINGS.items(), key=lambda setting: setting[0] == "appendonly"):
            client.config_set(name, value)
