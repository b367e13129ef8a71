"""How many refusals of the engine an account may cost in ten seconds.

A refusal stays in the journal for ever, and its sender pays nothing for it. So what the engine may refuse takes a place in
the budget of its account before it leaves, and gives it back when the engine has executed it. What an account has used up
comes back evenly over ten seconds.
"""

from __future__ import annotations

from engine.records import EventKind, OrderEvent
from gateway.auth.rate_limits import TEN_SECONDS_MS, RateLimits
from gateway.clock import Clock
from gateway.journal.pending import PendingCommand
from gateway.limits import FILL_OR_KILL_REFUSALS
from gateway.view.accounts import Account, OnTheWay
from gateway.view.order_events import CommandEvents

_REJECTED, _ORDER_CLOSED = int(EventKind.REJECTED), int(EventKind.ORDER_CLOSED)


class RefusalBudgets:
    """The budgets of all accounts. What is spent is in `Account.on_the_way`."""

    def __init__(self, rate_limits: RateLimits, clock: Clock) -> None:
        self._rate_limits = rate_limits
        self._clock = clock

    def take(self, command: PendingCommand, *, is_all_or_none: bool) -> bool:
        """Takes what a command may cost out of its account's budget; False, and nothing is taken, where that is not left.

        Args:
            is_all_or_none: it may make the engine walk past many orders for nothing, so it may cost more.
        """
        account: Account = command.account
        way, largest = self._refilled(account)
        needed = min(FILL_OR_KILL_REFUSALS, max(1, largest)) if is_all_or_none else 1
        if way.refusals_spent + needed > largest:
            return False
        way.refusals_spent += needed
        command.refusals = needed
        return True

    def has_any(self, account: Account) -> bool:
        """Whether an account has refusals left."""
        way, largest = self._refilled(account)
        return way.refusals_spent < largest

    def charge(self, command: PendingCommand, events: CommandEvents) -> None:
        """Notes what a command has cost; `PendingCommand.end` then gives back the rest of what it took.

        An order that took a place in the budget keeps it if it ends without a fill: in an empty book a MARKET order is
        accepted from an account that has nothing, and a fill-or-kill order makes the engine walk for nothing.
        The cancel of an open order costs nothing where another account's order was faster and has filled it.
        """
        self._refilled(command.account)
        if events.first_kind == _REJECTED:
            command.refusals_due = 0 if command.passes_full_store and not command.refusals else 1
            return
        if not command.reduces:
            last = events[len(events) - 1]
            if isinstance(last, OrderEvent) and last.kind == _ORDER_CLOSED and last.cumulative_lots == 0:
                command.refusals_due = command.refusals

    def _refilled(self, account: Account) -> tuple[OnTheWay, int]:
        """What an account has on its way, with what came back by now, and the size of its budget.

        It owes no more than its budget, however many of its orders others have made fail: so it is never locked out for long.
        """
        way, largest = account.on_the_way, self._rate_limits.limits_of(account).refusals_per_10_s
        way.refusals_largest = largest
        now_ms = int(self._clock.now_s() * 1000)
        back = (now_ms - way.refilled_ms) * largest // TEN_SECONDS_MS
        if back >= min(way.refusals_spent, largest):
            way.refusals_spent, way.refilled_ms = 0, now_ms
        elif back > 0:
            way.refusals_spent = min(way.refusals_spent, largest) - back
            way.refilled_ms += back * TEN_SECONDS_MS // largest
        return way, largest
