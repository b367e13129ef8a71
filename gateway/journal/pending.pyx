"""A command on its way through the journal, and who waits for its answer. In C, because each order makes one."""

cimport cython
from libc.stdint cimport int64_t


# Nothing that a PendingCommand points to points back, so the collector need not look at it.
@cython.no_gc
cdef class PendingCommand:
    """A command and who waits for its answer.

    Args:
        caller: the connection that asked (`gateway.auth.sessions.Caller`).
        account: that of the caller's key.
        id_text: the request's id as JSON text.
        command: 128 bytes.
        response: what the answer is to be: ACK, RESULT or FULL of an order, CANCEL, CANCEL_ALL.
        expires_ms: the command is refused if it cannot leave by then; 0: no such limit.
        reduces: whether the command makes the venue hold less, so that a full store takes it.
        blob: what goes into the blob area of the batch.
        mark: what the signature leaves behind by which the request was accepted (`engine.journal.Mark`); None on a session.
    """

    def __init__(
        self, caller, account, str id_text, bytes command, str response, bint shows_rate_limits, *,
        int64_t expires_ms=0, bint reduces=False, bytes blob=b"", mark=None,
    ):
        self.caller = caller
        self.account = account
        self.id_text = id_text
        self.command = command
        self.response = response
        self.shows_rate_limits = shows_rate_limits
        self.expires_ms = expires_ms
        self.reduces = reduces
        self.blob = blob
        self.mark = mark
