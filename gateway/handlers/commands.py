"""Commands on their way into the pipeline: admitted, refused here, or held until it is known which.

What the engine will refuse does not reach it: `gateway.judgement.admission` says which commands may leave, which wait, and
which are refused here.

    command ─▶ its signature was not used ─▶ within the order limits ─▶ admission ┬▶ pipeline
                                                   ▲                               ├▶ refused: answered and recorded
                                                   └────── events, or budget ◀─────┴▶ held, and its session with it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from engine.journal import Mark
from engine.reasons import Reason
from gateway.auth.keys import Key
from gateway.auth.sessions import Caller, Session
from gateway.dialect.fast import SignedCommand
from gateway.dialect.rejects import Reject, Rejected
from gateway.handlers.answers import Answers
from gateway.handlers.state import GatewayState
from gateway.journal.pending import PendingCommand
from gateway.journal.pipeline import Pipeline
from gateway.judgement.admission import Admission, Wait
from gateway.limits import PipelineLimits


class EventsAwaited(Protocol):
    """Where callers wait until everything that is there now has been read; `gateway.journal.catch_up.CatchUp` is one."""

    def wait(self, caller: Caller, resume: Callable[[bool], None]) -> None: ...

    def forget(self, caller: Caller) -> None: ...


class Held(NamedTuple):
    """A command that waits."""

    command: PendingCommand
    message: bytes
    """What it was read from."""
    key: Key | None
    """Which it was sent with. If it is revoked meanwhile, the command is refused."""


class Commands:
    """Takes every command that a request has become.

    Args:
        appended: where commands wait for all that is in the journal before them.
        note_refusal: records a command that is refused here, and why.
        wake: says that the pipeline has something to send.
        limits: how long a command may wait.
    """

    def __init__(
        self,
        state: GatewayState,
        answers: Answers,
        pipeline: Pipeline,
        *,
        appended: EventsAwaited,
        note_refusal: Callable[[PendingCommand, Reason], None],
        wake: Callable[[], None],
        limits: PipelineLimits,
    ) -> None:
        self.state = state
        self.answers = answers
        self.pipeline = pipeline
        self._appended = appended
        self._note_refusal = note_refusal
        self._wake = wake
        self._limits = limits
        judge = state.view.projection.judge
        self._let_pass = judge.let_pass
        self.admission = Admission(judge, state.refusal_budgets, self._resume_held)
        self._held: dict[Caller, Held] = {}
        """The commands that wait, by who sent them."""

    def submit(
        self, command: PendingCommand, message: bytes, key: Key | None = None, *, has_caught_up: bool = False
    ) -> bool:
        """Queues a command for the journal, or answers why not; False where its session has to wait.

        Args:
            message: what it was read from.
            key: which it was sent with; None on the fast path.
            has_caught_up: the events are read of everything that was in the journal when it came.
        """
        if command.mark is not None and not self._admit_mark(command, command.mark):
            return True
        try:
            if not command.reduces:
                self._check_order(command)
            if self._let_pass(command):
                outcome = None
            else:
                outcome = self.admission.decide(command, has_caught_up=has_caught_up)
            if outcome is None:
                self.pipeline.add(command, self.state.now_s)
                self._wake()
                return True
        except Rejected as rejected:
            command.end()
            self._forget_mark(command)
            self.answers.refuse(command, rejected.reject)
            return True
        if isinstance(outcome, Reason):
            self._note_refusal(command, outcome)
            self.answers.reject(command, Reject(outcome))
        else:
            self._hold(Held(command, message, key or self._key_of(command)), outcome)
            return False
        return True

    def _check_order(self, command: PendingCommand) -> None:
        """Judges a new order that is well formed: is there room, and has the account sent too many."""
        state = self.state
        if state.is_store_full:
            raise Rejected(Reason.OVERLOADED)
        if not command.is_rated:
            command.is_rated = True
            state.rate_limits.add_order(command.account, state.now_ms)

    def _admit_mark(self, command: PendingCommand, mark: Mark) -> bool:
        """Refuses a command whose signature was used before, as far as is known here; whether it may go on. If it is refused
        for another reason, or waits, the signature may be used again."""
        try:
            self.state.replays.admit(mark)
        except Rejected as rejected:
            self.answers.refuse(command, rejected.reject)
            return False
        return True

    def _forget_mark(self, command: PendingCommand) -> None:
        """A signed command does not leave now, so it may come again."""
        if command.mark is not None:
            self.state.replays.forget(command.mark)

    def _key_of(self, command: PendingCommand) -> Key | None:
        """The key that a command of the fast path was sent with."""
        if isinstance(command, SignedCommand):
            return self.state.view.keys.get(command.key_id)
        key: Key | None = command.caller.key
        return key

    # -- those that wait

    def _hold(self, held: Held, wait: Wait) -> None:
        """Over HTTP nothing is behind it, so only a session is held."""
        caller: Caller = held.command.caller
        self._forget_mark(held.command)
        if not held.command.waiting_since_s:
            held.command.waiting_since_s = self.state.now_s
        self._held[caller] = held
        if isinstance(caller, Session):
            caller.hold(held.message)
        if wait is Wait.EVENTS:
            self._appended.wait(caller, lambda has_caught_up: self._caught_up(caller, has_caught_up))
        else:
            self.admission.wait(held.command.account, caller)

    def _caught_up(self, caller: Caller, has_caught_up: bool) -> None:
        """Goes on with who waited for newer events, or lets it wait on while the store is away."""
        if has_caught_up:
            self._resume_held(caller, has_caught_up=True)
        else:
            self.admission.wait(self._held[caller].command.account, caller)

    def _resume_held(self, caller: Caller, *, has_caught_up: bool = False, reject: Reject | None = None) -> None:
        """Asks again for the command that waited, or refuses it, and goes on with what is behind it."""
        command, message, key = self._held.pop(caller)
        self.state.begin_turn()
        if key is not None and (self.state.view.keys.get(key.id) is not key or self.state.now_ms >= key.expires_ms):
            reject = Reject(Reason.UNAUTHORIZED)
        elif command.expires_ms and self.state.now_ms > command.expires_ms:
            reject = Reject(Reason.OUTSIDE_WINDOW)
        if isinstance(caller, Session):
            caller.release()
            if caller.connection.has_ended():
                caller.connection.abort()
                return
        if reject is not None:
            self.answers.refuse(command, reject)
        else:
            self.submit(command, message, key, has_caught_up=has_caught_up)
        if isinstance(caller, Session):
            caller.go_on()

    def entries_taken(self) -> None:
        """Events were applied: goes on with those that waited for what their account had on its way."""
        self.admission.commands_ended()

    def on_time(self) -> None:
        """Once a second: goes on with those whose budget has come back, and refuses what has waited too long."""
        self.state.begin_turn()
        self.admission.commands_ended()
        self.admission.on_time()
        for caller, held in list(self._held.items()):
            command = held.command
            is_late = self.state.now_s - command.waiting_since_s >= self._limits.answer_timeout_s
            if is_late or (command.expires_ms and self.state.now_ms > command.expires_ms):
                self._appended.forget(caller)
                self.admission.forget(held.command.account, caller)
                self._resume_held(caller, reject=Reject(Reason.OVERLOADED))

    def forget(self, caller: Caller) -> None:
        """Drops the command of a caller that is gone, if one waits."""
        self._appended.forget(caller)
        held = self._held.pop(caller, None)
        if held is not None:
            self.admission.forget(held.command.account, caller)
