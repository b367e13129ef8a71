"""Commands that have not left yet. Callers take turns, so that no caller's many hold up another's one (promise P13)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from gateway.journal.pending import PendingCommand
from gateway.limits import COMMANDS_IN_A_ROW


class Queued(Protocol):
    """A caller as the queue sees it."""

    queue: deque[PendingCommand]
    """Its commands, in the order in which it sent them."""


class CommandQueue:
    """All commands that wait, by caller. Each caller in line gives a few, and goes to the end of the line."""

    def __init__(self) -> None:
        self._callers: deque[Queued] = deque()
        """Those that have commands here."""
        self._left = COMMANDS_IN_A_ROW
        """How many more the first of them may give."""

    def __bool__(self) -> bool:
        return bool(self._callers)

    def add(self, command: PendingCommand) -> None:
        """Queues a command behind those of its caller."""
        caller: Queued = command.caller
        if not caller.queue:
            self._callers.append(caller)
        caller.queue.append(command)

    def put_back(self, commands: list[PendingCommand]) -> None:
        """Puts commands that were taken before all others of their callers, in the order in which they were taken."""
        for command in reversed(commands):
            caller: Queued = command.caller
            if not caller.queue:
                self._callers.appendleft(caller)
            caller.queue.appendleft(command)

    def take(self) -> PendingCommand:
        """Takes the next command. Cost: O(1)."""
        caller = self._callers[0]
        command = caller.queue.popleft()
        self._left -= 1
        if not caller.queue:
            self._callers.popleft()
            self._left = COMMANDS_IN_A_ROW
        elif self._left == 0:
            self._callers.rotate(-1)
            self._left = COMMANDS_IN_A_ROW
        return command

    def take_older(self, queued_s: float) -> Iterator[PendingCommand]:
        """Takes the commands that were queued until then. Cost: O(callers that have commands here)."""
        callers: Iterable[Queued] = tuple(self._callers)
        for caller in callers:
            while caller.queue and caller.queue[0].queued_s <= queued_s:
                yield caller.queue.popleft()
        self._callers = deque(caller for caller in callers if caller.queue)
        self._left = COMMANDS_IN_A_ROW
