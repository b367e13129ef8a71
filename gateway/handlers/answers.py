"""What a command is answered with, once its events have come back from the store (promise P4), or once it is refused."""

from __future__ import annotations

from engine.reasons import Reason
from engine.records import EventEntry, EventKind
from gateway.auth.rate_limits import FIVE_MINUTES_MS, MINUTE_MS, TEN_SECONDS_MS
from gateway.auth.sessions import Caller, Session
from gateway.dialect import replies
from gateway.dialect.constants import CANCEL_ALL
from gateway.dialect.exchange_info import rate_limit_templates
from gateway.dialect.fast import CountedText, ack_frame
from gateway.dialect.rejects import Reject
from gateway.handlers.state import GatewayState
from gateway.incidents import Incident
from gateway.journal.pending import PendingCommand
from gateway.limits import LONG_LIST_ENTRIES, RateLimitSettings
from gateway.view.accounts import Account
from gateway.view.order_events import CommandEvents
from gateway.view.projection import cancel_client_id

_REJECTED = int(EventKind.REJECTED)
_ORDER_CLOSED = int(EventKind.ORDER_CLOSED)
_USED_BEFORE = (Reason.REPLAYED_REQUEST, Reason.SIGNATURE_USED)
_MAY_BE_MARKED = (Reason.OUTCOME_UNKNOWN, *_USED_BEFORE)
_RETRY_INTERVALS_MS = {
    Reason.TOO_MANY_REQUESTS: MINUTE_MS,
    Reason.TOO_MANY_NEW_ORDERS: TEN_SECONDS_MS,
    Reason.TOO_MANY_CONNECTIONS: FIVE_MINUTES_MS,
}


def retry_after(reject: Reject, now_ms: int) -> dict[str, int] | None:
    """When a request that is refused now may be sent again; None if that is no matter of time."""
    if reject.reason is Reason.BANNED:
        return {"serverTime": now_ms, "retryAfter": int(reject.details[0])}
    interval_ms = _RETRY_INTERVALS_MS.get(reject.reason)
    if interval_ms is None:
        return None
    return {"serverTime": now_ms, "retryAfter": now_ms - now_ms % interval_ms + interval_ms}


class Answers:
    """Writes the replies to commands, and the parts that all replies share."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._tiers: list[RateLimitSettings] = []
        self._templates: list[tuple[CountedText, CountedText]] = []
        """The texts of each tier of `_tiers`, which is the list in force when they were made."""

    # -- the parts that all replies share

    def rate_limits(self, caller: Caller, account: Account | None) -> str:
        """The `rateLimits` field of a reply, beginning with its comma.

        Args:
            account: whose order counts are shown; None shows the request weight alone.
        """
        limits = self._state.rate_limits
        if limits.tiers is not self._tiers:
            texts = [rate_limit_templates(tier) for tier in limits.tiers]
            self._tiers, self._templates = limits.tiers, [(CountedText(one), CountedText(all)) for one, all in texts]
        whose = account or caller.account
        weight_text, orders_text = self._templates[0 if whose is None else whose.tier]
        if account is None:
            return weight_text.fill(caller.usage.of(whose).count)
        in_ten_seconds, in_day = limits.orders_of(account).counts(self._state.now_ms)
        return orders_text.fill(in_ten_seconds, in_day, caller.usage.of(whose).count)

    def retry_after(self, reject: Reject) -> dict[str, int] | None:
        """When a refused request may be sent again, where that is a matter of time."""
        return retry_after(reject, self._state.now_ms)

    # -- commands

    def refuse(self, command: PendingCommand, reject: Reject) -> None:
        """A command was not taken. As with every request that ends here, only a new order shows the order counts."""
        self._fail(command, reject, None if command.reduces else command.account)

    def reject(self, command: PendingCommand, reject: Reject) -> None:
        """A command that was taken is not executed, or its outcome is unknown."""
        if command.mark is not None and reject.reason not in _MAY_BE_MARKED:
            self._state.replays.forget(command.mark)
        self._fail(command, reject, command.account)

    def _fail(self, command: PendingCommand, reject: Reject, account: Account | None) -> None:
        caller = command.caller
        if reject.reason in _USED_BEFORE and command.mark is not None:
            self._state.incidents.note(Incident.SIGNATURE_USED, caller.address, command.mark.key_id)
        limits = self.rate_limits(caller, account) if command.shows_rate_limits else ""
        data = self.retry_after(reject)
        caller.fail(command.id_text, reject, limits, cancelling=command.reduces, data=data)

    def charge(self, command: PendingCommand, events: CommandEvents) -> None:
        """Charges what a command has cost to the budget of refusals of its account."""
        self._state.refusal_budgets.charge(command, events)

    def answer(self, command: PendingCommand, events: CommandEvents, entry: EventEntry) -> None:
        """Answers a command with its events, which the view has applied."""
        caller = command.caller
        if not caller.is_alive:
            return
        if events.first_kind == _REJECTED:
            self._fail(command, Reject(Reason(events.first_reason)), command.account)
            return
        limits = self.rate_limits(caller, command.account) if command.shows_rate_limits else ""
        applied = self._state.view.projection.events
        if command.response == "ACK":
            time = applied.time_us // caller.unit
            if type(caller) is Session:
                frame = ack_frame(command.id_text, applied.placed, time, limits)
                if frame is not None:
                    caller.send(frame)
                    return
            text = replies.order_ack(applied.placed, applied.time_us, caller.unit)
        elif command.reduces:
            self._answer_cancel(command, events, entry, limits)
            return
        else:
            fills = applied.fills if command.response == "FULL" else None
            text = replies.order_result(applied.placed, applied.time_us, caller.unit, fills)
        caller.succeed(command.id_text, text, limits)

    def _answer_cancel(self, command: PendingCommand, events: CommandEvents, entry: EventEntry, limits: str) -> None:
        caller, applied = command.caller, self._state.view.projection.events
        time_us, closed = applied.time_us, applied.closed
        closings = (event for event in events if event.kind == _ORDER_CLOSED)
        texts = (
            replies.cancel_result(order, cancel_client_id(event, entry, order), time_us, caller.unit)
            for event, order in zip(closings, closed, strict=True)
        )
        if command.response != CANCEL_ALL:
            caller.succeed(command.id_text, next(texts), limits)
        elif len(closed) <= LONG_LIST_ENTRIES:
            caller.succeed(command.id_text, replies.json_list(texts), limits)
        else:
            # The orders are closed, so a later moment shows them as they are now.
            caller.succeed_long(command.id_text, replies.json_list_pieces(texts), len(entry.data), limits)
