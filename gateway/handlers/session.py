"""Logging a session on and off, and what it follows of an account."""

from __future__ import annotations

from typing import cast

from engine.reasons import Reason
from gateway.auth.sessions import Session
from gateway.dialect import replies
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import integer_of
from gateway.handlers.call import Call, Result


def _session(call: Call) -> Session:
    """The session that asks: none of these methods is offered over HTTP."""
    return cast(Session, call.caller)


def logon(call: Call) -> Result:
    """Logs the session on with the key of the request, and gives the session's status. Another key than before ends the
    subscriptions that were made with that one, as a logout does."""
    session = _session(call)
    if session.key is not call.key:
        _end_own_subscriptions(call)
    session.log_on(call.key, call.state.clock.now_us() // 1000)
    return status(call)


def status(call: Call) -> Result:
    """With which key the session is logged on and since when, and whether it has subscriptions."""
    session = _session(call)
    key = session.key
    return Result(
        replies.session_status(
            None if key is None else key.id,
            session.authorized_ms,
            session.connected_ms,
            session.shows_rate_limits,
            call.state.clock.now_us(),
            session.unit,
            has_subscriptions=bool(session.subscriptions),
        )
    )


def logout(call: Call) -> Result:
    """Logs off, and ends the subscriptions that were made with the session's key."""
    _end_own_subscriptions(call)
    _session(call).log_off()
    return status(call)


def _end_own_subscriptions(call: Call) -> None:
    """Ends the subscriptions that were made with the session's key, and says so to the client."""
    session = _session(call)
    if session.key is not None:
        for subscription in list(session.subscriptions.values()):
            if subscription.key_id == session.key.id:
                call.state.view.feeds.user_data.terminate(subscription, call.state.clock.now_us())


def subscriptions(call: Call) -> Result:
    """The user data subscriptions of the session."""
    return Result(replies.json_list(map(replies.subscription, _session(call).subscriptions)))


def subscribe(call: Call) -> Result:
    """Follows the account of the session's key.

    Raises:
        Rejected: LOGON_REQUIRED: no key is logged on; UNAUTHORIZED: it has expired; SUBSCRIPTION_ACTIVE;
            TOO_MANY_SUBSCRIPTIONS; TOO_MANY_ACCOUNT_SUBSCRIPTIONS.
    """
    key = _session(call).key
    if key is None:
        raise Rejected(Reason.LOGON_REQUIRED)
    key.check_use(call.caller.ip, call.state.now_ms)
    call.authenticated(key)
    return subscribe_signed(call)


def subscribe_signed(call: Call) -> Result:
    """Follows the account of the request's own key."""
    user_data = call.state.view.feeds.user_data
    subscriptions_max = call.state.rate_limits.limits_of(call.account).subscriptions_max
    id = user_data.subscribe(_session(call), call.account, call.key.id, subscriptions_max)
    return Result(replies.subscription(id))


def unsubscribe(call: Call) -> Result:
    """Ends one subscription, or all. Needs no signature: the holder of the connection may stop listening.

    Raises:
        Rejected: SUBSCRIPTION_NOT_ACTIVE: the session has no such subscription.
    """
    subscriptions = _session(call).subscriptions
    id = integer_of(call.params, "subscriptionId")
    if id is not None and id not in subscriptions:
        raise Rejected(Reason.SUBSCRIPTION_NOT_ACTIVE)
    ended = list(subscriptions.values()) if id is None else [subscriptions[id]]

    def end() -> None:
        for subscription in ended:
            call.state.view.feeds.user_data.terminate(subscription, call.state.clock.now_us())

    return Result("{}", end)
