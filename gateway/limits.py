"""Every bound that the gateway chooses; what the wire fixes is in `gateway/dialect/constants.py`.

docs/limits.md is written from both, with the answer when a bound is reached.

What an operator may choose is a field of a NamedTuple: of `RateLimitSettings` by tier, in the journal; of the others by an option of
`python -m gateway.service`. The rest are constants.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.records import DEFAULT_LIMITS, TierLimits

# -- connections

CONNECTIONS_MAX = 10_000
"""Open connections; one more is turned away with 503."""
CONNECTIONS_PER_ADDRESS_MAX = 1_024
"""Open connections of one address, or of one /64 network of IPv6; one more is turned away with 429."""
CONNECTIONS_PENDING_MAX = 1024
"""Connections that the kernel may hold before the gateway accepts them; with more, clients wait and try again."""
ACCEPTED_PER_TURN_MAX = 16
"""New connections that one turn of the loop takes in; the others wait for the next."""
TLS_HANDSHAKES_PER_TURN_MAX = 2
"""TLS handshakes that one turn begins or goes on with: a step may take about a millisecond of the only thread."""
TLS_SHUTDOWN_TIMEOUT_S = 2.0
"""How long a client may take to end TLS in order."""
TURNED_AWAY_MAX = 256
"""Connections that were turned away and may still read why; with one more, the oldest is closed."""
TURNED_AWAY_S = 1.0
"""How long they may."""
ACCEPT_PAUSE_S = 1.0
"""How long nothing is accepted after the system had no descriptor or no memory for one more connection."""
DESCRIPTORS_SPARE = 128
"""Descriptors in addition to those of clients: listener, store, logs, the loop, and what libraries open."""
PROXY_HEADER_BYTES_MAX = 2048
"""The longest header of the PROXY protocol that is read."""
PROXY_LOG_INTERVAL_S = 60.0
"""How often the log says that a trusted proxy sends no header."""
ADDRESSES_REMEMBERED_MAX = 4096
"""Addresses whose network is remembered."""
CONTROL_FRAME_BYTES_MAX = 125
PASSED_OVER_BYTES_MAX = 64 * 1024
"""What a client may still send after the gateway has ended its connection; one that sends more is dropped."""
FRAGMENTS_MAX = 1024
"""Fragments of one message."""
WRITE_BUFFER_BYTES = 256 * 1024
"""What the loop may hold for a socket beyond the kernel's buffer; the rest waits in the Connection and is bounded there."""
SEND_BUFFER_BYTES = 256 * 1024
"""What the kernel is asked to hold for a connection that does not read; Linux takes it twice. By itself it would take 4 MB."""
SMALL_FRAME_BYTES_MAX = 4096
"""Frames up to this size are gathered for a turn and queued in one piece; a larger one is queued at once."""
FRAGMENT_BYTES = 32 * 1024
"""A long answer leaves in fragments of about this size, and each is made when the client has taken those before."""
LONG_LIST_ENTRIES = 500
"""A list with more entries is a long answer."""
OUTPUT_BURST_FACTOR = 4
"""So many times its bound may wait for a reader that had no time yet to take it; with more, the connection ends at once."""
OUTPUT_BYTES_TOTAL_MAX = 512 * 1024 * 1024
"""What waits for all readers together; beyond it the one for which most waits is closed."""
SHUTDOWN_GRACE_S = 0.2
"""How long the last frames of an orderly end may take to leave."""


class ConnectionLimits(NamedTuple):
    """Bounds of one connection. When one is reached, the connection ends; `gateway.wire.connection` says how."""

    message_bytes_max: int = 64 * 1024
    head_bytes_max: int = 16 * 1024
    body_bytes_max: int = 64 * 1024
    output_bytes_max: int = 8 * 1024 * 1024
    """What may wait for `slow_reader_s`, for a client that has shown a key. A slower one loses all that waits; it still gets
    the close frame with code 1008, if it takes that within `close_timeout_s`."""
    stranger_output_bytes_max: int = 1024 * 1024
    """The same for a client that has not."""
    slow_reader_s: float = 5.0
    open_timeout_s: float = 10.0
    """From connecting to a complete first request."""
    idle_timeout_s: float = 60.0
    """Between the requests of a kept-alive HTTP connection."""
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 60.0
    close_timeout_s: float = 5.0
    life_s: float = 24 * 3600.0
    """A WebSocket is closed when it has been open for that long."""


