"""Writes docs/limits.md: every bound of the gateway, from the constants that set it, and what happens when it is reached.

    python -m gateway.pages.limits_page

A test keeps the page current.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engine.records import (
    AMOUNT_MAX,
    BATCH_COMMANDS_MAX,
    CLIENT_ID_BYTES,
    EVENTS_BEGIN_MAX,
    EVENTS_MAX,
    FILLS_MAX,
)
from gateway import limits
from gateway.dialect import constants
from gateway.handlers import weights
from gateway.limits import BanSettings, ConnectionLimits, PipelineLimits, RateLimitSettings

PAGE = Path(__file__).parent.parent.parent / "docs" / "limits.md"

HEAD = """\
# Limits

Written by `python -m gateway.pages.limits_page` from the constants in the code; a test keeps it current. Do not edit.

Every queue, cache and buffer of the gateway is bounded, and so is what the engine does at once. This page gives each bound and what
happens when you reach it. Bounds are defaults, and the last column says where you change one. An option is one of `python -m
gateway.service`. `jibek up` takes `--connections-max`, `--connections-per-address-max` and `--failures-max`, too, and passes them on; it
takes none of the others. `limits` is a number of a tier.

A **tier** says how much an account may ask for. Every account is in the tier `default` until you give it another, and
a client that has not signed anything has the numbers of `default`, too. You define tiers in the tables `[limits.TIER]` of venue.toml, which an empty journal
begins with ([examples/venue.toml](../examples/venue.toml)), and change them later with `jibek limits set`; `jibek account limits NAME
--tier TIER` puts an account into one. Both are commands in the journal, and every gateway obeys them at once. A tier has only the
numbers that differ from those of `default`. Connections and stream connections count before anybody logs on, so only `default` has
numbers for them. Request weight is counted by address and tier: a session that has signed a request may use what its own tier allows.
So a tier can raise what an account may ask for, but it cannot lower it for an address: requests without a signature count under `default`.

