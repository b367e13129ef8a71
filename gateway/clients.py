"""All open connections: who may connect, what path they want, and an orderly goodbye."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from engine.reasons import Reason
from gateway.auth.sessions import Session
from gateway.dialect import replies, user_events
from gateway.dialect.constants import CLOSE_GOING_AWAY
from gateway.dialect.rejects import Reject, Rejected
from gateway.handlers import stream_requests, weights
from gateway.handlers.answers import retry_after
from gateway.handlers.http import HttpExchange, http_refusal
from gateway.handlers.paths import session_for
from gateway.handlers.router import Router
from gateway.limits import SHUTDOWN_GRACE_S, ConnectionLimits
from gateway.wire.addresses import counted_as
from gateway.wire.asyncio_client import Client, Outbox
from gateway.wire.connection import Conduct, HttpAnswer, HttpRequest, UpgradeRequest
from gateway.wire.frames import encode_text
from gateway.wire.turns import Turns

_NOTHING_THERE = HttpAnswer(404, replies.NOT_FOUND)


class Clients:
    """The application behind the wire (`gateway.wire.asyncio_client.Application`).

    Args:
        connections_max: one more is turned away.
    """

    def __init__(self, router: Router, outbox: Outbox, limits: ConnectionLimits, connections_max: int) -> None:
        self.limits = limits
        self.outbox = outbox
        self._router = router
        self._state = router.state
        self._connections_max = connections_max
        self._clients: dict[Client, None] = {}
        self._turns = Turns(time.perf_counter, asyncio.get_running_loop().call_soon)

    def make(self) -> Client:
        """A client for a connection that came."""
        return Client(self, asyncio.get_running_loop(), self.outbox, self._turns)

    # -- as the wire's Application

    def connected(self, client: Client) -> HttpAnswer | None:
        """Counts a new connection. Returns the answer with which it is turned away: 503 if there are too many, 418 if its
        address is banned, 429 if it opened too many."""
        if len(self._clients) >= self._connections_max:
            return HttpAnswer(*replies.http_error(Reject(Reason.OVERLOADED)))
        now_ms = self._now_ms()
        try:
            self._state.bans.check(counted_as(client.ip), now_ms)
            self._state.rate_limits.add_connection(client.ip, now_ms)
        except Rejected as rejected:
            return http_refusal(rejected.reject, retry_after(rejected.reject, now_ms))
        self._clients[client] = None
        return None

    def disconnected(self, client: Client) -> None:
        """Forgets a connection that has ended, and all that its session followed."""
        self._clients.pop(client, None)
        if client.session is not None:
            self._router.session_ended(client.session)

    def handle_http(self, client: Client, request: HttpRequest) -> None:
        """Answers a request over HTTP, now or when its command is answered."""
        usage = self._state.rate_limits.weight_of(client.ip, self._now_ms())
        self._router.handle_http(HttpExchange(request, usage, client.respond, client.ip, counted_as(client.ip)))

    def open_session(self, client: Client, request: UpgradeRequest) -> Session | HttpAnswer:
        """The session of a connection that asks for a WebSocket, with the streams of its path; 404 for any other path, 418 if
        its address is banned, 429 if it has no request weight left."""
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
                state.bans.failed(address, now_ms)
            return http_refusal(rejected.reject, retry_after(rejected.reject, now_ms))
        stream_requests.follow_url(self._state.view.feeds, session, streams)
        return session

    def note_conduct(self, client: Client, conduct: Conduct) -> None:
        """Counts frames that are no requests, and a broken rule as a failure of the address."""
        if conduct.broke_rule:
            self._state.bans.failed(counted_as(client.ip), self._now_ms())
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
