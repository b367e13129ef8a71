"""A thread that asks the store all the time whether it answers, and how far journal, events and ledger have come.

It waits for the store, so that the supervisor's own loop never does: a store that is stopped would take the watch over all
other processes with it.
"""

from __future__ import annotations

import threading
import time

import redis

from engine.journal import Store, connect
from jibek.console.text import counted
from jibek.venue.offsets import Offset, read_offsets

ASK_INTERVAL_S = 0.3
RETRY_INTERVAL_S_MIN, RETRY_INTERVAL_S_MAX = 0.02, 0.1
"""Pause before a store that does not answer is asked again, and the longest: the venue waits for it."""
ANSWER_TIMEOUT_S = 1.0
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
    """Asks the store at `url` from `start` to `stop`. Its attributes may be read from any thread."""

    def __init__(self, url: str) -> None:
        self._url = url
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
            wait_s = min(2 * wait_s, RETRY_INTERVAL_S_MAX)

    def _ask(self, client: Store) -> None:
        client.ping()
        self.answered_s = time.monotonic()
        self.is_serving = True
        self.memory_bytes = int(client.info("memory")["used_memory"])
        _, events, ledger = read_offsets(client)
        now_s = time.monotonic()
        self.lags["events"].note(events, now_s)
        # The ledger follows the events: what the engine owes is not its fault.
        self.lags["ledger"].note(ledger._replace(lag_entries=max(0, ledger.lag_entries - events.lag_entries)), now_s)
