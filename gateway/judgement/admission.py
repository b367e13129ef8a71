"""Whether a command may leave now: what the engine will surely execute passes, and the rest does not fill the journal.

    what the judge says            on its way        what happens
    the engine executes it         …cannot change it passes
    the engine refuses it          nothing           refused here, once the events are read of all that is before it
    anything else                                    passes while the account has refusals left, else waits

What waits goes on when nothing of its account is on its way any more, or when its budget has come back. An account on whose
budget nothing is left still sends what is surely executed, one at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto

from engine.order_types import OrderFlag
from engine.reasons import Reason
from gateway.auth.sessions import Caller
from gateway.journal.pending import PendingCommand
from gateway.judgement.budgets import RefusalBudgets
from gateway.judgement.judge import Judge
from gateway.view.accounts import Account


class Wait(Enum):
    """What a command waits for."""

    EVENTS = auto()
    """The events are read of everything that was in the journal when it came, by whichever gateway."""
    ACCOUNT = auto()
    """Nothing of its account is on its way, or the account has refusals left."""


class Admission:
    """Decides about each command, and keeps who waits for an account.

    Args:
        resume: goes on with a caller that has waited: it asks again.
    """

    def __init__(self, judge: Judge, budgets: RefusalBudgets, resume: Callable[[Caller], None]) -> None:
        self._judge = judge
        self._budgets = budgets
        self._resume = resume
        self._waiting: dict[Account, OrderedDict[Caller, None]] = {}
        """Who waits for an account, in the order in which they came."""
        self._freed: list[Account] = []
        """Accounts for which somebody waited when commands of them came back."""

    def decide(self, command: PendingCommand, *, has_caught_up: bool = False) -> Wait | Reason | None:
        """Why a command does not leave, or for what it waits; None: it may leave, and is counted in.

        Args:
            has_caught_up: the events are read of everything that was in the journal when it came.
        """
        verdict, is_sure = self._judge.weigh(command)
        nothing_on_its_way = command.account.on_the_way.commands == 0
        if verdict > 0 and nothing_on_its_way:
            return Reason(verdict) if has_caught_up else Wait.EVENTS
        flags = self._judge.flags_of(command)
        if is_sure and self._may_be_trusted(command, verdict, flags, nothing_on_its_way=nothing_on_its_way):
            self._judge.count_in(command, is_sure=True)
            return None
        if self._budgets.take(command, is_all_or_none=bool(flags & OrderFlag.ALL_OR_NONE)):
            self._judge.count_in(command, is_sure=is_sure)
            return None
        return Wait.ACCOUNT

    def _may_be_trusted(self, command: PendingCommand, verdict: int, flags: int, *, nothing_on_its_way: bool) -> bool:
        """Whether a command that is sure passes though its account may have no refusals left.

        An account gets there by what other gateways and other accounts did meanwhile: an order that must not take may meet
        one that came before it. So it sends one at a time, and none that others can make fail. The cancel of an open order
        always passes. That of an order on its way (`verdict` is that it is unknown) waits for that: the order may be filled
        at once, and then the cancel is refused.
        """
        if not flags:
            return verdict == 0 or self._budgets.has_any(command.account)
        return self._budgets.has_any(command.account) or (nothing_on_its_way and bool(flags & OrderFlag.MAY_TAKE))

    # -- who waits for an account

    def wait(self, account: Account, caller: Caller) -> None:
        """Lets a caller wait for an account, behind those that do already."""
        self._waiting.setdefault(account, OrderedDict())[caller] = None
        account.on_the_way.freed = self._freed

    def forget(self, account: Account, caller: Caller) -> None:
        """Takes a caller that is gone, or waits no longer, off the list."""
        waiting = self._waiting.get(account)
        if waiting is not None:
            waiting.pop(caller, None)
            if not waiting:
                self._forget_account(account)

    def commands_ended(self) -> None:
        """Commands came back: goes on with those that wait for their accounts."""
        if self._freed:
            accounts = dict.fromkeys(self._freed)
            self._freed.clear()
            for account in accounts:
                self._go_on(account)

    def on_time(self) -> None:
        """Once a second: goes on where a budget has come back."""
        for account in list(self._waiting):
            self._go_on(account)

    def _go_on(self, account: Account) -> None:
        """Goes on with those that wait for an account, one after the other, each once, as long as it can take more."""
        for _ in range(len(self._waiting.get(account, ()))):
            waiting = self._waiting.get(account)
            if not waiting or (account.on_the_way.commands and not self._budgets.has_any(account)):
                return
            caller = next(iter(waiting))
            self.forget(account, caller)
            self._resume(caller)

    def _forget_account(self, account: Account) -> None:
        del self._waiting[account]
        account.on_the_way.freed = None