Over TLS, a connection that is turned away is closed before its handshake, without an answer. Requests on stream connections
are refused without a `retryAfter`.
[errors.md](errors.md) explains the codes.
"""


class Bound(NamedTuple):
    name: str
    bound: str
    answer: str
    option: str = ""
    tier: str = ""
    """The number of a tier that sets it."""


WIRE, PIPELINE, RATES, BANS = ConnectionLimits(), PipelineLimits(), RateLimitSettings(), BanSettings()
BOUNDS: dict[str, list[Bound]] = {
    "Connections": [
        Bound("open connections", f"{limits.CONNECTIONS_MAX:,}", "HTTP 503 with -1008, then closed; over TLS closed without an answer", "--connections-max"),
        Bound(
            "new connections from an address in 5 minutes",
            f"{RATES.connections_per_5_min:,}",
            "HTTP 429 with -1034 and Retry-After, then closed; over TLS closed without an answer",
            tier="connections_per_5_min",
        ),
        Bound(
            "open connections of an address, or of a /64 network of IPv6",
            f"{limits.CONNECTIONS_PER_ADDRESS_MAX:,}",
            "HTTP 429 with -1034, then closed; over TLS closed without an answer",
            "--connections-per-address-max",
        ),
        Bound("connections that are taken in at once", f"{limits.ACCEPTED_PER_TURN_MAX}", "the others wait for the next turn"),
        Bound("TLS handshakes that begin, or go on, at once", f"{limits.TLS_HANDSHAKES_PER_TURN_MAX}", "the others wait for the next turn"),
        Bound("time to the end of the TLS handshake", f"{WIRE.open_timeout_s:.0f} s", "closed"),
        Bound("time to end TLS in order", f"{limits.TLS_SHUTDOWN_TIMEOUT_S:.0f} s", "the connection is dropped"),
        Bound("connections turned away that may still read why", f"{limits.TURNED_AWAY_MAX}, for {limits.TURNED_AWAY_S:.0f} s", "closed"),
        Bound("header of the PROXY protocol", f"{limits.PROXY_HEADER_BYTES_MAX:,} bytes, {WIRE.open_timeout_s:.0f} s", "closed"),
        Bound(
            "file descriptors in addition to one for each connection",
            f"{limits.TURNED_AWAY_MAX + limits.DESCRIPTORS_SPARE}",
            "the gateway raises its soft limit; where the hard limit is lower, fewer connections are let in, and the log says so",
        ),
        Bound("addresses whose network is remembered", f"{limits.ADDRESSES_REMEMBERED_MAX:,}", "others are computed each time"),
        Bound("connections that are not accepted yet", f"{limits.CONNECTIONS_PENDING_MAX:,}", "the kernel lets clients wait"),
        Bound("time to the first request", f"{WIRE.open_timeout_s:.0f} s", "closed"),
        Bound("time between HTTP requests", f"{WIRE.idle_timeout_s:.0f} s", "closed"),
        Bound("time between a ping and its pong", f"{WIRE.pong_timeout_s:.0f} s", "closed with 1011"),
        Bound("what a client sends after its connection was closed", f"{limits.PASSED_OVER_BYTES_MAX:,} bytes", "the connection is dropped"),
        Bound("time to answer a close frame", f"{WIRE.close_timeout_s:.0f} s", "the connection is dropped"),
        Bound("age of a WebSocket", f"{WIRE.life_s / 3600:.0f} h", "closed with 1001"),
    ],
    "What the gateway records of what it refuses itself": [
        Bound("full lines of an account in a minute", f"{limits.REFUSAL_LINES_PER_MINUTE_MAX}", "further refusals are counted by account and reason"),
        Bound("full lines that wait to be written", f"{limits.REFUSAL_LINES_WAITING_MAX:,}", "further refusals are counted"),
        Bound(
            "accounts with full lines, and counts, in a minute",
            f"{limits.REFUSALS_COUNTED_MAX:,} each",
            "further refusals are counted by reason alone",
        ),
        Bound("a file of the record", f"{limits.REFUSAL_FILE_BYTES_MAX:,} bytes, a day", "it is closed, and the next one begins"),
        Bound("closed files of a gateway", f"{limits.REFUSALS_BYTES_MAX:,} bytes", "the oldest are deleted; copy closed files away to keep them"),
    ],
    "What the log says of clients": [
        Bound(
            "failed authentications, bans and the like, by kind, address and key",
            f"{limits.INCIDENTS_COUNTED_MAX:,}",
            "further ones are counted by kind alone",
        ),
        Bound("lines in a minute about what occurs for the first time, or about a ban", f"{limits.INCIDENT_LINES_PER_MINUTE_MAX}", "further ones are in the summary of the minute"),
        Bound("lines of the summary of a minute", f"{limits.INCIDENT_SUMMARIES_MAX}, and one for the others", "further ones are summed up by kind"),
    ],
    "What a client sends": [
        Bound("head of an HTTP request", f"{WIRE.head_bytes_max:,} bytes", "HTTP 431, closed"),
        Bound("body of an HTTP request", f"{WIRE.body_bytes_max:,} bytes", "HTTP 413, closed"),
        Bound("a message, all fragments together", f"{WIRE.message_bytes_max:,} bytes", "closed with 1009"),
        Bound("fragments of a message", f"{limits.FRAGMENTS_MAX:,}", "closed with 1008"),
        Bound("nesting of JSON", "about 1,000 levels", "-1135"),
        Bound("digits before and after the point of a number", f"{constants.WHOLE_DIGITS_MAX}", "-1100"),
        Bound("significant decimals", f"{constants.DECIMALS}", "-1111"),
        Bound("a price or a quantity, in 1e-8", f"{constants.INT64_MAX:,}, or more where exchangeInfo declares it", "-1108"),
        Bound("`quoteOrderQty`, in smallest units", f"{AMOUNT_MAX:,}", "-1108"),
        Bound("value of an order, in smallest units", f"{AMOUNT_MAX:,}", "-1013, Filter failure: NOTIONAL"),
        Bound("a client order id", f"{CLIENT_ID_BYTES} characters", "-1100"),
        Bound("an API key", f"{limits.API_KEY_CHARACTERS_MAX} characters", "-2014"),
        Bound("recvWindow", f"{constants.WINDOW_MS_MAX:,} ms; {constants.LOGON_WINDOW_MS_MAX:,} ms of `session.logon`", "-1131"),
    ],
    "How much a client may ask": [
        Bound("request weight of an address and tier a minute", f"{RATES.weight_per_minute:,}", f"429 with -1003; a new WebSocket on the request path weighs {weights.CONNECTING}", tier="weight_per_minute"),
        Bound("bytes of a message that weigh nothing", f"{limits.WEIGHTLESS_BYTES_MAX:,}", "each further block of this size that it starts weighs 1"),
        Bound(
            "pings, pongs and fragments of a connection in a second that weigh nothing",
            f"{limits.FREE_CONTROL_FRAMES_PER_S_MAX}",
            "each further one weighs 1",
        ),
        Bound(
            f"failures of an address in {limits.FAILURES_INTERVAL_S} s",
            f"{BANS.failures_max}",
            f"banned for {limits.BAN_S_MIN // 60} minutes, doubling with each further ban up to {limits.BAN_S_MAX // 86_400} days; {limits.BAN_MEMORY_S // 3600} h without a ban reset it. New connections get HTTP 418 with -1003 and Retry-After, over TLS no answer. An open one gets 418 at its next request and is then closed with 1008; what it only receives goes on",
            "--failures-max",
        ),
        Bound("new unfilled orders of an account in 10 s", f"{RATES.orders_per_10_s:,}", "429 with -1015", tier="orders_per_10_s"),
        Bound("new unfilled orders of an account in a day", f"{RATES.orders_per_day:,}", "429 with -1015", tier="orders_per_day"),
        Bound(
            "requests on a stream connection a second",
            f"{RATES.stream_messages_per_s:,}",
            "closed with 1008",
            tier="stream_messages_per_s",
        ),
        Bound(
            "price levels of a depth snapshot",
            f"{limits.DEPTH_LEVELS_MAX:,}; {limits.DEPTH_LEVELS_DEFAULT} without `limit`",
            "deeper levels are left out",
        ),
        Bound(
            "trades of a `myTrades` reply",
            f"{limits.LIST_ENTRIES_MAX:,}; {limits.LIST_ENTRIES_DEFAULT} without `limit`",
            "older ones are left out; with `startTime` or `fromId`, later ones",
        ),
        Bound("time between `startTime` and `endTime`", f"{constants.INTERVAL_HOURS_MAX} h", "-1127"),
        Bound("streams of a connection", f"{limits.STREAMS_PER_SESSION_MAX:,}", "code 2; no stream is added"),
        Bound(
            "user data subscriptions of an account over all connections",
            f"{RATES.subscriptions_max:,}",
            "-2042",
            tier="subscriptions_max",
        ),
        Bound("user data subscriptions of a connection", f"{limits.SUBSCRIPTIONS_PER_SESSION_MAX:,}", "-2042"),
        Bound("subscriptions that a connection ever makes", f"{limits.SUBSCRIPTION_IDS_MAX:,}", "-2042"),
    ],
    "What is in flight": [
        Bound(
            "unanswered commands of a connection",
            f"{PIPELINE.commands_per_session_max:,}",
            "-1008, the command is dropped",
            "--commands-per-session-max",
        ),
        Bound("unanswered commands of the gateway", f"{PIPELINE.commands_max:,}", "-1008, the command is dropped", "--commands-max"),
        Bound("batches of the gateway that the store has not confirmed", "1", "commands wait for the next batch"),
        Bound("commands of a batch", f"{BATCH_COMMANDS_MAX}", "the others go into the next batch"),
        Bound(
            "time a command waits to be sent",
            f"{PIPELINE.answer_timeout_s:.0f} s",
            "-1008, the command is dropped; -1021 if its recvWindow ended first",
            "--answer-timeout-s",
        ),
        Bound(
            "time a sent command waits for its event",
            f"{PIPELINE.answer_timeout_s:.0f} s",
            "-1007, the outcome is unknown; until it is known, new orders get -1008 and cancels are taken",
            "--answer-timeout-s",
        ),
        Bound(
            "memory of the store",
            f"{limits.STORE_FULL_PERCENT} % of maxmemory",
            "new orders get -1008, cancels are taken; the gateway checks the memory every second",
        ),
        Bound(
            "time to connect to the store, and to sign in",
            f"{limits.STORE_TIMEOUT_S:.0f} s",
            "the gateway connects again; meanwhile commands wait",
        ),
        Bound(
            "silence of the store while an answer is due",
            f"{limits.STORE_SILENCE_S_MAX:.0f} s",
            "the gateway connects again; meanwhile commands wait",
        ),
        Bound("connections that wait for a key's secret, and are not read meanwhile", f"{limits.WAITING_FOR_SECRET_MAX}", "-1008"),
        Bound("requests of a connection that wait until the gateway has caught up", "1", "the connection is not read meanwhile"),
        Bound(
            "refusals of the engine that an account may cost in 10 s",
            f"{RATES.refusals_per_10_s:,}",
            "what the engine may refuse waits until nothing of the account is on its way, or the budget is refilled; -1008 after the time a command waits to be sent",
            tier="refusals_per_10_s",
        ),
        Bound(
            "what an order without a fill costs of that budget",
            f"a fill-or-kill order {limits.FILL_OR_KILL_REFUSALS}, a MARKET order 1",
            "with less left, the next one waits",
        ),
        Bound("signed requests of a connection that wait for the store's word on their signature", "1", "the connection is not read meanwhile"),
    ],
    "What the engine does at once": [
        Bound("fills of an order in the command that places it", f"{FILLS_MAX:,}", "the remainder expires"),
        Bound(
            "events of an entry before a command begins",
            f"{EVENTS_BEGIN_MAX:,}",
            "-1008, the command changes nothing; the cancel of one order, halts, freezes and key revocations are still taken",
        ),
        Bound(
            "orders that a cancel of all, or a freeze, closes in an entry",
            f"{EVENTS_BEGIN_MAX:,}",
            "the reply lists these; the next entries close the others before any other command",
        ),
        Bound("events of an entry", f"{EVENTS_MAX:,}", "never reached, thanks to the bounds above"),
    ],
    "What waits for a slow reader": [
        Bound(
            "depth updates of a stream",
            "1",
            "while data waits for the reader, all updates that it misses become one, without a gap",
        ),
        Bound("levels in that one update", f"{limits.LEVELS_MISSED_MAX:,}", "closed with 1008"),
        Bound(
            f"bytes of all other data for {WIRE.slow_reader_s:.0f} s, for a client that has shown a key",
            f"{WIRE.output_bytes_max:,}",
            "waiting data is dropped, closed with 1008",
            "--output-bytes-max",
        ),
        Bound(
            "the same for a client that has not",
            f"{WIRE.stranger_output_bytes_max:,}",
            "waiting data is dropped, closed with 1008",
            "--stranger-output-bytes-max",
        ),
        Bound(
            "the same at any moment",
            f"{limits.OUTPUT_BURST_FACTOR} times as much",
            "waiting data is dropped, closed with 1008",
        ),
        Bound(
            "bytes for all readers together",
            f"{limits.OUTPUT_BYTES_TOTAL_MAX:,}",
            "the reader for which most waits is closed with 1008",
        ),
        Bound("what a client asks while it is behind", "one read of its socket", "it is read again when it has caught up"),
        Bound("what the kernel holds for a connection", f"twice {limits.SEND_BUFFER_BYTES:,} bytes", "the rest waits in the gateway"),
        Bound(
            "an answer with a list of entries",
            f"{limits.LONG_LIST_ENTRIES}",
            f"a longer one leaves in fragments of {limits.FRAGMENT_BYTES:,} bytes, made as the client takes them",
        ),
    ],
    "Turns": [
        Bound(
            "time of the gateway for one client while others wait",
            f"{limits.SLICE_S * 1e3:g} ms",
            "the others are served first; the socket is not read meanwhile",
        ),
        Bound(
            "time until the gateway looks at its sockets again",
            f"{limits.TURN_S * 1e3:g} ms for clients, {limits.INTAKE_S * 1e3:g} ms for events, {limits.FLUSH_S * 1e3:g} ms for what strangers are sent",
            "what is left is done in the next turn",
        ),
        Bound("commands of a client in a row", f"{limits.COMMANDS_IN_A_ROW}", "those of other clients that wait leave first"),
        Bound(
            "commands that left and have no answer",
            f"{PIPELINE.commands_in_journal_max:,}",
            "commands wait in the gateway, where clients take turns",
        ),
    ],
    "What is remembered": [
        Bound("closed orders of an account", f"{limits.CLOSED_ORDERS_MAX:,}", "-2013 for older ones"),
        Bound("trades of an account", f"{limits.TRADES_MAX:,}", "older ones are not shown"),
        Bound("depth snapshots of a market, encoded", f"{limits.SNAPSHOTS_CACHED_MAX}", "any further ones are encoded each time"),
        Bound("parsed numbers of a market", f"{limits.NUMBER_TEXTS_MAX:,}", "the cache is emptied, and numbers are parsed again"),
        Bound(
            "used signatures that the gateway keeps itself",
            f"{limits.SIGNATURES_KEPT_MAX:,}; {limits.SIGNATURES_KEPT_PER_KEY_MAX:,} of a key",
            "the oldest is forgotten here, and the store judges its copies",
        ),
        Bound(
            "marks of used signatures in the store",
            f"each until its recvWindow has ended, and {limits.CLOCK_DIFFERENCE_MS_MAX // 1000} s longer",
            "then the signature is too old by the clock of every gateway",
        ),
        Bound("addresses with counted usage", f"{limits.ADDRESSES_MAX:,}", "addresses of past intervals are forgotten; any further ones share one count"),
        Bound("addresses that failed or were banned", f"{limits.ADDRESSES_MAX:,}", "those with nothing to remember are forgotten; failures of any further ones are not counted"),
        Bound("IPv6 addresses whose /64 network is remembered", f"{limits.ADDRESSES_REMEMBERED_MAX:,}", "the one used longest ago is computed again"),
    ],
}  # fmt: skip


def page() -> str:
    """The text of docs/limits.md."""
    sections = [HEAD]
    for title, bounds in BOUNDS.items():
        lines = [f"## {title}", "", "| what | bound | answer | set by |", "|---|---|---|---|"]
        lines += [f"| {bound.name} | {bound.bound} | {bound.answer} | {_option(bound)} |" for bound in bounds]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def _option(bound: Bound) -> str:
    if bound.tier:
        return f"limits: `{bound.tier}`"
    return f"`{bound.option}`" if bound.option else ""


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
