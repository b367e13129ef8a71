"""The venue that is damaged, and everything that it shows: to its clients, to its operator, in its books.

A `View` is what the venue serves, as texts by name. That of the undamaged venue is the truth, with which the others are
compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from engine.journal import Producer, Store
from engine.records import BatchBuilder, Command, CommandKind, EventEntry, Permission
from gateway.auth.secrets import SECRETS_KEY, load_secret_key, seal
from jibek.venue.directory import read_directory
from ledger.checks import Check, reconcile
from ledger.reports import all_balances, journal
from ledger.snapshot import NotSettled, take_snapshot
from ledger.store import LedgerStore
from tests.worlds.accounts import BY_TEST, Ed25519Key, HmacKey, OperatedVenue
from tests.worlds.clients import Client, signed
from tests.worlds.processes import wait_until
from tests.worlds.venue import VenueProcess

SYMBOLS = ("BTCKZT", "ETHKZT")
FUNDS = {"KZT": "500000000", "BTC": "500", "ETH": "5000"}
TRANSACTIONS_MAX = 1000
NOT_SERVED = "not served: "
"""How the text of a refusal begins: the venue says that it does not show something."""

Key = HmacKey | Ed25519Key


class Trader(NamedTuple):
    """A client of the venue, with the keys that it has."""

    name: str
    account: int
    keys: tuple[Key, ...]


@dataclass
class View:
    """What the venue serves."""

    shown: dict[str, str]
    """By what was asked for: what a client or an operator sees. A refusal begins with `NOT_SERVED`."""
    checks: list[Check]
    """Of the reconciliation; none if it came to no end."""

    @property
    def found(self) -> str:
        """What the reconciliation has found; empty if all is well."""
        return next((f"{check.name}: {check.detail}" for check in self.checks if not check.passed), "")


class Operator(OperatedVenue):
    """The operator of a running venue."""

    def __init__(self, data: Path, client: Store) -> None:
        super().__init__()
        self.data = data
        self.client = client
        self.producer = Producer(client)

    def operate(self, builder: BatchBuilder) -> EventEntry:
        return self.producer.execute(builder)[1]

    def keep_secret(self, key: HmacKey) -> None:
        self.client.hset(SECRETS_KEY, key.id, seal(load_secret_key(self.data), key.id, key.secret.encode()))


class Asker:
    """Someone who asks a gateway on one connection, with one key."""

    def __init__(self, port: int, key: Key) -> None:
        self.key = key
        self.wire = Client(f"ws://127.0.0.1:{port}/ws-api/v3")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The reply to a request that this key signs."""
        return self.wire.ask(method, **signed(self.key, **params))  # type: ignore[no-any-return]

    def order(self, symbol: str, side: str, quantity: str, price: str) -> dict[str, Any]:
        """The reply to a GTC limit order."""
        terms = {"type": "LIMIT", "timeInForce": "GTC", "quantity": quantity, "price": price}
        return self.ask("order.place", symbol=symbol, side=side, **terms)


@contextmanager
def asker(port: int, key: Key) -> Iterator[Asker]:
    """An `Asker` whose connection ends with the block."""
    made = Asker(port, key)
    try:
        yield made
    finally:
        made.wire.close()


# -- the truth


def build(venue: VenueProcess) -> list[Trader]:
    """Gives a running venue accounts, money, keys of both kinds, open orders, trades and cancels. Its log is rewritten once
    on the way, so that it has a base and a part that grows."""
    client = venue.store()
    operator = Operator(venue.data, client)
    clients = [_open(operator, name) for name in ("ann", "ben")]
    _trade(venue.options.port, clients, rounds=3)
    venue.wait_until_settled()
    _rewrite_log(client)
    clients += [_open(operator, name) for name in ("cleo", "dan")]
    withdrawal = Command(kind=CommandKind.WITHDRAW, account=clients[0].account, asset=1, amount=12345)
    operator.command(withdrawal, *BY_TEST)
    revocation = Command(kind=CommandKind.KEY_REVOKE, account=clients[1].account)
    operator.command(revocation, clients[1].keys[2].id.encode(), *BY_TEST)
    _trade(venue.options.port, clients, rounds=4)
    venue.wait_until_settled()
    client.close()
    return clients


