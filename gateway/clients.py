"""All open connections: who may connect, what path they want, and an orderly goodbye."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from engine.reasons import Reason
from gateway.access import FORWARDED_FOR, Access
from gateway.auth.sessions import Session
from gateway.dialect import replies, user_events
from gateway.dialect.constants import CLOSE_GOING_AWAY
from gateway.dialect.rejects import Reject, Rejected
from gateway.handlers import stream_requests, weights
from gateway.handlers.answers import retry_after
from gateway.handlers.http import HttpExchange, http_refusal
from gateway.handlers.paths import session_for
from gateway.handlers.router import Router
from gateway.incidents import Incident
from gateway.limits import SHUTDOWN_GRACE_S, ConnectionLimits
from gateway.wire.addresses import counted_as
from gateway.wire.asyncio_client import Client, Outbox
from gateway.wire.connection import Conduct
from gateway.wire.frames import encode_text
from gateway.wire.http_side import HttpAnswer, HttpRequest, UpgradeRequest
from gateway.wire.places import Place, Places
from gateway.wire.turns import Turns

_NOTHING_THERE = HttpAnswer(404, replies.NOT_FOUND)
_TURNED_AWAY = {
    Reason.BANNED: Incident.BANNED_ADDRESS,
    Reason.TOO_MANY_OPEN_CONNECTIONS: Incident.TOO_MANY_OPEN,
    Reason.TOO_MANY_CONNECTIONS: Incident.TOO_MANY_NEW,
}
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""They change nothing, so a web page may send them; it cannot read the answers."""


def _answer(reject: Reject) -> HttpAnswer:
    return HttpAnswer(*replies.http_error(reject))


