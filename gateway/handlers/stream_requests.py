"""Requests on a stream connection: which streams a session follows."""

from __future__ import annotations

from collections.abc import Sequence

from engine.reasons import Reason
from gateway.auth.sessions import Session
from gateway.dialect import replies
from gateway.dialect.constants import CLOSE_POLICY_VIOLATION, NO_ID
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import Unreadable
from gateway.dialect.streams import StreamRequest, read_stream_request
from gateway.handlers import weights
from gateway.handlers.state import GatewayState
from gateway.incidents import Incident
from gateway.view.feeds import Feeds
from gateway.wire.frames import encode_text


def handle(state: GatewayState, session: Session, message: bytes) -> None:
    """Executes one request and answers it; closes a session that sends too many. Requests on a stream connection weigh nothing
    but their size."""
    if not session.is_alive:
        return
    if not state.rate_limits.may_control(session.control, state.now_ms):
        state.failed(session.address, Incident.TOO_MANY_STREAM_REQUESTS)
        session.close(CLOSE_POLICY_VIOLATION, "too many requests in a second")
        return
    try:
        state.rate_limits.add_weight(session.usage, None, weights.of_size(len(message)), state.now_ms)
        request = read_stream_request(message)
    except Rejected as rejected:
        is_over = rejected.reject.reason is Reason.TOO_MANY_REQUESTS
        state.failed(session.address, Incident.OVER_WEIGHT if is_over else Incident.UNREADABLE)
        session.send(encode_text(replies.stream_error(NO_ID, rejected.reject)))
        return
    except Unreadable as unreadable:
        state.rate_limits.has_weight(session.usage, None, weights.UNREADABLE, state.now_ms)
        state.failed(session.address, Incident.UNREADABLE)
        session.send(encode_text(replies.stream_error(unreadable.id_text, unreadable.reject)))
        return
    try:
        result = _result(state.view.feeds, session, request)
    except Rejected as rejected:
        session.send(encode_text(replies.stream_error(request.id_text, rejected.reject)))
    else:
        session.send(encode_text(replies.stream_result(request.id_text, result)))


def _result(feeds: Feeds, session: Session, request: StreamRequest) -> object:
    """Does what is asked, and gives the result to show. Raises Rejected."""
    method, params = request.method, request.params
    if method == "LIST_SUBSCRIPTIONS":
        return list(session.streams)
    if method == "GET_PROPERTY" and params == ["combined"]:
        return session.combined
    if method == "SET_PROPERTY" and len(params) == 2 and params[0] == "combined" and type(params[1]) is bool:
        session.combined = params[1]
        return None
    if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
        raise Rejected(Reason.INVALID_STREAM_REQUEST, f"method {method[:50]} or its params are not supported")
    if not params or not all(type(stream) is str for stream in params):
        raise Rejected(Reason.INVALID_STREAM_REQUEST, "params must be stream names")
    if method == "SUBSCRIBE":
        feeds.check_follow(session, params)
        for stream in params:
            feeds.follow(session, stream)
    else:
        for stream in params:
            feeds.unfollow(session, stream)
    return None


def follow_url(feeds: Feeds, session: Session, streams: Sequence[str]) -> None:
    """Subscribes to the streams that a URL names. Unknown names are passed over: some clients connect to any path."""
    for stream in streams:
        try:
            feeds.check_follow(session, (stream,))
        except Rejected:
            continue
        feeds.follow(session, stream)