def _open(operator: Operator, name: str) -> Trader:
    account = operator.account(**FUNDS)
    keys = operator.ed25519_key(account), operator.hmac_key(account), operator.hmac_key(account, Permission.READ)
    return Trader(name, account, keys)


def _trade(port: int, clients: list[Trader], rounds: int) -> None:
    """Each client offers and asks; some of it meets, some stays, and of what stays some is cancelled."""
    for index, client in enumerate(clients):
        with asker(port, client.keys[index % 2]) as trader:
            for step in range(rounds):
                for symbol, price in zip(SYMBOLS, (40_000_000, 2_000_000), strict=True):
                    near, far = price + 1000 * (step - index), price // 1000 * (900 - 10 * index - step)
                    for side, at in (("BUY", near), ("SELL", near + 1000), ("BUY", far), ("BUY", far)):
                        reply = trader.order(symbol, side, f"0.0{step + 1}", str(at))
                        assert reply["status"] == 200, reply
                    cancelled = trader.ask("order.cancel", symbol=symbol, orderId=reply["result"]["orderId"])
                    assert cancelled["status"] == 200, cancelled


def _rewrite_log(client: Store) -> None:
    client.bgrewriteaof()

    def is_rewritten() -> bool:
        facts = client.info("persistence")
        return not facts["aof_rewrite_in_progress"] and not facts["aof_rewrite_scheduled"]

    wait_until(is_rewritten, "the log is rewritten")


# -- what is served


def look(venue: VenueProcess, clients: list[Trader]) -> View:
    """Everything that a running venue shows, and what its reconciliation says.

    Raises:
        OSError, TimeoutError, redis.ConnectionError, websockets.WebSocketException: a process has ended or is silent.
    """
    shown: dict[str, str] = {}
    for client in clients:
        for number, key in enumerate(client.keys):
            shown |= {f"{client.name}, key {number}, {what}": text for what, text in _ask(venue.options.port, key)}
    store = venue.store()
    try:
        shown |= dict(_operator_view(store, venue.data))
        checks = _checks(store)
    finally:
        store.close()
    return View(shown, checks)


def _ask(port: int, key: Key) -> Iterator[tuple[str, str]]:
    """What one key sees: who it is, its money, orders and trades, and the market."""
    with asker(port, key) as client:
        if isinstance(key, Ed25519Key):
            yield "logon", _text(client.ask("session.logon"))
        yield "account", _text(client.ask("account.status"))
        yield "open orders", _text(client.ask("openOrders.status"))
        for symbol in SYMBOLS:
            yield f"trades {symbol}", _text(client.ask("myTrades", symbol=symbol))
            yield f"depth {symbol}", _text(client.wire.ask("depth", symbol=symbol, limit=50))
        yield "exchange", _text(client.wire.ask("exchangeInfo"))


_OF_THE_MOMENT = ("authorizedSince", "connectedSince", "serverTime", "lastUpdateId", "updateTime")
"""Fields of a result that say when somebody asked, not what the venue holds."""


def _text(reply: dict[str, Any]) -> str:
    if reply.get("status") != 200:
        error = reply.get("error", {})
        return f"{NOT_SERVED}{error.get('code')} {error.get('msg')}"
    result = reply["result"]
    if isinstance(result, dict):
        result = {name: value for name, value in result.items() if name not in _OF_THE_MOMENT}
    return repr(result)


def _operator_view(store: Store, data: Path) -> Iterator[tuple[str, str]]:
    """What the commands of the operator print: accounts and keys, balances, transfers."""
    directory = read_directory(store, data)
    for account in directory.accounts.values():
        yield f"directory, account {account.number}", repr(account)
    yield "directory, markets", repr(sorted(directory.listing.market_by_symbol))
    ledger = LedgerStore(store)
    for row in all_balances(take_snapshot(ledger)):
        yield f"ledger, owner {row.owner}, asset {row.asset}", repr(row)
    yield "ledger, transfers", repr(journal(ledger, limit=TRANSACTIONS_MAX))


def _checks(store: Store) -> list[Check]:
    try:
        return reconcile(LedgerStore(store)).checks
    except NotSettled as error:
        return [Check("the ledger is settled", 0, str(error))]
