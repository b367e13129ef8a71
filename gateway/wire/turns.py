"""Who is served next, so that no client takes another's turn (promise P13).

A client is served at once while no other waits. One that has more to be done than fits into a slice of time waits in line, and
its socket is not read meanwhile. Clients that were quiet until now wait in a line of their own that goes first: so with
any number of floods a quiet client waits for the slice in hand, and not for the floods. This is deficit round robin with new
flows first, as in RFC 8290 (FQ-CoDel), with the time that work takes as its size. An address has one client at a time in the
line of the quiet ones, so a hundred connections that it opens at once do not fill it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.limits import NEWCOMERS_IN_A_ROW, SLICE_S, TURN_S


class Worker(Protocol):
    """A client that has something to be done."""

    is_in_line: bool
    """Whether it waits for its turn; set by Turns alone."""
    ip: str
    """Its address."""

    def take_turn(self) -> bool:
        """Does what there is to do until `Turns.is_slice_over`; whether there is more that could be done now."""


class Turns:
    """Serves the clients of one loop.

    Args:
        clock: seconds that never go back.
        call_soon: calls a function in the loop's next turn.
    """

    def __init__(self, clock: Callable[[], float], call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._clock = clock
        self._call_soon = call_soon
        self._newcomers: deque[tuple[Worker, str]] = deque()
        """Clients that were quiet, each with its address when it came."""
        self._of_address: set[str] = set()
        """These addresses."""
        self._others: deque[Worker] = deque()
        """Those that have used up a slice and have more to do."""
        self._in_a_row = 0
        self._slice_ends_s = 0.0
        self._is_waiting = False
        """Whether the loop will call."""

    def arrived(self, worker: Worker) -> None:
        """A client has something to be done; does it now if no other waits. One that is in line already stays where it is."""
        if worker.is_in_line:
            return
        if self._newcomers or self._others:
            worker.is_in_line = True
            self._line_up(worker)
        elif self._serve(worker):
            worker.is_in_line = True
            self._others.append(worker)
            self._wait()

    def _line_up(self, worker: Worker) -> None:
        """Lets a client that was quiet wait, before the others if none of its address does already."""
        if worker.ip in self._of_address:
            self._others.append(worker)
        else:
            self._of_address.add(worker.ip)
            self._newcomers.append((worker, worker.ip))

    def goes_on(self, worker: Worker) -> None:
        """A client has something to be done that waits for its turn in any case, behind those that were quiet."""
        if not worker.is_in_line:
            worker.is_in_line = True
            self._others.append(worker)
            self._wait()

    def is_slice_over(self) -> bool:
        """Whether the client that is being served has had its time. Cost: reading a clock."""
        return self._clock() >= self._slice_ends_s

    def _serve(self, worker: Worker) -> bool:
        self._slice_ends_s = self._clock() + SLICE_S
        return worker.take_turn()

    def _wait(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self._call_soon(self._serve_all)

    def _serve_all(self) -> None:
        """Serves those in line for one turn of the loop."""
        self._is_waiting = False
        turn_ends_s = self._clock() + TURN_S
        while self._newcomers or self._others:
            worker = self._next()
            worker.is_in_line = False
            if self._serve(worker):
                worker.is_in_line = True
                self._others.append(worker)
            if self._clock() >= turn_ends_s:
                break
        if self._newcomers or self._others:
            self._wait()

    def _next(self) -> Worker:
        if self._newcomers and (self._in_a_row < NEWCOMERS_IN_A_ROW or not self._others):
            self._in_a_row += 1
            worker, address = self._newcomers.popleft()
            self._of_address.remove(address)
            return worker
        self._in_a_row = 0
        return self._others.popleft()
