"""The router: authenticates, weighs, calls the handler, and answers; for WebSockets and for HTTP alike.

    message ─▶ fast path (an ordinary order: straight to its command)         ─┐
            └▶ slow path: read ─▶ weigh ─▶ authenticate ─▶ handler ─▶ Result   ├▶ pipeline ─▶ … ─▶ Answers
                                                                  └▶ PendingCommand ─┘

Requests of one connection take effect in the order in which they were sent. Where one must wait (for the secret of its key,
for the mark of its signature, for newer events, or for what its account has on its way), those behind it wait as well, and
nothing more is read from the connection. A connection has its requests handled in slices of time (`gateway.wire.turns`).

No I/O: frames come in as bytes and go out through the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from engine.journal import Mark
from engine.networks import allows
from engine.reasons import Reason
from gateway.auth.authentication import NeedsSecret, authenticate
from gateway.auth.keys import Key, UnknownKey
from gateway.auth.mark_setter import Marked
from gateway.auth.replay_guard import mark_of
from gateway.auth.sessions import Caller, Session
from gateway.dialect import replies
from gateway.dialect.constants import CLOSE_POLICY_VIOLATION
from gateway.dialect.fast import SignedCommand, read_order, read_signed_order
from gateway.dialect.rejects import Reject, Rejected
from gateway.dialect.requests import Unreadable, read_request
from gateway.handlers import stream_requests, weights
from gateway.handlers.answers import Answers
from gateway.handlers.call import Call, LongResult, Result, Route
from gateway.handlers.commands import Commands, EventsAwaited
from gateway.handlers.http import HttpExchange
from gateway.handlers.routes import ROUTES, UNKNOWN
from gateway.handlers.state import GatewayState
from gateway.incidents import Incident
from gateway.journal.pending import PendingCommand
from gateway.limits import WAITING_FOR_SECRET_MAX, WEIGHTLESS_BYTES_MAX
from gateway.wire.frames import encode_text

_SIGNATURE = b'"signature"'
_ORDER_WEIGHT = ROUTES["order.place"].weight
_FAILURES = frozenset(
    (Reason.INVALID_SIGNATURE, Reason.INVALID_API_KEY_FORMAT, Reason.INVALID_JSON, Reason.TOO_MANY_REQUESTS)
)
"""Refusals that a working client does not get again and again; an unknown key is one, too."""
_INCIDENTS = {
    Reason.INVALID_SIGNATURE: Incident.WRONG_SIGNATURE,
    Reason.INVALID_API_KEY_FORMAT: Incident.MALFORMED_KEY,
    Reason.UNAUTHORIZED: Incident.NO_PERMISSION,
    Reason.OUTSIDE_WINDOW: Incident.TOO_OLD,
    Reason.AHEAD_OF_TIME: Incident.AHEAD_OF_TIME,
    Reason.REPLAYED_REQUEST: Incident.SIGNATURE_USED,
    Reason.SIGNATURE_USED: Incident.SIGNATURE_USED,
    Reason.INVALID_JSON: Incident.UNREADABLE,
    Reason.TOO_MANY_REQUESTS: Incident.OVER_WEIGHT,
}
"""Refusals that are counted by address and key."""


def _why_unauthorized(key: Key | None, ip: str, now_ms: int) -> Incident:
    """What is wrong with a key that may not be used for a request; clients do not get to know."""
    if key is None:
        return Incident.KEY_REVOKED
    if now_ms >= key.expires_ms:
        return Incident.KEY_EXPIRED
    return Incident.NO_PERMISSION if allows(key.networks, ip) else Incident.WRONG_NETWORK


class NeedsMark(Exception):
    """Only the store can say whether the signature of a request was used before."""

    def __init__(self, mark: Mark) -> None:
        super().__init__(mark)
        self.mark = mark


class Router:
    """Takes every request of every connection.

    Args:
        fetch_secret: fetches the secret of a key and calls back with it, or with why there is none.
        set_mark: marks a signature as used, and calls back with what it was used for before.
        published: where sessions wait for what others may have seen.
    """

    def __init__(
        self,
        state: GatewayState,
        answers: Answers,
        commands: Commands,
        *,
        fetch_secret: Callable[[Key, Callable[[Key, bytes | None, Reject], None]], None],
        set_mark: Callable[[Mark, Marked], None],
        published: EventsAwaited,
        routes: Mapping[str, Route] = ROUTES,
    ) -> None:
        self.state = state
        self.answers = answers
        self.commands = commands
        self._fetch_secret = fetch_secret
        self._set_mark = set_mark
        self._published = published
        self._markets = state.view.projection.markets_by_symbol
        self._routes = routes
        self._http_routes: dict[str, dict[str, tuple[str, Route]]] = {}
        """Path → HTTP method → name and route."""
        for name, route in routes.items():
            if route.http:
                assert route.needs is None, f"{name}: no request over HTTP carries a signature yet"
                http_method, path = route.http.split()
                self._http_routes.setdefault(path, {})[http_method] = name, route

    def takes_body(self, method: str, path: str) -> bool:
        """Whether a request over HTTP may have a body: one that changes something, where such a request is offered."""
        return method not in ("GET", "HEAD") and method in self._http_routes.get(path, {})

    # -- WebSocket messages

    def handle_messages(self, session: Session, messages: Iterable[bytes]) -> int:
        """Handles text messages of a connection in their order, until its slice is over, one of them has to wait, or its address
        is banned.

        Returns:
            how many it took, the one that waits among them.
        """
        assert session.held is None, "what follows a message that waits is kept by the connection"
        state = self.state
        state.begin_turn()
        has_bans = state.now_ms < state.bans.last_end_ms
        taken = 0
        for message in messages:
            taken += 1
            if has_bans and self._turn_away(session, message):
                break
            if session.is_api:
                command = self._read_fast(session, message)
                if command is not None:
                    if self.commands.submit(command, message):
                        continue
                    break
                self._handle(session, message)
            else:
                stream_requests.handle(state, session, message)
            if session.held is not None or session.connection.is_slice_over():
                break
            # That may have been the failure that bans the address.
            has_bans = state.now_ms < state.bans.last_end_ms
        return taken

    def count_frames(self, session: Session, control_frames: int, fragments: int) -> None:
        """Counts frames of a connection that are no requests. Those that are too many weigh like requests; but pings and pongs
        on a stream connection count as its requests, and too many of them end it."""
        state, usage = self.state, session.usage
        state.begin_turn()
        if session.is_api:
            weight = state.rate_limits.control_weight(session.control, state.now_ms, control_frames + fragments)
        else:
            weight = fragments
            if not state.rate_limits.may_control(session.control, state.now_ms, control_frames):
                state.failed(session.address, Incident.TOO_MANY_STREAM_REQUESTS)
                session.close(CLOSE_POLICY_VIOLATION, "too many pings in a second")
        if not state.rate_limits.has_weight(usage, session.account, weight, state.now_ms):
            state.failed(session.address, Incident.OVER_WEIGHT, count=weight)
        if state.now_ms < state.bans.last_end_ms:
            self._turn_away(session, b"")

    def _handle(
        self, session: Session, message: bytes, *, has_waited: bool = False, has_caught_up: bool = False
    ) -> None:
        """Answers a message by the slow path, or lets the session hold it where it must wait."""
        try:
            request = read_request(message)
        except Unreadable as unreadable:
            self._refuse_unreadable(session, message, unreadable)
            return
        route = self._routes.get(request.method, UNKNOWN)
        call = Call(session, request, self.state)
        try:
            if not has_waited:
                self._weigh(call, route, len(message))
            self._execute(call, route, message)
        except NeedsSecret as needs:
            self._wait_for_secret(call, route, message, needs.key)
        except NeedsMark as needs:
            self._wait_for_mark(call, route, message, needs.mark)
        except UnknownKey as unknown:
            if has_caught_up:
                state = self.state
                state.incidents.note(
                    Incident.UNKNOWN_KEY, session.address, unknown_key=str(call.params.get("apiKey", ""))
                )
                state.bans.failed(session.address, state.now_ms)
                self._answer_refused(call, route, unknown.reject)
            else:
                self._wait_for_key(session, message)
        except Rejected as rejected:
            self._refuse(call, route, rejected.reject)

    # -- the fast path

    def _read_fast(self, session: Session, message: bytes) -> PendingCommand | None:
        """An ordinary order or cancel of somebody who may send it, weighed; None for anything else, also where the slow path
        will refuse it: nothing is counted then."""
        if len(message) > WEIGHTLESS_BYTES_MAX:
            return None
        state, key = self.state, session.key
        now_ms = state.now_ms
        command: PendingCommand | None = None
        if key is not None and key.may_trade and now_ms < key.expires_ms:
            command = read_order(message, self._markets, session, key.account, now_ms, state.oldest_ms)
        if command is None and _SIGNATURE in message:
            signed = read_signed_order(message, self._markets, session, now_ms, state.oldest_ms)
            command = signed if signed is not None and self._verify_fast(signed) else None
        if command is None:
            return None
        has_weight = state.rate_limits.has_weight(session.usage, command.account, _ORDER_WEIGHT, now_ms)
        return command if has_weight else None

    def _verify_fast(self, command: SignedCommand) -> bool:
        """Whether an HMAC key that may trade, and whose secret is here, has signed a command. A signature that is wrong is
        judged again by the slow path, which costs too much for other keys."""
        state = self.state
        key = state.view.keys.get(command.key_id)
        if key is None or not key.is_hmac or key.secret is None or not key.may_trade:
            return False
        if not key.verifies(command.payload, command.signature):
            return False
        try:
            key.check_use(command.caller.ip, state.now_ms)
        except Rejected:
            return False
        command.caller.account = key.account
        method = "order.cancel" if command.reduces else "order.place"
        command.accept(key.account, mark_of(key, command.signature, method, command.expires_ms, state.now_ms))
        if not command.caller.is_trusted:
            command.caller.trust()
        return True

    # -- one request: weigh, authenticate, call the handler, answer

    def _weigh(self, call: Call, route: Route, size_bytes: int) -> None:
        """Counts what a request weighs. Raises Rejected where that passes the limit.

        Args:
            size_bytes: of its message.
        """
        params = call.params
        weight = route.weight if route.weigh is None else route.weigh(params)
        weight += weights.of_size(size_bytes)
        # A logon, which has an `authenticate` of its own, has the signature in its weight.
        if route.needs is not None and "signature" in params and route.authenticate is authenticate:
            key = self.state.view.keys.get(str(params.get("apiKey")))
            if key is not None and not key.is_hmac:
                weight += weights.ED25519_SIGNATURE
        self.state.rate_limits.add_weight(call.caller.usage, call.caller.account, weight, self.state.now_ms)

    def _refuse_unreadable(self, session: Session, message: bytes, unreadable: Unreadable) -> None:
        """Refuses what is no request. It weighs like one, and is a failure."""
        weight, reject = weights.UNREADABLE + weights.of_size(len(message)), unreadable.reject
        try:
            self.state.rate_limits.add_weight(session.usage, session.account, weight, self.state.now_ms)
        except Rejected as rejected:
            reject = rejected.reject
        is_over = reject.reason is Reason.TOO_MANY_REQUESTS
        self.state.failed(session.address, Incident.OVER_WEIGHT if is_over else Incident.UNREADABLE)
        data = self.answers.retry_after(reject)
        session.fail(unreadable.id_text, reject, "", cancelling=False, data=data)

    def _turn_away(self, session: Session, message: bytes) -> bool:
        """Answers the next request of a banned address with 418, and closes; False if the address is not banned."""
        try:
            self.state.bans.check(session.address, self.state.now_ms)
        except Rejected as rejected:
            reject = rejected.reject
        else:
            return False
        self.state.incidents.note(Incident.BANNED_ADDRESS, session.address)
        try:
            id_text = read_request(message).id_text
        except Unreadable as unreadable:
            id_text = unreadable.id_text
        if session.is_api:
            session.fail(id_text, reject, "", cancelling=False, data=self.answers.retry_after(reject))
        else:
            session.send(encode_text(replies.stream_error(id_text, reject)))
        session.close(CLOSE_POLICY_VIOLATION, "banned")
        return True

    def _note_refusal(self, caller: Caller, reason: Reason, key_id: object) -> None:
        """Counts a refusal by who asked, if it is one of `_INCIDENTS`; those of `_FAILURES` may ban the address.

        Args:
            key_id: what the request gives as its key.
        """
        incident = _INCIDENTS.get(reason)
        if incident is None:
            return
        state = self.state
        key = state.view.keys.get(key_id) if isinstance(key_id, str) else caller.key
        if incident is Incident.NO_PERMISSION:
            incident = _why_unauthorized(key, caller.ip, state.now_ms)
        state.incidents.note(
            incident,
            caller.address,
            "" if key is None else key.id,
            unknown_key=key_id if isinstance(key_id, str) and key is None else "",
        )
        if reason in _FAILURES:
            state.bans.failed(caller.address, state.now_ms)

    def _execute(self, call: Call, route: Route, message: bytes = b"") -> None:
        """Raises Rejected, NeedsSecret and NeedsMark."""
        if route.needs is not None:
            state = self.state
            key = route.authenticate(call.caller.key, call.request, state.view.keys, state.now_ms, state.oldest_ms)
            key.check_use(call.caller.ip, state.now_ms)
            if not key.may(route.needs):
                raise Rejected(Reason.UNAUTHORIZED)
            call.authenticated(key)
            call.caller.account = key.account
            if "signature" in call.params:
                self._judge_signature(call, route, key)
        self._carry_out(call, route, message)

    def _judge_signature(self, call: Call, route: Route, key: Key) -> None:
        """Notes what the signature, which verifies, leaves behind. The mark of a command is set when its batch is appended;
        all else needs it now. Raises Rejected, and NeedsMark where only the store can tell."""
        request, now_ms = call.request, self.state.now_ms
        mark = call.mark = mark_of(key, str(request.params["signature"]), request.method, request.expires_ms, now_ms)
        is_command = route.counts_orders or route.cancels
        if not is_command and not self.state.replays.is_known(mark, repeats=not route.opens):
            raise NeedsMark(mark)

    def _carry_out(self, call: Call, route: Route, message: bytes = b"") -> None:
        """Raises Rejected."""
        if route.needs is not None and not call.caller.is_trusted:
            call.caller.trust()
        outcome = route.handler(call)
        if isinstance(outcome, Result):
            self._succeed(call, outcome)
        elif isinstance(outcome, LongResult):
            limits = self._limits_shown(call)
            call.caller.succeed_long(call.request.id_text, outcome.pieces, outcome.size_bytes, limits)
        else:
            self.commands.submit(outcome, message, call.authenticated_key)

    def _succeed(self, call: Call, result: Result) -> None:
        call.caller.succeed(call.request.id_text, result.text, self._limits_shown(call))
        if result.then is not None:
            result.then()

    def _limits_shown(self, call: Call) -> str:
        """The `rateLimits` field of a reply with a result; empty where it is not wanted."""
        wants = call.caller.wants_rate_limits(call.request.params)
        return self.answers.rate_limits(call.caller, None) if wants else ""

    def _refuse(self, call: Call, route: Route, reject: Reject) -> None:
        self._note_refusal(call.caller, reject.reason, call.params.get("apiKey"))
        self._answer_refused(call, route, reject)

    def _answer_refused(self, call: Call, route: Route, reject: Reject) -> None:
        caller, request = call.caller, call.request
        account = call.authenticated_account if route.counts_orders else None
        limits = self.answers.rate_limits(caller, account) if caller.wants_rate_limits(request.params) else ""
        data = self.answers.retry_after(reject)
        caller.fail(request.id_text, reject, limits, cancelling=route.cancels, data=data)

    # -- requests that wait

    def _wait_for_secret(self, call: Call, route: Route, message: bytes, key: Key) -> None:
        session = call.caller
        assert isinstance(session, Session)
        if len(key.waiting) >= WAITING_FOR_SECRET_MAX:
            self._refuse(call, route, Reject(Reason.OVERLOADED))
            return
        session.hold(message)
        key.waiting.append(session)
        if len(key.waiting) == 1:
            self._fetch_secret(key, self._secret_arrived)

    def _secret_arrived(self, key: Key, secret: bytes | None, reject: Reject) -> None:
        """Goes on with the sessions that wait for the secret of a key. Without one, what waits is refused."""
        key.secret = secret
        waiting, key.waiting = key.waiting, []
        for session in waiting:
            if secret is not None:
                self._resume(session, partial(self._handle, session, has_waited=True))
            else:
                self._resume(session, partial(self._refuse_message, session, reject))

    def _refuse_message(self, session: Session, reject: Reject, message: bytes) -> None:
        request = read_request(message)
        self._refuse(Call(session, request, self.state), self._routes.get(request.method, UNKNOWN), reject)

    def _wait_for_mark(self, call: Call, route: Route, message: bytes, mark: Mark) -> None:
        """What is signed and is no command waits until the store has said whether its signature was used before."""
        session = call.caller
        assert isinstance(session, Session)
        session.hold(message)

        def marked(method: str | None, reject: Reject | None) -> None:
            self._resume(session, lambda _: self._carry_out_marked(call, route, mark, method, reject))

        self._set_mark(mark, marked)

    def _carry_out_marked(
        self, call: Call, route: Route, mark: Mark, method: str | None, reject: Reject | None
    ) -> None:
        """Carries a request out, or refuses it, by what the store has said; its key may have been revoked meanwhile."""
        try:
            if reject is not None:
                raise Rejected(reject.reason)
            self.state.replays.check_answer(mark, method, repeats=not route.opens)
            if self.state.view.keys.get(mark.key_id) is not call.key:
                raise Rejected(Reason.UNAUTHORIZED)
            self._carry_out(call, route)
        except Rejected as rejected:
            self._refuse(call, route, rejected.reject)

    def _wait_for_key(self, session: Session, message: bytes) -> None:
        """A key that is not known may be a moment old: its owner has seen it in the store before this gateway has. So its
        request waits until the gateway has caught up; while the store is away, that cannot be known."""
        session.hold(message)

        def resume(has_caught_up: bool) -> None:
            if has_caught_up:
                self._resume(session, partial(self._handle, session, has_waited=True, has_caught_up=True))
            else:
                self._resume(session, partial(self._refuse_message, session, Reject(Reason.UNAVAILABLE)))

        self._published.wait(session, resume)

    def _resume(self, session: Session, go_on: Callable[[bytes], None]) -> None:
        """Goes on with a session that waited: with its message by `go_on`, and then with what is behind it. Nothing of a
        connection that has ended meanwhile is carried out."""
        message = session.release()
        if not session.is_alive:
            return
        if session.connection.has_ended():
            session.connection.abort()
            return
        self.state.begin_turn()
        go_on(message)
        session.go_on()

    def session_ended(self, session: Session) -> None:
        """The connection is gone. Commands that the pipeline has are executed, and the answers go nowhere: as at any venue, what
        was received counts. What waits before that, for the store or for events, is dropped."""
        session.is_alive = False
        self._published.forget(session)
        self.commands.forget(session)
        session.log_off()
        self.state.view.feeds.forget(session)

    # -- HTTP

    def handle_http(self, exchange: HttpExchange) -> None:
        """Answers an HTTP request through its exchange: now, or once its command has come back."""
        self.state.begin_turn()
        http = exchange.http
        offered = self._http_routes.get(http.path, {})
        name, route = offered.get("GET" if http.method == "HEAD" else http.method, ("", UNKNOWN))
        weight = route.weight if name else max((other.weight for _, other in offered.values()), default=UNKNOWN.weight)
        weight += weights.of_size(len(http.query) + len(http.body))
        try:
            self.state.bans.check(exchange.address, self.state.now_ms)
            self.state.rate_limits.add_weight(exchange.usage, None, weight, self.state.now_ms)
            if not offered:
                exchange.not_found()
            elif not name:
                exchange.method_not_allowed(offered)
            else:
                call = Call(exchange, exchange.read_request(name), self.state)
                if route.weigh is not None:
                    more = route.weigh(call.params) - route.weight
                    self.state.rate_limits.add_weight(exchange.usage, None, more, self.state.now_ms)
                self._execute(call, route)
        except Rejected as rejected:
            data = self.answers.retry_after(rejected.reject)
            if rejected.reject.reason is Reason.BANNED:
                self.state.incidents.note(Incident.BANNED_ADDRESS, exchange.address)
                exchange.turn_away(rejected.reject, data)
                return
            self._note_refusal(exchange, rejected.reject.reason, None)
            exchange.fail("", rejected.reject, "", cancelling=route.cancels, data=data)