class Clients:
    """The application behind the wire (`gateway.wire.asyncio_client.Application`), and its door (`gateway.wire.listener.Door`).

    Args:
        places: one more connection is turned away.
        access: which proxies and web pages are believed.
        host: the address that the gateway listens on.
    """

    def __init__(
        self,
        router: Router,
        outbox: Outbox,
        limits: ConnectionLimits,
        places: Places,
        access: Access | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        access = access or Access()
        self.limits = limits
        self.outbox = outbox
        self._router = router
        self._state = router.state
        self.places = places
        self._forwarding = access.proxies(FORWARDED_FOR)
        """Proxies whose X-Forwarded-For names the client of each request."""
        self._origins = access.origins(host)
        self._clients: dict[Client, None] = {}
        self._turns = Turns(time.perf_counter, asyncio.get_running_loop().call_soon)

    # -- as the door

    def take_place(self) -> Place | HttpAnswer:
        """A place for a connection that came; 503 if all are taken."""
        place = self.places.take()
        if place is None:
            self._state.incidents.note(Incident.NO_PLACE, "")
            return _answer(Reject(Reason.OVERLOADED))
        return place

    def admit(self, place: Place, ip: str) -> HttpAnswer | None:
        """Counts a connection for the address of its client. Returns the answer with which it is turned away: 418 if the
        address is banned, 429 if it has too many, or opened too many.

        Through a proxy that names the client in each request come many clients: the count is made where one opens a WebSocket.
        """
        if self._forwarding.trust(ip):
            place.ip, place.is_proxy = ip, True
            return None
        return self._count(place, ip)

    def failed(self, place: Place) -> None:
        """A TLS handshake that came to nothing is a failure of the address."""
        if not place.is_proxy:
            self._state.failed(counted_as(place.ip), Incident.HANDSHAKE_FAILED)

    def make(self, place: Place) -> Client:
        """A client for a connection that was admitted."""
        return Client(self, asyncio.get_running_loop(), self.outbox, self._turns, place)

    def _count(self, place: Place, ip: str) -> HttpAnswer | None:
        """Counts a connection for an address. The answer if that is banned (418), or has or opened as many as it may (429)."""
        now_ms = self._now_ms()
        try:
            self._state.bans.check(counted_as(ip), now_ms)
            if not place.belongs_to(ip):
                raise Rejected(Reason.TOO_MANY_OPEN_CONNECTIONS, str(self.places.address_max))
            self._state.rate_limits.add_connection(ip, now_ms)
        except Rejected as rejected:
            self._state.incidents.note(_TURNED_AWAY[rejected.reject.reason], counted_as(ip))
            return http_refusal(rejected.reject, retry_after(rejected.reject, now_ms))
        return None

    # -- as the wire's Application

    def connected(self, client: Client) -> None:
        self._clients[client] = None

    def disconnected(self, client: Client) -> None:
        """Forgets a connection that has ended, and all that its session followed."""
        self._clients.pop(client, None)
        if client.connection.ended_for is not None:
            key = None if client.session is None else client.session.key
            self._state.incidents.note(
                client.connection.ended_for, counted_as(client.ip), "" if key is None else key.id
            )
        client.place.leave()
        if client.session is not None:
            self._router.session_ended(client.session)

    def handle_http(self, client: Client, request: HttpRequest) -> None:
        """Answers a request over HTTP, now or when its command is answered; 403 if a foreign web page would change something."""
        if request.method not in _SAFE_METHODS and not self._origins.allow(request.headers):
            self._state.incidents.note(Incident.FOREIGN_PAGE, counted_as(client.ip))
            client.respond(_answer(Reject(Reason.ORIGIN_REFUSED)))
            return
        ip = self._client_behind(client, request.headers)
        usage = self._state.rate_limits.weight_of(ip, self._now_ms())
        self._router.handle_http(HttpExchange(request, usage, client.respond, counted_as(ip), ip))

    def open_session(self, client: Client, request: UpgradeRequest) -> Session | HttpAnswer:
        """The session of a connection that asks for a WebSocket, with the streams of its path; 404 for any other path, 403 for
        a foreign web page, 418 if its address is banned, 429 if it has no request weight left or, behind a proxy, has too
        many connections."""
        if not self._origins.allow(request.headers):
            self._state.incidents.note(Incident.FOREIGN_PAGE, counted_as(client.ip))
            return _answer(Reject(Reason.ORIGIN_REFUSED))
        if client.place.is_proxy:
            client.ip = self._client_behind(client, request.headers)
            client.place.is_proxy = False
            if (answer := self._count(client.place, client.ip)) is not None:
                return answer
        state, now_ms, address = self._state, self._now_ms(), counted_as(client.ip)
        usage = state.rate_limits.weight_of(client.ip, now_ms)
        try:
            session, streams = session_for(request, client, usage, client.ip, now_ms)
        except Rejected as rejected:
            if rejected.reject.reason == Reason.UNKNOWN_METHOD:
                return _NOTHING_THERE
            return HttpAnswer(*replies.http_error(rejected.reject))
        session.address = address
        try:
            state.bans.check(address, now_ms)
            if session.is_api:
                state.rate_limits.add_weight(usage, None, weights.CONNECTING, now_ms)
        except Rejected as rejected:
            if rejected.reject.reason == Reason.TOO_MANY_REQUESTS:
                state.failed(address, Incident.OVER_WEIGHT)
            else:
                state.incidents.note(Incident.BANNED_ADDRESS, address)
            return http_refusal(rejected.reject, retry_after(rejected.reject, now_ms))
        stream_requests.follow_url(self._state.view.feeds, session, streams)
        return session

    def _client_behind(self, client: Client, headers: Mapping[bytes, bytes]) -> str:
        """The address of who has sent a request: that of the connection, but behind a proxy with X-Forwarded-For what that says."""
        if not client.place.is_proxy:
            return client.ip
        return self._forwarding.client_behind(
            client.ip, headers.get(b"x-forwarded-for", b"").decode("ascii", "replace")
        )

    def takes_body(self, method: str, path: str) -> bool:
        """Whether a route takes a body; a request with one to any other is refused."""
        return self._router.takes_body(method, path)

    def note_conduct(self, client: Client, conduct: Conduct) -> None:
        """Counts frames that are no requests, and a broken rule as a failure of the address; but not of a proxy, through which
        clients come of which nothing is known at that point."""
        if conduct.broke_rule and not client.place.is_proxy:
            self._state.failed(counted_as(client.ip), Incident.RULE_BROKEN)
        if client.session is not None:
            self._router.count_frames(client.session, conduct.control_frames, conduct.fragments)

    def handle_messages(self, session: Session, messages: Iterable[bytes]) -> int:
        """Handles text messages in their order, as far as the client's slice goes; how many it took."""
        return self._router.handle_messages(session, messages)

    def _now_ms(self) -> int:
        return self._state.clock.now_us() // 1000

    # -- time

    def on_time(self) -> None:
        """Once a second: pings and timeouts."""
        for client in list(self._clients):
            client.on_time()

    async def say_goodbye(self, *, with_words: bool) -> None:
        """Closes all connections, and leaves the last frames a moment to go out.

        Args:
            with_words: whether clients get a message about the planned end; not after a broken promise.
        """
        time_us = self._state.clock.now_us()
        for client in list(self._clients):
            session: Session | None = client.session
            if session is not None and with_words:
                event = user_events.server_shutdown(time_us, session.unit)
                client.send(encode_text(user_events.shutdown_frame(event, session.is_api, session.combined)))
            client.close(CLOSE_GOING_AWAY, "shutting down")
        if self._clients:
            await asyncio.sleep(SHUTDOWN_GRACE_S)
        for client in list(self._clients):
            client.abort()
