"""The journal and the events in the store: append, read, publish, and the hash chain over both.

    {jibek}:journal   every batch of commands, in the one total order   1-0, 1-1, 1-2, … 2-0 (a new epoch), 2-1, …
    {jibek}:events    the engine's answer to each, under the same id, with the head of the hash chain and
                      the digest of the journal entry

Only these modules know what the server-side functions take and answer, and how entries are stored; everyone else calls what
is named here. What is asked of a key directly, such as its length, takes the key's name from here. Each module uses only those before it:

    ids         the names of entries, and the entries as they are read
    chain       what follows what: the hash chain
    store_url   how the store is named, and what of that may be shown
    store_socket the socket of the embedded store, and that it is this user's
    store       connecting, settings, server-side functions, keys, the epoch, the clock
    passing     which refusals of the store pass
    publishing  event entries into the store
    streams     the call that reads the streams, and the one parser of its reply
    source      where entries are read from: the `Source` protocol, and the store as one
    consistency what the store holds next to the streams, which must agree with them
    readers     reading with a cursor, each entry verified
    marks       which signatures were used, and for what
    producer    batches into the journal
"""

from engine.journal.chain import (
    GENESIS_HEAD,
    ChainBroken,
    EndsBefore,
    EventChain,
    KnownHeads,
    UnreadableReply,
    chain_head,
    check_follows,
    check_reaches,
    entry_digest,
)
from engine.journal.consistency import (
    check_consistent,
    check_row,
    row_call,
)
from engine.journal.ids import (
    BEGINNING,
    EntryId,
    JournalEntry,
    PublishedEntry,
)
from engine.journal.marks import (
    Mark,
    mark_name,
    mark_used_call,
)
from engine.journal.passing import (
    NOT_READY_ERRORS,
    is_not_ready,
    passes,
    reason_of,
)
from engine.journal.producer import (
    Opening,
    OutcomeUnknown,
    Producer,
    StaleEpoch,
    StoreTimeout,
    append_call,
    check_takes_writes,
    first_event,
    open_call,
)
from engine.journal.publishing import (
    Diverged,
    check_published,
    publish,
    publish_call,
)
from engine.journal.readers import (
    ChainReader,
    EventReader,
)
from engine.journal.source import (
    Source,
    StoreSource,
    event_at,
    read_events,
    read_journal,
)
from engine.journal.store import (
    EPOCH_KEY,
    EVENTS_KEY,
    INCARNATION_KEY,
    JOURNAL_KEY,
    LIBRARY_NAME,
    PRODUCERS_KEY,
    PUBLISHED_KEY,
    REQUIRED_SETTINGS,
    ProducerRow,
    Store,
    StoreRefused,
    advance_epoch_call,
    answered_id,
    appended_call,
    appended_id,
    check_answered_log,
    check_answered_settings,
    check_settings,
    connect,
    current_epoch,
    ensure_functions,
    library_code,
    log_call,
    own_connection,
    prepare_store,
    published_call,
    published_id,
    settings_call,
    start_venue,
    store_time_us,
)
from engine.journal.store_socket import (
    SOCKET_NAME,
    ForeignStore,
    check_server,
    check_socket_place,
    socket_folder_name,
    socket_of,
    socket_url,
)
from engine.journal.store_url import (
    SAFE_WAYS,
    STORE_FILE_VARIABLE,
    STORE_VARIABLE,
    BadStoreUrl,
    check_is_for_all_eyes,
    check_store_url,
    has_password,
    place_of,
    read_store_file,
    store_from_environment,
)
from engine.journal.streams import (
    events_in,
    journal_in,
    parse_events,
    parse_journal,
    parse_streams,
    read_call,
)
from engine.producers import (
    ENGINE_PRODUCER,
    FIRST_GATEWAY,
    OPERATOR_PRODUCER,
    SETTLEMENT_PRODUCER,
    VENUE_PRODUCER,
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
    "NOT_READY_ERRORS",
    "OPERATOR_PRODUCER",
    "PRODUCERS_KEY",
    "PUBLISHED_KEY",
    "REQUIRED_SETTINGS",
    "SAFE_WAYS",
    "SETTLEMENT_PRODUCER",
    "SOCKET_NAME",
    "STORE_FILE_VARIABLE",
    "STORE_VARIABLE",
    "VENUE_PRODUCER",
    "BadStoreUrl",
    "ChainBroken",
    "ChainReader",
    "Diverged",
    "EndsBefore",
    "EntryId",
    "EventChain",
    "EventReader",
    "ForeignStore",
    "JournalEntry",
    "KnownHeads",
    "Mark",
    "Opening",
    "OutcomeUnknown",
    "Producer",
    "ProducerRow",
    "PublishedEntry",
    "Source",
    "StaleEpoch",
    "Store",
    "StoreRefused",
    "StoreSource",
    "StoreTimeout",
    "UnreadableReply",
    "advance_epoch_call",
    "answered_id",
    "append_call",
    "appended_call",
    "appended_id",
    "chain_head",
    "check_answered_log",
    "check_answered_settings",
    "check_consistent",
    "check_follows",
    "check_is_for_all_eyes",
    "check_published",
    "check_reaches",
    "check_row",
    "check_server",
    "check_settings",
    "check_socket_place",
    "check_store_url",
    "check_takes_writes",
    "connect",
    "current_epoch",
    "ensure_functions",
    "entry_digest",
    "event_at",
    "events_in",
    "first_event",
    "has_password",
    "is_not_ready",
    "journal_in",
    "library_code",
    "log_call",
    "mark_name",
    "mark_used_call",
    "open_call",
    "own_connection",
    "parse_events",
    "parse_journal",
    "parse_streams",
    "passes",
    "place_of",
    "prepare_store",
    "publish",
    "publish_call",
    "published_call",
    "published_id",
    "read_call",
    "read_events",
    "read_journal",
    "read_store_file",
    "reason_of",
    "row_call",
    "settings_call",
    "socket_folder_name",
    "socket_of",
    "socket_url",
    "start_venue",
    "store_from_environment",
    "store_time_us",
]