# -- turns: how much of the loop one client gets while others wait

SLICE_S = 0.0005
"""After so long, the next client is served. What is being done is finished first."""
TURN_S = 0.002
"""After so long, the loop looks at its sockets again."""
NEWCOMERS_IN_A_ROW = 8
"""So many clients that were quiet are served before one that has used up a slice."""
INTAKE_S = 0.002
"""For so long events are taken in before the loop looks at its sockets again."""
FLUSH_S = 0.002
"""For so long strangers are written to before the loop looks at its sockets again."""
EVENTS_AT_ONCE_MAX = 256
"""Events of an entry that are taken in before the time is looked at."""
FRAMES_AT_ONCE_MAX = 64
"""WebSocket frames that are read from what came before the time is looked at."""
HTTP_BYTES_AT_ONCE_MAX = 16 * 1024
"""What the reader of HTTP is given at a time; it copies with each request what it was given too early."""

# -- what a client may ask


class RateLimitSettings(NamedTuple):
    """How much the accounts of a tier may ask for. An operator sets it by tier, in the journal: the defaults are those of the
    tier `default` until then."""

    weight_per_minute: int = DEFAULT_LIMITS.weight_per_minute
    """Request weight per address and minute."""
    orders_per_10_s: int = DEFAULT_LIMITS.orders_per_10_s
    """New orders of an account that were not filled."""
    orders_per_day: int = DEFAULT_LIMITS.orders_per_day
    subscriptions_max: int = DEFAULT_LIMITS.subscriptions_max
    """User data subscriptions of an account over all its connections."""
    connections_per_5_min: int = DEFAULT_LIMITS.connections_per_5_min
    """New connections of an address."""
    stream_messages_per_s: int = DEFAULT_LIMITS.stream_messages_per_s
    """Requests on one stream connection; one that sends more is closed."""
    refusals_per_10_s: int = DEFAULT_LIMITS.refusals_per_10_s
    """Refusals of the engine that an account may cost; beyond, what the engine may refuse waits."""

    @classmethod
    def of(cls, limits: TierLimits) -> RateLimitSettings:
        """The settings of a tier that has a number everywhere."""
        return cls(*(getattr(limits, name) for name in cls._fields))


class BanSettings(NamedTuple):
    """When an address is banned."""

    failures_max: int = 50
    """Failures of an address within `FAILURES_INTERVAL_S`; with so many it is banned."""


ADDRESSES_MAX = 100_000
"""Addresses whose usage is counted one by one, and addresses whose failures are."""
ADDRESSES_REMEMBERED_MAX = 4096
"""Addresses whose network is remembered."""
WEIGHTLESS_BYTES_MAX = 4096
"""A larger message weighs 1 more for each further block of this size that it starts."""
FAILURES_INTERVAL_S = 60
BAN_S_MIN = 120
"""The first ban of an address; each further one is twice as long."""
BAN_S_MAX = 3 * 24 * 3600
BAN_MEMORY_S = 24 * 3600
"""After so long without a ban, the next one of an address is its first again."""
FREE_CONTROL_FRAMES_PER_S_MAX = 5
"""Pings, pongs and fragments of a connection that weigh nothing; each further one in the same second weighs 1."""
API_KEY_CHARACTERS_MAX = 64
DEPTH_LEVELS_DEFAULT = 100
DEPTH_LEVELS_MAX = 5000
LIST_ENTRIES_DEFAULT = 500
LIST_ENTRIES_MAX = 1000
NAME_CHARACTERS_SHOWN_MAX = 100
"""How much of an unknown method or path a refusal repeats."""

# -- requests and commands on their way

