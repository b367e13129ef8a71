"""What each method of the dialect does. No I/O: frames come in as bytes and go out through `Session.send`.

Queries are answered at once, from the projection of the events. Commands become an `Ask` in the pipeline and are
answered by `answer`, when the events of their journal entry have come back from the store (promise P4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson

from engine.reasons import Reason
from engine.records import EventEntry, EventKind, Permission
from gateway.auth.sessions import (
    MINUTE_MS,
    TEN_SECONDS_MS,
    WAITING_FOR_SECRET_MAX,
    Key,
    Keys,
    NeedsSecret,
    RateLimits,
    RateLimitSettings,
    ReplayGuard,
    Session,
    authenticate,
    wants_rate_limits,
)
from gateway.dialect import replies as messages
from gateway.dialect import requests as dialect
from gateway.dialect.fast import Ask, SignedAsk, ack_frame, read_order, read_signed_order
from gateway.dialect.numbers import MarketNumbers
from gateway.dialect.refusals import Refusal, refuse
from gateway.dialect.replies import json_list
from gateway.dialect.requests import OrderName, Request, Unreadable
from gateway.journal.pipeline import Pipeline
from gateway.view.accounts import Account, CommandEvents, Order
from gateway.view.feeds import CLOSE_POLICY_VIOLATION, Feeds
from gateway.view.projection import Projection, cancel_client_id
from gateway.wire.connection import HttpRequest, encode_text

DEPTH_LIMIT_DEFAULT = 100
DEPTH_LIMIT_MAX = 5000
LIST_LIMIT_DEFAULT = 500
LIST_LIMIT_MAX = 1000
PERMISSION_NAMES = ((Permission.READ, "USER_DATA"), (Permission.TRADE, "SPOT"))

Headers = tuple[tuple[str, str], ...]
HttpAnswer = tuple[int, bytes, Headers]

_REJECTED = int(EventKind.REJECTED)
_ORDER_CLOSED = int(EventKind.ORDER_CLOSED)
_SIGNATURE = b'"signature"'


CANCEL, CANCEL_ALL = "CANCEL", "CANCEL_ALL"
"""What a cancel waits for; an order.place waits for ACK, RESULT or FULL."""


class Clock(NamedTuple):
    """The two clocks of the gateway, read at the beginning of a turn."""

    now_s: Callable[[], float]
    """Seconds that never go back."""
    now_us: Callable[[], int]
    """Microseconds since 1970 UTC."""


class Methods:
    """Carries out requests.

    Args:
        fetch_secret: asks the store for the sealed secret of a key; `secret_arrived` takes the answer.
        read_up: calls back when all that stands in the store now has been read; False where that cannot be waited for.
        wake: tells that the pipeline has something to send.
    """

    def __init__(
        self,
        projection: Projection,
        feeds: Feeds,
        keys: Keys,
        clock: Clock,
        limits: RateLimitSettings,
        *,
        fetch_secret: Callable[[Key], None],
        read_up: Callable[[Callable[[], None]], bool],
        wake: Callable[[], None],
    ) -> None:
        self.projection = projection
        self.feeds = feeds
        self.keys = keys
        self.clock = clock
        self.rate_limits = RateLimits(limits)
        self.is_store_full = False
        """Whether the store is so full that only what makes it smaller is taken."""
        self.pipeline: Pipeline | None = None
        self._fetch_secret = fetch_secret
        self._read_up = read_up
        self._is_second_look = False
        self._wake = wake
        self.replays = ReplayGuard()
        self.now_s = clock.now_s()
        self.now_ms = clock.now_us() // 1000
        """The time at the beginning of the turn; what is judged by the clock in a turn is judged by the same time."""
        self._symbols: dict[str, bytes] = {}
        self._symbols_version = -1
        self._limits_text, self._order_limits_text = messages.rate_limit_templates(limits)
        keys.revoked = self._key_revoked
        projection.first_fill = self.rate_limits.first_fill
        self._unknown_method = (1, self._unknown)
        self._methods: dict[str, tuple[int, Callable[[Session, Request], None]]] = {
            "ping": (1, self._ping),
            "time": (1, self._time),
            "exchangeInfo": (20, self._exchange_info),
            "depth": (5, self._depth),
            "session.logon": (2, self._logon),
            "session.status": (2, self._session_status),
            "session.logout": (2, self._logout),
            "session.subscriptions": (2, self._session_subscriptions),
            "order.place": (1, self._place),
            "order.cancel": (1, self._cancel),
            "order.status": (4, self._order_status),
            "openOrders.status": (6, self._open_orders),
            "openOrders.cancelAll": (1, self._cancel_all),
            "account.status": (20, self._account_status),
            "myTrades": (20, self._my_trades),
            "userDataStream.subscribe": (2, self._subscribe),
            "userDataStream.subscribe.signature": (2, self._subscribe_signed),
            "userDataStream.unsubscribe": (2, self._unsubscribe),
        }

    # -- messages

    def handle_messages(self, session: Session, messages: Sequence[bytes]) -> None:
        """The text messages that one read of a connection brought."""
        self.now_s = self.clock.now_s()
        self.now_ms = self.clock.now_us() // 1000
        for message in messages:
            self._handle_message(session, message)

    def _handle_message(self, session: Session, message: bytes) -> None:
        if not session.is_api:
            self._handle_stream_message(session, message)
            return
        ask = self._read_plain(session, message)
        if ask is not None and self._take_plain(ask, message):
            return
        request = dialect.read_request(message)
        if type(request) is Unreadable:
            self._send(session, messages.failure(request.id_text, request.refusal, ""))
            return
        assert isinstance(request, Request)
        weight, method = self._methods.get(request.method, self._unknown_method)
        refusal = self.rate_limits.add_weight(session.usage, weight, self.now_ms)
        if refusal is None:
            method(session, request)
        else:
            self._refuse(session, request, refusal, data=self._retry_after(MINUTE_MS))

    def _read_plain(self, session: Session, message: bytes) -> Ask | None:
        """An order or a cancel that needs no long reading, from somebody who may send it; None for anything else."""
        markets, key = self.projection.markets_by_symbol, session.key
        if _SIGNATURE in message:
            signed = read_signed_order(message, markets, session, self.now_ms)
            signer = self._signer(signed) if signed is not None else None
            if signed is None or signer is None or not signer.may_trade:
                return None
            signed.give_account(signer.account)
            return signed
        if key is None or not key.may_trade:
            return None
        return read_order(message, markets, session, key.account, self.now_ms)

    def _signer(self, ask: SignedAsk) -> Key | None:
        """The hmac key that has signed, if its secret is here. A signature that is not right is judged again by the long
        way, which costs too much for other keys."""
        key = self.keys.find(ask.key_id)
        if not isinstance(key, Key) or not key.is_hmac or key.secret is None:
            return None
        return key if key.verifies(ask.payload, ask.signature) else None

    def _take_plain(self, ask: Ask, message: bytes) -> bool:
        """Sends an order or a cancel on its way that needed no long reading; False where that is for the long way to judge,
        which begins anew: nothing is counted yet."""
        session = ask.session
        if self.is_store_full and not ask.reduces:
            return False
        if self.rate_limits.add_weight(session.usage, 1, self.now_ms) is not None:
            return False
        refusal = None if ask.reduces else self._admit_plain(ask)
        if refusal is not None:
            self._refuse_order(session, self._request_again(message), ask.account, refusal)
            return True
        assert self.pipeline is not None
        refusal = self.pipeline.add(ask, self.now_s)
        if refusal is None:
            self._wake()
            return True
        if ask.signed_name is not None:
            self.replays.forget(ask.signed_name)
        self._refuse(session, self._request_again(message), refusal)
        return True

    def _admit_plain(self, ask: Ask) -> Refusal | None:
        """As `_admit_order`."""
        if isinstance(ask, SignedAsk):
            name = ask.key_id, bytes.fromhex(ask.signature)
            refusal = self.replays.admit_name(name, ask.timestamp_ms, ask.expires_ms, self.now_ms)
            if refusal is not None:
                return refusal
            ask.signed_name = name
        refusal = self.rate_limits.add_order(self.rate_limits.orders_of(ask.account), self.now_ms)
        if refusal is not None and ask.signed_name is not None:
            self.replays.forget(ask.signed_name)
        return refusal

    @staticmethod
    def _request_again(message: bytes) -> Request:
        """The request in a message that was a plain order or cancel."""
        request = dialect.read_request(message)
        assert isinstance(request, Request)
        return request

    def session_ended(self, session: Session) -> None:
        """The connection is gone. Commands that are on their way are carried out; nobody hears the answer."""
        session.is_alive = False
        self._forget_key(session)
        self.feeds.forget(session)

    def _send(self, session: Session, payload: bytes) -> None:
        if session.is_alive:
            session.send(encode_text(payload))

    def _reply(self, session: Session, request: Request, result: str) -> None:
        limits = self._limits(session) if wants_rate_limits(session, request.params) else ""
        self._send(session, messages.success(request.id_text, result, limits))

    def _refuse(
        self, session: Session, request: Request, refusal: Refusal, *, data: dict[str, int] | None = None
    ) -> None:
        limits = self._limits(session) if wants_rate_limits(session, request.params) else ""
        cancelling = request.method in ("order.cancel", "openOrders.cancelAll")
        self._send(session, messages.failure(request.id_text, refusal, limits, cancelling=cancelling, data=data))

    def _limits(self, session: Session) -> str:
        return self._limits_text % session.usage.count

    def _order_limits(self, session: Session, account: Account) -> str:
        orders = self.rate_limits.orders_of(account)
        return self._order_limits_text % (orders.ten_seconds.count, orders.day.count, session.usage.count)

    def _retry_after(self, interval_ms: int) -> dict[str, int]:
        now_ms = self.now_ms
        return {"serverTime": now_ms, "retryAfter": now_ms - now_ms % interval_ms + interval_ms}

    def _unknown(self, session: Session, request: Request) -> None:
        self._refuse(session, request, refuse(Reason.UNKNOWN_METHOD, request.method[:100]))

    # -- general

    def _ping(self, session: Session, request: Request) -> None:
        self._reply(session, request, "{}")

    def _time(self, session: Session, request: Request) -> None:
        self._reply(session, request, f'{{"serverTime":{self.clock.now_us() // session.unit}}}')

    def _exchange_info(self, session: Session, request: Request) -> None:
        info = self.exchange_info(request.params, session.unit)
        if isinstance(info, Refusal):
            self._refuse(session, request, info)
        else:
            self._reply(session, request, info.decode())

    def exchange_info(self, params: dict[str, Any], unit: int) -> bytes | Refusal:
        """exchangeInfo of all markets, or of those in `symbol` or `symbols`. Each market is encoded once per change."""
        projection = self.projection
        if self._symbols_version != projection.listing_changes:
            self._symbols_version = projection.listing_changes
            self._symbols = {
                market.symbol: orjson.dumps(messages.symbol_info(market, projection.listing.venue_state))
                for market in projection.markets.values()
            }
        wanted = dialect.symbols_of(params)
        if isinstance(wanted, Refusal):
            return wanted
        if wanted is None:
            symbols = list(self._symbols.values())
        elif all(symbol in self._symbols for symbol in wanted):
            symbols = [self._symbols[symbol] for symbol in wanted]
        else:
            return refuse(Reason.UNKNOWN_SYMBOL)
        limits = messages.rate_limit_settings(self.rate_limits.settings)
        return messages.exchange_info(self.clock.now_us(), unit, limits, symbols)

    def _depth(self, session: Session, request: Request) -> None:
        text = self.depth(request.params)
        if isinstance(text, Refusal):
            self._refuse(session, request, text)
        else:
            self._reply(session, request, text)

    def depth(self, params: dict[str, Any]) -> str | Refusal:
        """A depth snapshot from the present state of the book mirror."""
        market = dialect.market_of(params, self.projection.markets_by_symbol)
        if isinstance(market, Refusal):
            return market
        limit = dialect.integer_of(params, "limit")
        if isinstance(limit, Refusal):
            return limit
        if limit == 0:
            return refuse(Reason.INVALID_PARAMETER, "limit")
        return self.feeds.books[market.number].snapshot(min(limit or DEPTH_LIMIT_DEFAULT, DEPTH_LIMIT_MAX))

    # -- sessions

    def _authenticate(self, session: Session, request: Request, permission: Permission) -> Key | None:
        """The key of the request, if it may do this; None where an answer was sent or the request waits for a secret."""
        key = authenticate(session, request, self.keys, self.now_ms)
        if type(key) is Key:
            if key.definition.permissions & permission:
                return key
            self._refuse(session, request, refuse(Reason.UNAUTHORIZED))
        elif isinstance(key, NeedsSecret):
            self._wait_for_secret(session, request, key.key)
        else:
            assert isinstance(key, Refusal)
            if key.reason != Reason.UNAUTHORIZED or not self._look_again_later(session, request):
                self._refuse(session, request, key)
        return None

    def _look_again_later(self, session: Session, request: Request) -> bool:
        """A key that is not known may be a moment old: its owner has seen it in the store before this gateway has.

        So the request is judged once more when what stands in the store now has been read.
        """
        if self._is_second_look:
            return False

        def look_again() -> None:
            self._is_second_look = True
            try:
                self.handle_messages(session, (request.raw,))
            finally:
                self._is_second_look = False

        return self._read_up(look_again)

    def _wait_for_secret(self, session: Session, request: Request, key: Key) -> None:
        if len(key.waiting) >= WAITING_FOR_SECRET_MAX:
            self._refuse(session, request, refuse(Reason.OVERLOADED))
            return
        key.waiting.append((session, request.raw))
        if len(key.waiting) == 1:
            self._fetch_secret(key)

    def secret_arrived(self, key: Key, secret: bytes | None, refusal: Refusal | None = None) -> None:
        """Takes the secret of a key, or why there is none, and goes on with the requests that wait for it."""
        key.secret = secret
        waiting, key.waiting = key.waiting, []
        for session, raw in waiting:
            if not session.is_alive:
                continue
            if secret is not None:
                self.handle_messages(session, (raw,))
                continue
            request = dialect.read_request(raw)
            assert isinstance(request, Request)
            self._refuse(session, request, refusal or refuse(Reason.UNAUTHORIZED))

    def _logon(self, session: Session, request: Request) -> None:
        params = request.params
        for name in ("apiKey", "signature"):
            if not isinstance(params.get(name), str):
                self._refuse(session, request, refuse(Reason.MISSING_PARAMETER, name))
                return
        found = self.keys.find(params["apiKey"])
        if isinstance(found, Key) and found.is_hmac:
            self._refuse(session, request, refuse(Reason.LOGON_NEEDS_ED25519))
            return
        key = self._authenticate(session, request, Permission.READ)
        if key is None:
            return
        self._forget_key(session)
        session.key = key
        key.sessions[session] = None
        session.authorized_ms = self.clock.now_us() // 1000
        self._session_status(session, request)

    def _session_status(self, session: Session, request: Request) -> None:
        key = session.key
        self._reply(
            session,
            request,
            messages.session_status(
                None if key is None else key.id,
                session.authorized_ms,
                session.connected_ms,
                session.shows_rate_limits,
                self.clock.now_us(),
                session.unit,
                has_subscriptions=bool(session.subscriptions),
            ),
        )

    def _logout(self, session: Session, request: Request) -> None:
        key = session.key
        if key is not None:
            self._end_subscriptions(session, key)
        self._forget_key(session)
        self._session_status(session, request)

    def _forget_key(self, session: Session) -> None:
        if session.key is not None:
            session.key.sessions.pop(session, None)
            session.key = None
            session.authorized_ms = 0

    def _end_subscriptions(self, session: Session, key: Key) -> None:
        for subscription in list(session.subscriptions.values()):
            if subscription.key_id == key.id:
                self.feeds.terminate(subscription, self.clock.now_us())

    def _key_revoked(self, key: Key) -> None:
        """Logs off everybody who used the key, and says so."""
        for subscription in list(key.account.subscriptions):
            if subscription.key_id == key.id:
                self.feeds.terminate(subscription, self.clock.now_us())
        for session in list(key.sessions):
            self._forget_key(session)
            self._send(session, messages.failure(dialect.NO_ID, refuse(Reason.UNAUTHORIZED), ""))

    # -- user data

    def _subscribe(self, session: Session, request: Request) -> None:
        key = session.key
        if key is None:
            self._refuse(session, request, refuse(Reason.LOGON_REQUIRED))
        else:
            self._subscribe_for(session, request, key)

    def _subscribe_signed(self, session: Session, request: Request) -> None:
        key = self._authenticate(session, request, Permission.READ)
        if key is not None:
            self._subscribe_for(session, request, key)

    def _subscribe_for(self, session: Session, request: Request, key: Key) -> None:
        id = self.feeds.subscribe(session, key.account, key.id)
        if isinstance(id, Refusal):
            self._refuse(session, request, id)
        else:
            self._reply(session, request, f'{{"subscriptionId":{id}}}')

    def _unsubscribe(self, session: Session, request: Request) -> None:
        """Ends one subscription, or all. Needs no signature: whoever holds the connection may stop listening."""
        id = dialect.integer_of(request.params, "subscriptionId")
        if isinstance(id, Refusal):
            self._refuse(session, request, id)
            return
        if id is not None and id not in session.subscriptions:
            self._refuse(session, request, refuse(Reason.SUBSCRIPTION_NOT_ACTIVE))
            return
        self._reply(session, request, "{}")
        for subscription in list(session.subscriptions.values()):
            if id is None or subscription.id == id:
                self.feeds.terminate(subscription, self.clock.now_us())

    def _session_subscriptions(self, session: Session, request: Request) -> None:
        self._reply(session, request, json_list(f'{{"subscriptionId":{id}}}' for id in session.subscriptions))

    # -- orders

    def _place(self, session: Session, request: Request) -> None:
        key = self._authenticate(session, request, Permission.TRADE)
        if key is None:
            return
        account = key.account
        placed = dialect.place_order(request, self.projection.markets_by_symbol, account.number)
        if isinstance(placed, Refusal):
            self._refuse_order(session, request, account, placed)
            return
        refusal = self._admit_order(key, request)
        if refusal is not None:
            self._refuse_order(session, request, account, refusal)
            return
        command, response = placed
        shows_limits = wants_rate_limits(session, request.params)
        ask = Ask(session, account, request.id_text, command, response, shows_limits, request.expires_ms)
        if "signature" in request.params:
            ask.signed_name = self.replays.name_of(key, request)
        self._ask(session, request, ask)

    def _admit_order(self, key: Key, request: Request) -> Refusal | None:
        """Judges a new order that is well formed: is there room, was it sent before, has the account sent too many."""
        if self.is_store_full:
            return refuse(Reason.OVERLOADED)
        is_signed = "signature" in request.params
        refusal = self.replays.admit(key, request, self.now_ms) if is_signed else None
        if refusal is None:
            refusal = self.rate_limits.add_order(self.rate_limits.orders_of(key.account), self.now_ms)
            if refusal is not None and is_signed:
                self.replays.forget(self.replays.name_of(key, request))
        return refusal

    def _refuse_order(self, session: Session, request: Request, account: Account, refusal: Refusal) -> None:
        limits = self._order_limits(session, account) if wants_rate_limits(session, request.params) else ""
        data = self._retry_after(TEN_SECONDS_MS) if refusal.reason == Reason.TOO_MANY_NEW_ORDERS else None
        self._send(session, messages.failure(request.id_text, refusal, limits, data=data))

    def _ask(self, session: Session, request: Request, ask: Ask) -> None:
        """Sends a command on its way."""
        assert self.pipeline is not None
        refusal = self.pipeline.add(ask, self.now_s)
        if refusal is None:
            self._wake()
            return
        if ask.signed_name is not None:
            self.replays.forget(ask.signed_name)
        self._refuse(session, request, refusal)

    def _cancel(self, session: Session, request: Request) -> None:
        key = self._authenticate(session, request, Permission.TRADE)
        if key is None:
            return
        account = key.account
        cancel = self._read_cancel(request, account)
        if isinstance(cancel, Refusal):
            self._refuse(session, request, cancel)
            return
        command, blob = cancel
        shows_limits = wants_rate_limits(session, request.params)
        ask = Ask(session, account, request.id_text, command, CANCEL, shows_limits, request.expires_ms, True, blob)
        self._ask(session, request, ask)

    def _read_cancel(self, request: Request, account: Account) -> tuple[bytes, bytes] | Refusal:
        params = request.params
        market = dialect.market_of(params, self.projection.markets_by_symbol)
        if isinstance(market, Refusal):
            return market
        name = dialect.order_name(params)
        if isinstance(name, Refusal):
            return name
        if not _names_agree(account, name):
            return refuse(Reason.CLIENT_ID_MISMATCH)
        return dialect.cancel_order(params, market, account.number, name)

    def _cancel_all(self, session: Session, request: Request) -> None:
        key = self._authenticate(session, request, Permission.TRADE)
        if key is None:
            return
        market = dialect.market_of(request.params, self.projection.markets_by_symbol)
        if isinstance(market, Refusal):
            self._refuse(session, request, market)
            return
        command = dialect.cancel_all(market, key.account.number)
        shows_limits = wants_rate_limits(session, request.params)
        ask = Ask(session, key.account, request.id_text, command, CANCEL_ALL, shows_limits, request.expires_ms, True)
        self._ask(session, request, ask)

    # -- answers

    def answer(self, ask: Ask, events: CommandEvents, entry: EventEntry) -> None:
        """Answers a command with its events, which the projection has applied."""
        session = ask.session
        if not session.is_alive:
            return
        limits = self._order_limits(session, ask.account) if ask.shows_rate_limits else ""
        context = ask.context
        if events.first_kind == _REJECTED:
            refusal = refuse(Reason(events.first_reason))
            payload = messages.failure(ask.id_text, refusal, limits, cancelling=ask.reduces)
        elif ask.reduces:
            payload = messages.success(ask.id_text, self._cancelled(ask, events, entry), limits)
        elif context == "ACK":
            projection = self.projection
            frame = ack_frame(ask.id_text, projection.placed, projection.time_us // session.unit, limits)
            if frame is not None:
                session.send(frame)
                return
            text = messages.order_ack(projection.placed, projection.time_us, session.unit)
            payload = messages.success(ask.id_text, text, limits)
        else:
            fills = self.projection.fills if context == "FULL" else None
            text = messages.order_result(self.projection.placed, self.projection.time_us, session.unit, fills)
            payload = messages.success(ask.id_text, text, limits)
        session.send(encode_text(payload))

    def _cancelled(self, ask: Ask, events: CommandEvents, entry: EventEntry) -> str:
        time_us, unit = self.projection.time_us, ask.session.unit
        closings = [event for event in events if event.kind == _ORDER_CLOSED]
        texts = [
            messages.cancel_result(order, cancel_client_id(event, entry, order), time_us, unit)
            for event, order in zip(closings, self.projection.closed, strict=True)
        ]
        return json_list(texts) if ask.context == CANCEL_ALL else texts[0]

    def refused(self, ask: Ask, refusal: Refusal) -> None:
        """A command is not carried out, or its outcome is unknown."""
        if ask.signed_name is not None and refusal.reason != Reason.OUTCOME_UNKNOWN:
            self.replays.forget(ask.signed_name)
        limits = self._order_limits(ask.session, ask.account) if ask.shows_rate_limits else ""
        self._send(ask.session, messages.failure(ask.id_text, refusal, limits, cancelling=ask.reduces))

    # -- queries about an account

    def _order_status(self, session: Session, request: Request) -> None:
        key = self._authenticate(session, request, Permission.READ)
        if key is None:
            return
        found = self._find_order(request, key.account)
        if isinstance(found, Refusal):
            self._refuse(session, request, found)
        else:
            self._reply(session, request, messages.order_status(found, session.unit))

    def _find_order(self, request: Request, account: Account) -> Order | Refusal:
        market = dialect.market_of(request.params, self.projection.markets_by_symbol)
        if isinstance(market, Refusal):
            return market
        name = dialect.order_name(request.params)
        if isinstance(name, Refusal):
            return name
        if not _names_agree(account, name):
            return refuse(Reason.CLIENT_ID_MISMATCH)
        order = account.find(name.order_id, name.client)
        return order if order is not None and order.market is market else refuse(Reason.ORDER_NOT_FOUND)

    def _market_filter(self, params: dict[str, Any]) -> MarketNumbers | Refusal | None:
        return (
            dialect.market_of(params, self.projection.markets_by_symbol) if params.get("symbol") is not None else None
        )

    def _open_orders(self, session: Session, request: Request) -> None:
        key = self._authenticate(session, request, Permission.READ)
        if key is None:
            return
        market = self._market_filter(request.params)
        if isinstance(market, Refusal):
            self._refuse(session, request, market)
            return
        orders = key.account.open_orders(market)
        self._reply(session, request, json_list(messages.order_status(order, session.unit) for order in orders))

    def _account_status(self, session: Session, request: Request) -> None:
        key = self._authenticate(session, request, Permission.READ)
        if key is None:
            return
        text = messages.account_status(
            key.account,
            self.projection.listing,
            permissions=[name for permission, name in PERMISSION_NAMES if key.may(permission)],
            omit_zero=dialect.flag_of(request.params, "omitZeroBalances", False),
            unit=session.unit,
        )
        self._reply(session, request, text)

    def _my_trades(self, session: Session, request: Request) -> None:
        """The last trades of the account in a market, oldest first; only those that are remembered."""
        key = self._authenticate(session, request, Permission.READ)
        if key is None:
            return
        params = request.params
        market = dialect.market_of(params, self.projection.markets_by_symbol)
        order_id = dialect.integer_of(params, "orderId")
        limit = dialect.integer_of(params, "limit")
        for value in (market, order_id, limit):
            if isinstance(value, Refusal):
                self._refuse(session, request, value)
                return
        assert not isinstance(order_id, Refusal) and not isinstance(limit, Refusal)
        trades = [
            trade
            for trade in key.account.trades
            if trade.market is market and (order_id is None or trade.order_id == order_id)
        ]
        shown = trades[-min(limit or LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX) :]
        self._reply(session, request, json_list(messages.own_trade(trade, session.unit) for trade in shown))

    # -- streams

    def _handle_stream_message(self, session: Session, message: bytes) -> None:
        if not self.rate_limits.may_control(session, self.now_ms):
            session.close(CLOSE_POLICY_VIOLATION, "too many requests in a second")
            return
        request = dialect.read_stream_request(message)
        if isinstance(request, Unreadable):
            self._send(session, messages.stream_error(request.id_text, request.refusal))
            return
        result = self._carry_out_stream_request(session, request)
        if isinstance(result, Refusal):
            self._send(session, messages.stream_error(request.id_text, result))
        else:
            self._send(session, messages.stream_result(request.id_text, result[0]))

    def _carry_out_stream_request(self, session: Session, request: dialect.StreamRequest) -> tuple[object] | Refusal:
        """The result of a stream request, in a tuple of one."""
        method, params = request.method, request.params
        if method == "LIST_SUBSCRIPTIONS":
            return (list(session.streams),)
        if method == "GET_PROPERTY" and params == ["combined"]:
            return (session.combined,)
        if method == "SET_PROPERTY" and len(params) == 2 and params[0] == "combined" and type(params[1]) is bool:
            session.combined = params[1]
            return (None,)
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return refuse(Reason.INVALID_STREAM_REQUEST, f"method {method[:50]} or its params are not supported")
        if not params or not all(type(stream) is str for stream in params):
            return refuse(Reason.INVALID_STREAM_REQUEST, "params must be stream names")
        if method == "UNSUBSCRIBE":
            for stream in params:
                self.feeds.unfollow(session, stream)
            return (None,)
        refusal = self.feeds.check_follow(session, params)
        if refusal is not None:
            return refusal
        for stream in params:
            self.feeds.follow(session, stream)
        return (None,)

    def follow_url(self, session: Session, streams: Sequence[str]) -> None:
        """Subscribes to the streams that a URL names. Unknown names are passed over: some clients connect to any path."""
        for stream in streams:
            if self.feeds.check_follow(session, (stream,)) is None:
                self.feeds.follow(session, stream)

    # -- HTTP

    def handle_http(self, ip: str, request: HttpRequest) -> HttpAnswer:
        """Answers a GET of /api/v3: status, body, headers."""
        self.now_ms = self.clock.now_us() // 1000
        weight, method = _HTTP_METHODS.get(request.path, (1, None))
        usage = self.rate_limits.weight_of(ip, self.now_ms)
        refusal = self.rate_limits.add_weight(usage, weight, self.now_ms)
        headers = (("X-MBX-USED-WEIGHT-1M", str(usage.count)),)
        if refusal is not None:
            status, body = messages.http_error(refusal)
            wait_s = (MINUTE_MS - self.now_ms % MINUTE_MS) // 1000 + 1
            return status, body, (*headers, ("Retry-After", str(wait_s)))
        if method is None:
            _, body = messages.http_error(refuse(Reason.UNKNOWN_METHOD, request.path[:100]))
            return HTTPStatus.NOT_FOUND, body, headers
        if request.method not in ("GET", "HEAD"):
            _, body = messages.http_error(refuse(Reason.UNKNOWN_METHOD, f"{request.method} {request.path}"))
            return HTTPStatus.METHOD_NOT_ALLOWED, body, (*headers, ("Allow", "GET"))
        answer = self._carry_out_http(method, request)
        if isinstance(answer, Refusal):
            status, body = messages.http_error(answer)
            return status, body, headers
        return HTTPStatus.OK, answer, headers

    def _carry_out_http(self, method: str, request: HttpRequest) -> bytes | Refusal:
        params = dialect.query_params(request.query)
        if isinstance(params, Refusal):
            return params
        unit = dialect.unit_of(request.headers.get(b"x-mbx-time-unit", b"").decode("ascii", "replace") or None)
        if isinstance(unit, Refusal):
            return unit
        if method == "time":
            return f'{{"serverTime":{self.clock.now_us() // unit}}}'.encode()
        if method == "exchangeInfo":
            return self.exchange_info(dict(params), unit)
        if method == "depth":
            text = self.depth(dict(params))
            return text if isinstance(text, Refusal) else text.encode()
        return b"{}"


_HTTP_METHODS = {f"/api/v3/{name}": (weight, name) for name, weight in {"ping": 1, "time": 1, "exchangeInfo": 20, "depth": 5}.items()}  # fmt: skip


def _names_agree(account: Account, name: OrderName) -> bool:
    """Whether both names of a request mean the same order, as far as it is known here."""
    if name.order_id is None or name.client is None:
        return True
    order = account.find(name.order_id, None)
    return order is None or order.client == name.client
