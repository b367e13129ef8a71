"""docs/api.md is true: its requests are sent in their order, and what it shows is what comes back, value for value.

The venue is a gateway in process whose clock never moves and whose keys are those of the page. So ids, times and
signatures are always the same, and nothing has to be left out of the comparison.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.records import (
    CLIENT_ID_BYTES,
    EVENTS_BEGIN_MAX,
    KEY_DEFINITION,
    Command,
    CommandKind,
    KeyDefinition,
    KeyType,
    Permission,
)
from gateway import limits
from gateway.auth.usage import AddressUsage
from gateway.dialect import user_events
from gateway.dialect.constants import AHEAD_MS_MAX, WINDOW_MS_DEFAULT, WINDOW_MS_MAX
from gateway.handlers import router, stream_requests
from gateway.handlers.call import Call, Outcome, Route
from gateway.handlers.paths import session_for
from gateway.handlers.routes import ROUTES
from gateway.limits import ConnectionLimits, PipelineLimits, RateLimitSettings
from gateway.wire.frames import encode_text
from gateway.wire.http_side import UpgradeRequest
from tests.worlds.accounts import BY_TEST, TRADER, HmacKey
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient, InProcessConnection

PAGE = (Path(__file__).parent.parent / "docs" / "api.md").read_text()
STREAM_METHODS = {"SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY"}

HMAC_KEY = HmacKey("exampleHmac", "example-secret")
ED25519_ID, ED25519_SEED = "exampleEd25519", bytes(range(32))


# -- the page: sections with blocks and tables


class Block(NamedTuple):
    section: str
    language: str
    text: str

    @property
    def value(self) -> Any:
        return json.loads(self.text)

    @property
    def is_request(self) -> bool:
        return self.language == "json" and isinstance(self.value, dict) and "method" in self.value


_PART = re.compile(
    r"^```(\w+)\n(.*?)^```|^##+ ([^\n]+)$|^((?:\|[^\n]+\|\n)+)|\]\(#([\w-]+)\)", re.MULTILINE | re.DOTALL
)


class Page:
    """The blocks of a page in their order, and by section its tables (title of the first column → rows) and its links."""

    def __init__(self, text: str) -> None:
        self.blocks: list[Block] = []
        self.tables: dict[str, dict[str, list[list[str]]]] = {"": {}}
        self.links: dict[str, set[str]] = {"": set()}
        section = ""
        for found in _PART.finditer(text):
            language, block, title, table, anchor = found.groups()
            if language:
                self.blocks.append(Block(section, language, block))
            elif title:
                section = title
                self.tables[section], self.links[section] = {}, set()
            elif anchor:
                self.links[section].add(anchor)
            else:
                self.links[section].update(re.findall(r"\]\(#([\w-]+)\)", table))
                header, _, *rows = [line.strip("|").split(" | ") for line in table.splitlines()]
                self.tables[section][header[0].strip()] = [[cell.strip() for cell in row] for row in rows]

    def names(self, section: str, kind: str) -> set[str]:
        """The names in the first column of a section's tables of this kind: `field` or `parameter`."""
        return {name for row in self.tables[section].get(kind, ()) for name in re.findall(r"`([^`]+)`", row[0])}

    def linked(self, section: str) -> list[str]:
        """The section and those to which it links."""
        return [section, *(title for title in self.tables if anchor_of(title) in self.links[section])]