WAITING_FOR_SECRET_MAX = 100
"""Connections that wait for the secret of one key; the request of one more is refused as overloaded."""
FILL_OR_KILL_REFUSALS = 10
"""What a fill-or-kill order that expires costs of the budget of refusals: the engine may have walked past thousands of orders."""
SIGNATURES_KEPT_MAX = 100_000
"""Used signatures that the gateway keeps itself. When it has more, the oldest is forgotten here, and the store judges it."""
SIGNATURES_KEPT_PER_KEY_MAX = 10_000
"""The share of one key in them, so that no key pushes out the others'."""
CLOCK_DIFFERENCE_MS_MAX = 5000
"""How far the clocks of two gateways may differ: so much longer than the signature itself the store keeps its mark."""


class PipelineLimits(NamedTuple):
    """How many commands may be on their way, and for how long."""

    commands_max: int = 65_536
    """Commands without an answer in the whole gateway; one more is refused as overloaded."""
    commands_per_session_max: int = 8_192
    commands_in_journal_max: int = 512
    """Commands that left and have no answer; while there are more, none leaves. So a new one waits behind few."""
    answer_timeout_s: float = 10.0


COMMANDS_IN_A_ROW = 16
"""So many commands of a caller leave before one of another caller that waits."""

# -- the record of what the gateway refuses itself

REFUSAL_LINES_PER_MINUTE_MAX = 60
"""Full lines of an account; further refusals are counted by reason."""
REFUSALS_COUNTED_MAX = 10_000
"""Accounts with full lines, and pairs of account and reason with a count, in a minute; any further ones share a count by reason."""
REFUSAL_LINES_WAITING_MAX = 10_000
"""Full lines that wait to be written; further refusals are counted."""
REFUSAL_FILE_BYTES_MAX = 16 * 1024 * 1024
REFUSALS_BYTES_MAX = 256 * 1024 * 1024
"""All closed files of a gateway; with more, the oldest are deleted."""

# -- what the log says of clients

INCIDENTS_COUNTED_MAX = 10_000
"""Failed authentications, bans and the like that are counted by kind, address and key; further ones share a count by kind."""
INCIDENT_LINES_PER_MINUTE_MAX = 20
"""Lines about what occurs for the first time, and lines about bans; further ones are in the summary of the minute."""
INCIDENT_SUMMARIES_MAX = 20
"""Lines of a summary; one more line has the sum of all others."""

# -- the store

ENTRIES_PER_READ = 64
ENTRIES_PER_REBUILD_READ = 256
STORE_FULL_PERCENT = 80
"""Of `maxmemory`: from here on new orders are refused."""
STORE_TIMEOUT_S = 5.0
"""Connecting to the store, and the answer to a single question such as AUTH; then the gateway connects again."""
LINK_PROVEN_S = 1.0
"""A link to the store that has been open for so long ends the outage before it; one that is lost sooner waits longer."""
STORE_SILENCE_S_MAX = 15.0
"""Both links have an answer coming at least every `BLOCK_MS`; one that is silent for longer is half open."""
BLOCK_MS = 5000
"""How long a read waits in the store for the next events."""

# -- what is remembered and sent

CLOSED_ORDERS_MAX = 1000
"""Closed orders of an account that can still be asked for."""
TRADES_MAX = 1000
"""Trades of an account that can still be asked for."""
MOVED_LEVELS_MAX = 4096
"""Price levels that came or went since the sorted ones were brought up to date; one more and they are."""
NUMBER_TEXTS_MAX = 4096
"""Number texts of a market whose value is remembered."""
SNAPSHOTS_CACHED_MAX = 8
"""Depth snapshots of a market that are kept encoded until its book changes."""
STREAMS_PER_SESSION_MAX = 1024
SUBSCRIPTIONS_PER_SESSION_MAX = 1000
SUBSCRIPTION_IDS_MAX = 65_535
LEVELS_MISSED_MAX = 10_000
"""Levels whose changes are kept for a reader that is behind, by stream; with more it is closed."""
