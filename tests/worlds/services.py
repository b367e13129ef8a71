"""A venue for tests: a real store, the reference engine's process, a gateway process, and clients with their own keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.sync.client import ClientConnection, connect

from engine.decimals import parse_decimal
from engine.journal import Producer, ensure_functions, first_event, library_code, start_venue
from engine.reasons import Reason
from engine.records import (
    KEY_DEFINITION,
    BatchBuilder,
    Command,
    CommandKind,
    Event,
    EventKind,
    KeyDefinition,
    KeyType,
    Permission,
)
from engine.venue_file import load_venue
from gateway.auth.secrets import SECRETS_KEY, create_secret_key, seal
from tests.worlds.store import StoreProcess

SCALES = {asset.name: asset.scale for asset in load_venue().assets}
ASSETS = {asset.name: asset.number for asset in load_venue().assets}
MARKETS = {symbol: number for number, (symbol, _) in enumerate(load_venue().markets, start=1)}
TRADER = Permission.READ | Permission.TRADE
BY_TEST = (b"test", b"test")
START_TIMEOUT_S = 30.0


class Process:
    """A service of the venue; its log goes to a file that is shown when it does not start."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=log, cwd=Path(__file__).parents[2]
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{name} did not start: {self.log.read_text()}"
        self.ready = json.loads(line)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=10)


class Venue:
    """Store, engine, gateway; `clients` open accounts and keys through the journal, as the command line does."""

    def __init__(self, *gateway_options: str, maxmemory: str = "512mb") -> None:
        self.store = StoreProcess(maxmemory)
        self.client = self.store.client()
        self.data = self.store.folder
        self.secret_key = create_secret_key(self.data)
        self.gateway_options = gateway_options
        self.processes: dict[str, Process] = {}
        self._names = itertools.count(1)
        try:
            ensure_functions(self.client, "jibek_journal", library_code("engine.journal", "journal.lua"))
            start_venue(self.client)
            self.start_engine()
            self.operator = Producer(self.client)
            for builder in load_venue().batches("test"):
                self.operator.execute(builder)
            self.start_gateway()
        except BaseException:
            self.close()
            raise

    def start_engine(self) -> None:
        self.processes["engine"] = Process(
            self.data, "engine", "engine.service", "--store", self.store.url, "--data", str(self.data),
            "--engine", "reference",
        )  # fmt: skip

    def start_gateway(self, port: int = 0) -> None:
        self.processes["gateway"] = Process(
            self.data, "gateway", "gateway.service", "--store", self.store.url, "--data", str(self.data),
            "--port", str(port), *self.gateway_options,
        )  # fmt: skip
        self.port = self.processes["gateway"].ready["port"]

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        self.client.close()
        self.store.remove()

    # -- what an operator does

    def command(self, command: Command, *parts: bytes) -> Event:
        builder = BatchBuilder()
        builder.add(command, *parts)
        _, entry = self.operator.execute(builder)
        event = first_event(entry)
        assert event.kind != EventKind.REJECTED, Reason(event.reason)
        return event

    def account(self, **deposits: str) -> int:
        name = f"client{next(self._names)}"
        account = self.command(Command(kind=CommandKind.ACCOUNT_ADD), name.encode(), *BY_TEST).account
        for asset, amount in deposits.items():
            units = parse_decimal(amount, SCALES[asset])
            command = Command(kind=CommandKind.DEPOSIT, account=account, asset=ASSETS[asset], amount=units)
            self.command(command, *BY_TEST)
        return account

    def hmac_key(self, account: int, permissions: int = TRADER) -> HmacKey:
        key = HmacKey(f"hmac{next(self._names)}", os.urandom(16).hex())
        self.client.hset(SECRETS_KEY, key.id, seal(self.secret_key, key.id, key.secret.encode()))
        self._add_key(account, key.id, KeyDefinition(KeyType.HMAC_SHA256, permissions), b"")
        return key

    def ed25519_key(self, account: int, permissions: int = TRADER) -> Ed25519Key:
        key = Ed25519Key(f"ed{next(self._names)}", Ed25519PrivateKey.generate())
        public_key = key.private_key.public_key().public_bytes_raw()
        self._add_key(account, key.id, KeyDefinition(KeyType.ED25519, permissions), public_key)
        return key

    def _add_key(self, account: int, key_id: str, definition: KeyDefinition, public_key: bytes) -> None:
        command = Command(kind=CommandKind.KEY_ADD, account=account)
        self.command(command, KEY_DEFINITION.pack(definition), key_id.encode(), public_key, *BY_TEST)

    # -- what clients do

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def api(self, query: str = "") -> Client:
        return Client(self.url(f"/ws-api/v3{query}"))

    def stream(self, path: str) -> Client:
        return Client(self.url(path))

    def trader(self, **deposits: str) -> Client:
        """A client with money whose session is logged on."""
        client = self.api()
        client.logon(self.ed25519_key(self.account(**deposits)))
        return client


