"""Who appends to the journal, by number."""

VENUE_PRODUCER = 1
"""The process that defines a new venue from venue.toml; the epoch-start is its first batch."""
OPERATOR_PRODUCER = 2
"""The command line."""
ENGINE_PRODUCER = 3
"""The engine's own service: time ticks and the clock guard."""
SETTLEMENT_PRODUCER = 4
"""The settlement, which asks the engine for its balances."""
FIRST_GATEWAY = 16
"""The WebSocket gateways are producers from here on."""
