"""The venue that is damaged, and everything that it shows: to its clients, to its operator, in its books.

A `View` is what the venue serves, as texts by name. That of the undamaged venue is the truth, with which the others are
compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner

from engine.journal import Producer, Store
from engine.records import BatchBuilder, Command, CommandKind, EventEntry, Permission
from gateway.auth.secrets import SECRETS_KEY, load_secret_key, seal
from jibek.main import main
from tests.worlds.accounts import BY_TEST, Ed25519Key, HmacKey, OperatedVenue
from tests.worlds.clients import Client, signed
from tests.worlds.processes import wait_until
from tests.worlds.venue import VenueProcess

SYMBOLS = ("BTCKZT", "ETHKZT")
NAMES = ("ann", "ben", "cleo", "dan")
FUNDS = {"KZT": "500000000", "BTC": "500", "ETH": "5000"}
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
    found: str = ""
    """What the reconciliation has found; empty if all is well."""


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
    clients = [_open(operator, name) for name in NAMES[:2]]
    _trade(venue.options.port, clients, rounds=3)
    venue.wait_until_settled()
    _rewrite_log(client)
    clients += [_open(operator, name) for name in NAMES[2:]]
    withdrawal = Command(kind=CommandKind.WITHDRAW, account=clients[0].account, asset=1, amount=12345)
    operator.command(withdrawal, *BY_TEST)
    revocation = Command(kind=CommandKind.KEY_REVOKE, account=clients[1].account)
    operator.command(revocation, clients[1].keys[2].id.encode(), *BY_TEST)
    _trade(venue.options.port, clients, rounds=4)
    venue.wait_until_settled()
    client.close()
    return clients


def _open(operator: Operator, name: str) -> Trader:
    account = operator.command(Command(kind=CommandKind.ACCOUNT_ADD), name.encode(), *BY_TEST).account
    for asset, amount in FUNDS.items():
        operator.deposit(account, asset, amount)
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
    shown |= dict(_operator_view(venue.data))
    return View(shown, _reconcile(venue.data))


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


# -- what the operator sees

COMMANDS = {
    "accounts": ("account", "list"),
    **{f"keys of {name}": ("account", "show", name) for name in NAMES},
    "markets": ("market", "list"),
    "ledger, balances": ("ledger", "balances"),
    "ledger, transfers": ("ledger", "journal", "--limit", "1000"),
}
"""What is asked for -> the command that prints it."""
_READ_AT = ("id", "settled_to")
"""Fields that say at which entry a command has read."""


def _operator_view(data: Path) -> Iterator[tuple[str, str]]:
    """What the operator's commands print."""
    for what, command in COMMANDS.items():
        code, printed = _jibek(data, *command)
        found = json.loads(printed) if code == 0 else {}
        if isinstance(found, dict):
            found = {name: value for name, value in found.items() if name not in _READ_AT}
        yield what, f"{NOT_SERVED}{printed}" if code else json.dumps(found)


def _reconcile(data: Path) -> str:
    """What `jibek ledger reconcile` finds; empty if nothing."""
    code, printed = _jibek(data, "ledger", "reconcile")
    if code == 0:
        return ""
    try:
        bad = [check for check in json.loads(printed)["checks"] if not check["passed"]]
    except ValueError:
        return printed
    return f"{bad[0]['name']}: {bad[0]['detail']}"


def _jibek(data: Path, *arguments: str) -> tuple[int, str]:
    """Exit code of a command, and what it prints; its error if it fails without a result. It runs in this process.

    Raises:
        Exception: what the command does not catch, and its user would see as a traceback.
    """
    result = CliRunner().invoke(main, [*arguments, "--json", "--data", str(data)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, (result.stdout or result.stderr).strip()
