"""A command on its way through the journal, and who waits for its answer. In C, because each order makes one."""

cimport cython
from libc.stdint cimport int64_t

from engine.records cimport AMOUNT_MAX
from gateway.view.accounts cimport Account, OnTheWay


# What a PendingCommand points to points back only until `end`, so the collector need not look at it.
@cython.no_gc
cdef class PendingCommand:
    """A command and who waits for its answer.

    `passes_full_store` is set by the judge: it is the cancel of orders that are known to be open, so a full store takes it.
    `is_rated` says that it is counted as a new order, `is_told_unknown` that its caller
    was answered that the outcome is unknown.
    `refusals` is what it has taken of its account's budget, `refusals_due` what its outcome costs.

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

    cdef void forget_weights(self):
        """It is about to be weighed, once more if it waited."""
        self.is_unbounded = self.is_of_all = self.may_rest = False
        self.hold = 0
        self.balance = None
        self.client_key = None
        self.cancelled = None
        self.cancelled_too = None

    cdef int count_in(self, bint is_sure) except -1:
        """It is about to be on its way: until `end`, nothing else of its account counts on what it may change."""
        cdef OnTheWay way = (<Account>self.account).on_the_way
        self.is_counted_in = True
        self.passes_full_store = is_sure and self.reduces and self.cancelled_too is None
        self.will_rest = is_sure and self.may_rest
        way.commands += 1
        if self.reduces:
            way.cancels += 1
            way.cancels_of_all += self.is_of_all
            if self.cancelled is not None:
                self.cancelled.cancels += 1
            if self.cancelled_too is not None:
                self.cancelled_too.cancels += 1
            return 0
        if self.balance is not None:
            if self.hold > AMOUNT_MAX - self.balance.sought:
                self.is_unbounded = True
                self.hold = 0
            self.balance.sought += self.hold
            self.balance.unbounded += self.is_unbounded
        way.orders += 1
        if self.client_key is not None:
            if way.named is None:
                way.named = {}
            if self.client_key in way.named:
                self.client_key = None
            else:
                way.named[self.client_key] = self
        return 0

    cpdef bint end(self) except -1:
        """Its outcome is known, or it will never leave: takes back what `count_in` did, and settles what it has taken of its
        account's budget of refusals with what is due. Does nothing for a command that is not counted in, and says so."""
        if not self.is_counted_in:
            return False
        cdef Account account = <Account>self.account
        cdef OnTheWay way = account.on_the_way
        self.is_counted_in = False
        way.commands -= 1
        if self.reduces:
            way.cancels -= 1
            way.cancels_of_all -= self.is_of_all
            if self.cancelled is not None:
                self.cancelled.cancels -= 1
            if self.cancelled_too is not None:
                self.cancelled_too.cancels -= 1
                self.cancelled_too = None
        else:
            way.orders -= 1
            if self.balance is not None:
                self.balance.sought -= self.hold
                self.balance.unbounded -= self.is_unbounded
            if self.client_key is not None:
                del way.named[self.client_key]
        if way.freed is not None and (way.commands == 0 or self.refusals > self.refusals_due):
            way.freed.append(account)
        if self.refusals or self.refusals_due:
            way.refusals_spent = max(0, way.refusals_spent + self.refusals_due - self.refusals)
            self.refusals = self.refusals_due = 0
        return True
