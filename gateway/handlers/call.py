"""The contract between the router and the handlers: a Call goes in, a result or a PendingCommand comes out.

A handler raises `Rejected` to refuse. It never sends anything: the router alone writes replies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from engine.journal import Mark
from engine.records import Permission
from gateway.auth.authentication import authenticate
from gateway.auth.keys import Key, Keys
from gateway.auth.sessions import Caller
from gateway.dialect.numbers import MarketNumbers
from gateway.dialect.requests import Request, market_of
from gateway.handlers.state import GatewayState
from gateway.journal.pending import PendingCommand
from gateway.view.accounts import Account


class Call:
    """One request on its way through the router.

    Args:
        caller: who gets the reply.
        request: what was asked.
        state: what all handlers share.
    """

    __slots__ = ("_key", "caller", "mark", "request", "state")

    def __init__(self, caller: Caller, request: Request, state: GatewayState) -> None:
        self.caller = caller
        self.request = request
        self.state = state
        self._key: Key | None = None
        self.mark: Mark | None = None
        """What the request's own signature leaves behind; None where it needs none, or its session is logged on."""

    @property
    def params(self) -> Mapping[str, Any]:
        return self.request.params

    @property
    def key(self) -> Key:
        """The key that the router has authenticated. Only routes that need a permission have one."""
        assert self._key is not None, f"{self.request.method} needs no key"
        return self._key

    @property
    def authenticated_key(self) -> Key | None:
        """The key, if the router has authenticated one."""
        return self._key

    @property
    def account(self) -> Account:
        """The account of the key, never one that the request names."""
        return self.key.account

    @property
    def authenticated_account(self) -> Account | None:
        """The account, if the router has authenticated one."""
        return None if self._key is None else self._key.account

    def authenticated(self, key: Key) -> None:
        """Notes the key that the router, or a handler that needs the key of the session, has authenticated."""
        self._key = key

    def market(self) -> MarketNumbers:
        """The market of the mandatory parameter `symbol`. Raises Rejected."""
        return market_of(self.request.params, self.state.view.projection.markets_by_symbol)


class Result(NamedTuple):
    """The answer to a request that was carried out at once."""

    text: str
    """JSON."""
    then: Callable[[], None] | None = None
    """What happens once the reply is written."""


class LongResult(NamedTuple):
    """A result that may be long: it is made as the client takes it, and shows what is so at that moment."""

    pieces: Iterable[str]
    """JSON text, cut anywhere."""
    size_bytes: int
    """What the pieces hold in memory until they are made."""


Outcome = Result | LongResult | PendingCommand
Handler = Callable[[Call], Outcome]
Weigh = Callable[[Mapping[str, Any]], int]
Authenticate = Callable[[Key | None, Request, Keys, int, int], Key]


class Route(NamedTuple):
    """What a method does and what it costs."""

    handler: Handler
    weight: int
    """Request weight, at least; `gateway.handlers.weights` says what comes on top."""
    needs: Permission | None = None
    """What the key must allow; None: no key is needed."""
    http: str = ""
    """Where it is offered over HTTP, as `GET /api/v3/depth`; empty: nowhere."""
    cancels: bool = False
    """Whether it is a cancel: the engine's refusals of one have a code of their own."""
    counts_orders: bool = False
    """Whether its replies show how many orders the account has placed."""
    opens: bool = False
    """Whether it opens something, so that its signature is not accepted again, as that of a command is not."""
    authenticate: Authenticate = authenticate
    weigh: Weigh | None = None
    """What it weighs by its parameters; None: always `weight`."""