class HmacKey:
    def __init__(self, id: str, secret: str) -> None:
        self.id = id
        self.secret = secret

    def sign(self, payload: str) -> str:
        return hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


class Ed25519Key:
    def __init__(self, id: str, private_key: Ed25519PrivateKey) -> None:
        self.id = id
        self.private_key = private_key

    def sign(self, payload: str) -> str:
        return base64.b64encode(self.private_key.sign(payload.encode())).decode()


class Client:
    """A WebSocket client of the `websockets` library."""

    def __init__(self, url: str) -> None:
        self.socket: ClientConnection = connect(url, max_size=None, open_timeout=10).__enter__()
        self.events: list[Any] = []
        """What came that was not the reply waited for."""
        self._ids = itertools.count(1)

    def close(self) -> None:
        self.socket.close()

    def receive(self, timeout_s: float = 10.0) -> Any:
        return json.loads(self.socket.recv(timeout=timeout_s))

    def send(self, frame: object) -> None:
        self.socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    def ask(self, method: str, **params: Any) -> Any:
        """Sends a request and returns its reply; events that come before it are kept."""
        id = next(self._ids)
        self.send({"id": id, "method": method, "params": params})
        return self.reply_to(id)

    def reply_to(self, id: object) -> Any:
        while True:
            message = self.receive()
            if message.get("id") == id:
                return message
            self.events.append(message)

    def result(self, method: str, **params: Any) -> Any:
        reply = self.ask(method, **params)
        assert reply.get("status") == 200, reply
        return reply["result"]

    def refusal(self, method: str, **params: Any) -> tuple[int, str]:
        reply = self.ask(method, **params)
        assert reply["status"] != 200, reply
        return reply["error"]["code"], reply["error"]["msg"]

    def event(self, timeout_s: float = 10.0) -> Any:
        """The next message that is no reply."""
        return self.events.pop(0) if self.events else self.receive(timeout_s)

    def signed(self, key: HmacKey | Ed25519Key, **params: Any) -> dict[str, Any]:
        params = {"timestamp": now_ms(), "apiKey": key.id, **params}
        payload = "&".join(f"{name}={json_text(params[name])}" for name in sorted(params))
        return {**params, "signature": key.sign(payload)}

    def logon(self, key: Ed25519Key) -> Any:
        return self.result("session.logon", **self.signed(key))

    def place(self, symbol: str, side: str, quantity: str, price: str, **params: Any) -> Any:
        """A GTC limit order on a logged-on session; its result."""
        return self.result("order.place", **limit_order(symbol, side, quantity, price, **params))


def limit_order(symbol: str, side: str, quantity: str, price: str, **params: Any) -> dict[str, Any]:
    return {
        "symbol": symbol, "side": side, "type": "LIMIT", "timeInForce": "GTC", "quantity": quantity, "price": price,
        "timestamp": now_ms(), **params,
    }  # fmt: skip


def json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
