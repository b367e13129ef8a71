"""The journal and the events in the store: append, read, publish, and the hash chain over both.

    {jibek}:journal   every batch of commands, in the one total order   1-0, 1-1, 1-2, … 2-0 (a new epoch), 2-1, …
    {jibek}:events    the engine's answer to each, under the same id, with the head of the hash chain and
                      the digest of the journal entry

Nothing else of the engine knows the keys' formats and what the server-side functions answer. `engine.service` uses the
connection for little more: the store's clock, the id that was published last, and calls sent together. Each module uses only
those before it:

    ids         the names of entries, and the entries as they are read
    chain       what follows what: the hash chain
    store       connecting, settings, server-side functions, keys, the epoch
    publishing  event entries into the store
    streams     journal and events out of it
    producer    batches into the journal
"""

from engine.journal.chain import (
    GENESIS_HEAD,
    ChainBroken,
    EventChain,
    chain_head,
    check_follows,
    entry_digest,
)
from engine.journal.ids import (
    BEGINNING,
    EntryId,
    JournalEntry,
    PublishedEntry,
)
from engine.journal.producer import (
    Opening,
    Producer,
    StaleEpoch,
    StoreTimeout,
    append_call,
    first_event,
    open_call,
)
from engine.journal.publishing import (
    Diverged,
    check_published,
    publish_call,
)
from engine.journal.store import (
    ENGINE_PRODUCER,
    EPOCH_KEY,
    EVENTS_KEY,
    FIRST_GATEWAY,
    INCARNATION_KEY,
    JOURNAL_KEY,
    LIBRARY_NAME,
    OPERATOR_PRODUCER,
    PRODUCERS_KEY,
    PUBLISHED_KEY,
    VENUE_PRODUCER,
    Store,
    StoreRefused,
    advance_epoch_call,
    check_settings,
    connect,
    current_epoch,
    ensure_functions,
    library_code,
    prepare_store,
    start_venue,
)
from engine.journal.streams import (
    ChainReader,
    StreamReader,
    parse_events,
    parse_journal,
    parse_streams,
    read_events,
    read_journal,
)

__all__ = [
    "BEGINNING",
    "ENGINE_PRODUCER",
    "EPOCH_KEY",
    "EVENTS_KEY",
    "FIRST_GATEWAY",
    "GENESIS_HEAD",
    "INCARNATION_KEY",
    "JOURNAL_KEY",
    "LIBRARY_NAME",
    "OPERATOR_PRODUCER",
    "PRODUCERS_KEY",
    "PUBLISHED_KEY",
    "VENUE_PRODUCER",
    "ChainBroken",
    "ChainReader",
    "Diverged",
    "EntryId",
    "EventChain",
    "JournalEntry",
    "Opening",
    "Producer",
    "PublishedEntry",
    "StaleEpoch",
    "Store",
    "StoreRefused",
    "StoreTimeout",
    "StreamReader",
    "advance_epoch_call",
    "append_call",
    "chain_head",
    "check_follows",
    "check_published",
    "check_settings",
    "connect",
    "current_epoch",
    "ensure_functions",
    "entry_digest",
    "first_event",
    "library_code",
    "open_call",
    "parse_events",
    "parse_journal",
    "parse_streams",
    "prepare_store",
    "publish_call",
    "read_events",
    "read_journal",
    "start_venue",
]
