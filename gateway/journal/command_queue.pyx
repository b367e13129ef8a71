"""Commands that have not left yet, in C. Callers take turns, so that no caller's many hold up another's one (promise P13).

Each caller has a `queue`: a deque of its commands, in the order in which it sent them.
"""

from gateway.journal.pending cimport PendingCommand

from collections import deque

from gateway import limits

cdef int COMMANDS_IN_A_ROW = limits.COMMANDS_IN_A_ROW


cdef class CommandQueue:
    """All commands that wait, by caller. Each caller in line gives a few, and goes to the end of the line."""

    # The callers that have commands here.
    cdef object _callers
    # How many more the first of them may give.
    cdef int _left

    def __init__(self):
        self._callers = deque()
        self._left = COMMANDS_IN_A_ROW

    def __bool__(self):
        return bool(self._callers)

    cpdef add(self, PendingCommand command):
        """Queues a command behind those of its caller."""
        cdef object queue = command.caller.queue
        if not queue:
            self._callers.append(command.caller)
        queue.append(command)

    def put_back(self, list commands not None):
        """Puts commands that were taken before all others of their callers, in the order in which they were taken."""
        cdef PendingCommand command
        for command in reversed(commands):
            queue = command.caller.queue
            if not queue:
                self._callers.appendleft(command.caller)
            queue.appendleft(command)

    cpdef PendingCommand take(self):
        """Takes the next command. Cost: O(1)."""
        cdef object queue = self._callers[0].queue
        cdef PendingCommand command = <PendingCommand?>queue.popleft()
        self._left -= 1
        if not queue:
            self._callers.popleft()
            self._left = COMMANDS_IN_A_ROW
        elif self._left == 0:
            self._callers.rotate(-1)
            self._left = COMMANDS_IN_A_ROW
        return command

    def take_older(self, double queued_s):
        """Takes the commands that were queued until then; a list. Cost: O(callers that have commands here)."""
        taken = []
        for caller in self._callers:
            while caller.queue and (<PendingCommand>caller.queue[0]).queued_s <= queued_s:
                taken.append(caller.queue.popleft())
        self._callers = deque(caller for caller in self._callers if caller.queue)
        self._left = COMMANDS_IN_A_ROW
        return taken