def anchor_of(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def keys_of(value: Any) -> Iterator[str]:
    """All names in a JSON value, however deep."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_of(inner)


API = Page(PAGE)
METHOD_ROWS = {row[0].strip("`"): row for row in API.tables["Methods"]["method"]}


# -- the page's venue


class PageVenue:
    """The venue that the page describes: alice with money and two keys, and a book with two orders of bob."""

    def __init__(self, routes: Mapping[str, Route] = ROUTES) -> None:
        # The page sends all its requests in one second.
        self.rig = GatewayInProcess(RateLimitSettings(stream_messages_per_s=100), routes=routes)
        bob = self.rig.trader(BTC="100", KZT="1000000000")
        self.accounts = {"alice": self.rig.account(BTC="10", KZT="500000000")}
        bob.place("BTCKZT", "SELL", "0.5", "50000000")
        bob.place("BTCKZT", "BUY", "0.3", "49000000")
        self.rig.add_hmac_key(self.accounts["alice"], HMAC_KEY)
        self._add_ed25519_key()
        self.usage = AddressUsage()
        self.clients: list[InProcessClient] = []
        self.unread: list[Any] = []

    def _add_ed25519_key(self) -> None:
        public_key = Ed25519PrivateKey.from_private_bytes(ED25519_SEED).public_key().public_bytes_raw()
        definition = KEY_DEFINITION.pack(KeyDefinition(KeyType.ED25519, TRADER))
        command = Command(kind=CommandKind.KEY_ADD, account=self.accounts["alice"])
        self.rig.command(command, definition, ED25519_ID.encode(), public_key, b"", *BY_TEST)

    def get(self, target: str) -> None:
        """GET as the page writes it: opens a connection, or asks over HTTP."""
        path, _, query = target.partition("?")
        if path.startswith("/api/"):
            self.unread.append(self.rig.get(path, query)[1])
            return
        client = self.rig.client()
        client.session, streams = session_for(
            UpgradeRequest(path, query), InProcessConnection(client), self.usage, "ip", self.rig.now_ms
        )
        stream_requests.follow_url(self.rig.view.feeds, client.session, streams)
        self.clients.append(client)

    def send(self, request: dict[str, Any]) -> None:
        """Sends a request on the newest connection that takes it, and lets the venue work until all is sent."""
        is_api = request["method"] not in STREAM_METHODS
        client = next(client for client in reversed(self.clients) if client.session.is_api == is_api)
        client.send(request)
        self.rig.turn()
        for interval_ms in (100, 1000):
            self.rig.view.feeds.send_depth(interval_ms, self.rig.now_ms * 1000)
        self._collect()

    def operate(self, command: str) -> None:
        """A `jibek` command of the page."""
        if deposit := re.match(r"\$ jibek ledger deposit (\w+) (\S+) (\w+) ", command):
            name, amount, asset = deposit.groups()
            self.rig.deposit(self.accounts[name], asset, amount)
        elif command.startswith("$ jibek down"):
            for client in self.clients:
                session = client.session
                event = user_events.server_shutdown(self.rig.now_ms * 1000, session.unit)
                session.send(encode_text(user_events.shutdown_frame(event, session.is_api, session.combined)))
        self._collect()

    def _collect(self) -> None:
        self.unread += [message for client in self.clients for message in client.take()]

    def expect(self, shown: Any, section: str) -> None:
        """Takes a message that has come and is the one shown, with its fields in the same order."""
        came = [json.dumps(message) for message in self.unread]
        if json.dumps(shown) not in came:
            lines = "\n".join(came)
            pytest.fail(f"docs/api.md shows under {section}\n{json.dumps(shown)}\nand what came is\n{lines}")
        del self.unread[came.index(json.dumps(shown))]

    def run(self, block: Block) -> None:
        if block.language == "text" and block.text.startswith("GET "):
            self.get(block.text.split()[1])
        elif block.language == "console":
            self.operate(block.text)
        elif block.is_request:
            self.send(block.value)
        elif block.language == "json":
            self.expect(block.value, block.section)


# -- the tests


def test_the_page_shows_what_happens() -> None:
    venue = PageVenue()
    for block in API.blocks:
        venue.run(block)


def test_every_method_is_shown_with_its_reply() -> None:
    shown = set()
    for request, reply in zip(API.blocks, API.blocks[1:], strict=False):
        if request.is_request and reply.language == "json" and reply.value.get("id") == request.value["id"]:
            assert not reply.is_request
            shown.add(request.value["method"].removeprefix("v3/"))
    assert shown == ROUTES.keys() | STREAM_METHODS


def test_the_table_of_methods_is_that_of_the_router() -> None:
    permissions = {None: "–", Permission.READ: "read", Permission.TRADE: "trade"}
    rows = {
        name: [
            f"`{name}`",
            f"{route.weight} or more" if route.weigh else str(route.weight),
            permissions[route.needs],
            f"`{route.http}`" if route.http else "–",
        ]
        for name, route in ROUTES.items()
    }
    assert {name: row[:4] for name, row in METHOD_ROWS.items()} == rows


def test_the_signatures_are_those_of_the_code_on_the_page() -> None:
    [code] = [block.text for block in API.blocks if block.language == "python"]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/api.md", "exec"), names)
    signed = [block.value["params"] for block in API.blocks if block.is_request and "signature" in block.text]
    assert {params["apiKey"] for params in signed} == {HMAC_KEY.id, ED25519_ID}
    for params in signed:
        signature = params.pop("signature")
        if params["apiKey"] == HMAC_KEY.id:
            assert signature == names["sign_hmac"](HMAC_KEY.secret, params)
        else:
            assert signature == names["sign_ed25519"](ED25519_SEED, params)
    [payload] = [block.text.strip() for block in API.blocks if block.text.startswith("apiKey=")]
    assert payload in map(names["payload"], signed)


def test_its_figures_are_those_of_the_code() -> None:
    connection = ConnectionLimits()
    for phrase in (
        f"at most {connection.message_bytes_max // 1024} KiB",
        f"a ping every {connection.ping_interval_s:.0f} seconds",
        f"no pong comes within {connection.pong_timeout_s:.0f} seconds",
        f"After {connection.life_s / 3600:.0f} hours a connection is closed",
        f"no event after {PipelineLimits().answer_timeout_s:.0f} seconds",
        f"at most {AHEAD_MS_MAX // 1000} s ahead",
        f"{WINDOW_MS_DEFAULT:,} by default, at most {WINDOW_MS_MAX:,}",
        f"{limits.DEPTH_LEVELS_DEFAULT} by default, at most {limits.DEPTH_LEVELS_MAX:,}",
        f"{limits.LIST_ENTRIES_DEFAULT} by default, at most {limits.LIST_ENTRIES_MAX:,}",
        f"an account's last {limits.CLOSED_ORDERS_MAX:,} closed orders and last {limits.TRADES_MAX:,} trades",
        f"the first {EVENTS_BEGIN_MAX:,}",
        f"at most {limits.STREAMS_PER_SESSION_MAX:,} on a connection",
        f"may send {RateLimitSettings().stream_messages_per_s} requests a second",
        f"1 to {CLIENT_ID_BYTES} of",
    ):
        assert phrase in " ".join(PAGE.split()), phrase


ENVELOPES = ("Requests and replies", "User data events", "Market streams")
"""The sections whose tables explain what is around a result or an event."""
MESSAGE_SECTIONS = sorted({block.section for block in API.blocks if block.language == "json" and not block.is_request})


@pytest.mark.parametrize("section", MESSAGE_SECTIONS)
def test_a_section_names_every_field_that_it_shows(section: str) -> None:
    shown = {
        key
        for block in API.blocks
        if block.section == section and block.language == "json" and not block.is_request
        for key in keys_of(block.value)
    }
    named = {name for place in (*API.linked(section), *ENVELOPES) for name in API.names(place, "field")}
    assert shown <= named, f"{section} shows fields that no table explains: {sorted(shown - named)}"


@pytest.mark.parametrize("section", [section for section in API.tables if API.names(section, "field")])
def test_a_table_of_fields_names_only_what_is_shown(section: str) -> None:
    shown = {
        key
        for block in API.blocks
        if block.language == "json" and not block.is_request
        if section in API.linked(block.section) or section in ENVELOPES
        for key in keys_of(block.value)
    }
    named = API.names(section, "field")
    assert named <= shown, f"{section} explains fields that no message has: {sorted(named - shown)}"


# -- parameters


class Asked(dict[str, Any]):
    """Parameters that note which of them a handler asks for."""

    def __init__(self, params: Mapping[str, Any], names: set[str]) -> None:
        super().__init__(params)
        self._names = names

    def get(self, name: str, default: Any = None) -> Any:
        self._names.add(name)
        return super().get(name, default)


def test_a_section_lists_the_parameters_that_its_method_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, set[str]] = {name: set() for name in ROUTES}

    def noting(name: str, route: Route) -> Route:
        def handler(call: Call) -> Outcome:
            call.request.params = Asked(call.request.params, asked[name])
            return route.handler(call)

        return route._replace(handler=handler)

    # The compiled reader of ordinary orders would pass the handlers by.
    monkeypatch.setattr(router, "read_order", lambda *_: None)
    monkeypatch.setattr(router, "read_signed_order", lambda *_: None)
    venue = PageVenue({name: noting(name, route) for name, route in ROUTES.items()})
    for block in API.blocks:
        venue.run(block)
    common = API.names("Signing", "parameter") | API.names("Requests and replies", "parameter")
    assert {name: API.names(name, "parameter") - common for name in ROUTES} == {
        name: names - common for name, names in asked.items()
    }


SIGNING_METHODS = ("session.logon", "userDataStream.subscribe.signature")
MANDATORY = [
    *((name, row[0].strip("`")) for name in ROUTES for row in API.tables[name].get("parameter", ()) if row[1] == "yes"),
    *((name, "timestamp") for name, route in ROUTES.items() if route.needs is not None),
    *((name, parameter) for name in SIGNING_METHODS for parameter in ("apiKey", "signature")),
]


@pytest.mark.parametrize(("method", "name"), MANDATORY)
def test_a_mandatory_parameter_is_asked_for(method: str, name: str) -> None:
    requests = [block.value for block in API.blocks if block.is_request]
    logon = next(request for request in requests if request["method"] == "session.logon")
    request = next(request for request in requests if request["method"] == method and name in request["params"])
    del request["params"][name]
    venue = PageVenue()
    venue.get("/ws-api/v3")
    venue.send(logon)
    venue.unread.clear()
    venue.send(request)
    [reply] = venue.unread
    assert reply["error"]["code"] == -1102 and f"'{name}'" in reply["error"]["msg"], reply


# -- what is not offered


NOT_OFFERED = [
    (kind, name, int(row[1]))
    for row in API.tables["What differs from Binance Spot"]["not offered"]
    for kind in [row[0].partition(" ")[0]]
    for name in re.findall(r"`([^`]+)`", row[0].partition(" of ")[0].partition(", other than")[0])
]


@pytest.mark.parametrize(("kind", "name", "code"), NOT_OFFERED)
def test_what_is_not_offered_is_refused(kind: str, name: str, code: int) -> None:
    rig = GatewayInProcess()
    client = rig.trader(KZT="1000000000")
    order = client.limit("BTCKZT", "BUY", "0.1", "48000000", timestamp=rig.now_ms)
    if kind == "types":
        reply = client.ask("order.place", **{**order, "type": name})
    elif kind in ("parameter", "parameters"):
        reply = client.ask("order.place", **{**order, name: "true"})
    elif kind == "methods":
        reply = client.ask(name)
    else:
        assert kind == "streams"
        reply = rig.client(is_api=False).ask_frame({"id": 1, "method": "SUBSCRIBE", "params": [name]})
    assert reply["error"]["code"] == code, reply
