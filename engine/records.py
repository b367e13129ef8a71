"""The binary records of the venue: what stands in the journal and in the events.

One definition serves all. The classes below are the Python view of the records; `LAYOUT` tables derived from them pack
and unpack the bytes; `engine/records.pxd`, the C structs of the compiled core, is written from them by

    python -m engine.records

and a test keeps that file current. All integers are little-endian; every record is naturally aligned, so the C structs
have no padding.

A **batch** is what one producer (a gateway, the command line) appends as one journal entry:

    BatchHeader (32 bytes) · count × Command (128 bytes) · blob area (blob_length bytes)

An **event entry** is the engine's answer, published under the id of the journal entry:

    EventHeader (48 bytes) · count × Event (256 bytes) · blob area (blob_length bytes)

The blob area holds what has no fixed size: names, reasons, definitions. A record points into it with `blob_offset` and
`blob_length`; the slice is a sequence of parts, each with a 16-bit length in front (`pack_parts`, `unpack_parts`).

Amounts are whole numbers of the asset's smallest unit, prices whole ticks, quantities whole lots.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, get_type_hints

from engine.reasons import Reason

VERSION = 1
BATCH_COMMANDS_MAX = 256
BATCH_BYTES_MAX = 48 * 1024
CLIENT_ID_BYTES = 36
AMOUNT_MAX = (1 << 62) - 1
"""Largest amount, value or sum of an asset that the venue keeps, in smallest units."""

HOUSE_ACCOUNT = 0
"""The venue's own account: it receives the fees. Clients are numbered from 1."""

# The width of a field: its struct code and its C type.
U8 = Annotated[int, "B", "uint8_t"]
U16 = Annotated[int, "H", "uint16_t"]
U32 = Annotated[int, "I", "uint32_t"]
U64 = Annotated[int, "Q", "uint64_t"]
I64 = Annotated[int, "q", "int64_t"]
ClientId = Annotated[bytes, "36s", "char[36]"]
Digest = Annotated[bytes, "32s", "char[32]"]

NO_CLIENT_ID = bytes(CLIENT_ID_BYTES)
"""All zero: the client gave no id, and the one shown is derived from the order id."""


class CommandKind(IntEnum):
    """What a command asks for, the fields it uses, and the parts of its blob.

    | kind | fields | parts |
    | --- | --- | --- |
    | EPOCH_START | | EpochStart |
    | TIME_TICK | | |
    | ASSET_ADD | | AssetDefinition, name, operator, why |
    | MARKET_ADD | | MarketDefinition, symbol, operator, why |
    | FEES_SET | account (0: the market's own fees), market (0 with an account: all markets) | Fees, operator, why |
    | MARKET_STATE_SET | market (0: the whole venue), state | operator, why |
    | ACCOUNT_ADD | | name, operator, why |
    | ACCOUNT_FREEZE, ACCOUNT_UNFREEZE | account | operator, why |
    | KEY_ADD | account | KeyDefinition, key id, public key (empty for HMAC), operator, why |
    | KEY_REVOKE | account | key id, operator, why |
    | DEPOSIT, WITHDRAW | account, asset, amount | operator, why |
    | ORDER_PLACE | account, market, side, order_type, time_in_force, self_trade_mode, price_ticks, quantity_lots, amount, client_id | |
    | ORDER_CANCEL | account, market, order_id or client_id | client id of the cancel, where it has one |
    | ORDER_CANCEL_ALL | account, market (0: all markets) | |
    | STATE_REPORT | | |

    The event that answers a command carries the same blob (a STATE_REPORTED event a StateReport instead).
    """

    EPOCH_START = 1
    TIME_TICK = 2
    ASSET_ADD = 10
    MARKET_ADD = 11
    FEES_SET = 12
    MARKET_STATE_SET = 13
    ACCOUNT_ADD = 20
    ACCOUNT_FREEZE = 21
    ACCOUNT_UNFREEZE = 22
    KEY_ADD = 23
    KEY_REVOKE = 24
    DEPOSIT = 30
    WITHDRAW = 31
    ORDER_PLACE = 40
    ORDER_CANCEL = 41
    ORDER_CANCEL_ALL = 42
    STATE_REPORT = 50


class EventKind(IntEnum):
    """What happened."""

    REJECTED = 1
    EPOCH_STARTED = 2
    ASSET_ADDED = 10
    MARKET_ADDED = 11
    FEES_CHANGED = 12
    MARKET_STATE_CHANGED = 13
    ACCOUNT_ADDED = 20
    ACCOUNT_FROZEN = 21
    ACCOUNT_UNFROZEN = 22
    KEY_ADDED = 23
    KEY_REVOKED = 24
    DEPOSITED = 30
    WITHDRAWN = 31
    ORDER_ACCEPTED = 40
    TRADE = 41
    ORDER_CLOSED = 42
    STATE_REPORTED = 50


class Disposition(IntEnum):
    """What the engine did with a batch as a whole (promise P8: retries are safe)."""

    EXECUTED = 0
    DUPLICATE = 1
    """The number was seen before: nothing was executed again."""
    STALE_BOOT = 2
    """A newer boot of the same gateway has spoken: nothing was executed."""
    MALFORMED = 3
    """The bytes are no batch of this version: nothing was executed."""


class Side(IntEnum):
    BUY = 1
    SELL = 2


class OrderType(IntEnum):
    LIMIT = 1
    MARKET = 2
    LIMIT_MAKER = 3


class TimeInForce(IntEnum):
    NONE = 0
    GTC = 1
    IOC = 2
    FOK = 3


class SelfTradeMode(IntEnum):
    NONE = 0


class TradeFlag(IntEnum):
    """Bits of `flags` in a TRADE: which side has nothing left to do after it."""

    TAKER_FILLED = 1
    MAKER_FILLED = 2


class MarketState(IntEnum):
    TRADING = 1
    HALTED = 2
    """No order can be placed; orders can be cancelled."""


class KeyType(IntEnum):
    HMAC_SHA256 = 1
    ED25519 = 2


class Permission(IntEnum):
    """Bits of what an API key may do."""

    READ = 1
    TRADE = 2


class BatchHeader(NamedTuple):
    """Says who sends the batch. `gateway`, `boot` and `number` make a retry recognisable (P8)."""

    version: U16 = VERSION
    command_count: U16 = 0
    gateway: U32 = 0
    boot: U64 = 0
    """Drawn once by a producer when it starts, by INCR on the store."""
    number: U64 = 0
    """1, 2, 3, … within a boot; one batch is in flight at a time."""
    blob_length: U32 = 0
    reserved: U32 = 0


class Command(NamedTuple):
    """One request. Fields that a kind does not use are zero."""

    kind: U8 = 0
    side: U8 = 0
    order_type: U8 = 0
    time_in_force: U8 = 0
    self_trade_mode: U8 = 0
    flags: U8 = 0
    asset: U16 = 0
    account: U32 = 0
    market: U32 = 0
    order_id: U64 = 0
    """The order to cancel; zero when `client_id` names it."""
    price_ticks: I64 = 0
    quantity_lots: I64 = 0
    amount: I64 = 0
    """Smallest units: of the quote asset for a MARKET order by quote amount, of `asset` for a deposit or withdrawal."""
    trigger_ticks: I64 = 0
    display_lots: I64 = 0
    expiry_us: I64 = 0
    group: U64 = 0
    client_id: ClientId = NO_CLIENT_ID
    blob_offset: U32 = 0
    blob_length: U32 = 0
    state: U32 = 0
    """The new state, for MARKET_STATE_SET."""


class EventHeader(NamedTuple):
    """Repeats who sent the batch, so that its gateway knows the answer as its own."""

    version: U16 = VERSION
    disposition: U8 = 0
    reserved: U8 = 0
    event_count: U32 = 0
    gateway: U32 = 0
    reserved_2: U32 = 0
    boot: U64 = 0
    number: U64 = 0
    time_us: I64 = 0
    """The venue's time at this entry: the largest stamp of the store so far, microseconds since 1970 UTC."""
    blob_length: U64 = 0


class Event(NamedTuple):
    """One thing that happened, with all that a projection needs to know of it.

    For orders `account`, `order_id`, `client_id`, … are those of the order the event is about. In a TRADE they are the
    taker's, and the `maker_…` fields the maker's; `price_ticks` is the maker's price.
    """

    kind: U8 = 0
    side: U8 = 0
    """The order's side; in a TRADE the taker's."""
    order_type: U8 = 0
    time_in_force: U8 = 0
    self_trade_mode: U8 = 0
    flags: U8 = 0
    """TradeFlag bits in a TRADE."""
    reason: U16 = 0
    command_index: U32 = 0
    """Which command of the batch this answers, from 0."""
    market: U32 = 0
    account: U32 = 0
    maker_account: U32 = 0
    asset: U16 = 0
    """The asset of `amount`."""
    base_asset: U16 = 0
    quote_asset: U16 = 0
    command: U8 = 0
    """The CommandKind that this event answers."""
    state: U8 = 0
    order_id: U64 = 0
    maker_order_id: U64 = 0
    trade_id: U64 = 0
    price_ticks: I64 = 0
    quantity_lots: I64 = 0
    """Of an order what was asked for; of a TRADE what was filled."""
    base_amount: I64 = 0
    """`quantity_lots` in smallest units of the base asset."""
    quote_amount: I64 = 0
    """Of a TRADE its value; of a MARKET order the quote amount asked for; smallest units of the quote asset."""
    cumulative_lots: I64 = 0
    cumulative_quote: I64 = 0
    left_lots: I64 = 0
    """What is still open of the order; in ORDER_CLOSED what was open when it ended."""
    maker_cumulative_lots: I64 = 0
    maker_cumulative_quote: I64 = 0
    maker_left_lots: I64 = 0
    hold_change: I64 = 0
    """Change of what is held for the order: of the quote asset for a buy, of the base asset for a sell. Zero throughout
    for MARKET orders, which hold nothing and pay from what is available."""
    maker_hold_change: I64 = 0
    fee: I64 = 0
    """Of the asset received: the base asset for a buyer, the quote asset for a seller."""
    maker_fee: I64 = 0
    client_id: ClientId = NO_CLIENT_ID
    maker_client_id: ClientId = NO_CLIENT_ID
    blob_offset: U32 = 0
    blob_length: U32 = 0
    amount: I64 = 0


class AssetDefinition(NamedTuple):
    scale: U32 = 0
    """Decimals of the smallest unit kept, 0 to 8."""


class MarketDefinition(NamedTuple):
    """What a market is. Base, quote, tick and lot never change; fees change by FEES_SET."""

    base_asset: U32 = 0
    quote_asset: U32 = 0
    tick_e8: I64 = 0
    """Price of one tick, in 1e-8 of the quote asset."""
    lot_units: I64 = 0
    """Smallest units of the base asset in one lot."""
    price_min_ticks: I64 = 0
    price_max_ticks: I64 = 0
    quantity_min_lots: I64 = 0
    quantity_max_lots: I64 = 0
    notional_min: I64 = 0
    """Least value of an order in smallest units of the quote asset; at least 100, which keeps dust out."""
    notional_max: I64 = 0
    maker_fee_ppm: U32 = 0
    taker_fee_ppm: U32 = 0
    open_orders_max: U32 = 0
    """Most open orders an account may have in this market."""
    reserved: U32 = 0


TICK_AND_LOT_MAX = 10**14
"""Largest `tick_e8` and `lot_units`: their product times 10^8 still fits into 127 bits."""
NOTIONAL_MIN_UNITS = 100
FEE_PPM_MAX = 100_000
SCALE_MAX = 8
PRICE_SCALE = 8
"""Decimals of the unit in which a tick is given."""
KEYS_PER_ACCOUNT_MAX = 100


class Fees(NamedTuple):
    maker_fee_ppm: U32 = 0
    taker_fee_ppm: U32 = 0


class KeyDefinition(NamedTuple):
    key_type: U32 = 0
    permissions: U32 = 0


class EpochStart(NamedTuple):
    """First record of an epoch (P1): it continues the entry `previous_epoch-previous_sequence`, whose head it names."""

    previous_epoch: U64 = 0
    previous_sequence: U64 = 0
    previous_head: Digest = bytes(32)
    rules_version: U64 = 0


class StateReport(NamedTuple):
    """The engine's answer to STATE_REPORT: digests and counts of its state before the command."""

    state_hash: Digest = bytes(32)
    balances_hash: Digest = bytes(32)
    accounts: U64 = 0
    open_orders: U64 = 0
    balances: U64 = 0
    """How many balances (account and asset) went into `balances_hash`."""


RecordT = TypeVar("RecordT", bound=tuple[Any, ...])


class Layout(Generic[RecordT]):
    """Packs and unpacks one record class. Cost of `unpack_from`: one struct call, one tuple."""

    def __init__(self, record: type[RecordT], size: int) -> None:
        hints = get_type_hints(record, include_extras=True)
        self.record = record
        self.fields = tuple((name, *hint.__metadata__) for name, hint in hints.items())
        self.struct = struct.Struct("<" + "".join(code for _, code, _ in self.fields))
        self.size = self.struct.size
        assert self.size == size, f"{record.__name__} has {self.size} bytes, not {size}"

    def pack(self, record: RecordT) -> bytes:
        """The bytes of `record`.

        Raises:
            struct.error: a value does not fit its field.
        """
        return self.struct.pack(*record)

    def unpack_from(self, data: Any, offset: int = 0) -> RecordT:
        """The record at `offset` of `data`.

        Raises:
            struct.error: fewer than `size` bytes follow `offset`.
        """
        return self.record._make(self.struct.unpack_from(data, offset))  # type: ignore[attr-defined, no-any-return]

    def c_struct(self) -> str:
        """The record as a `cdef struct` of Cython."""
        lines = [f"cdef struct {self.record.__name__}:"]
        for name, _, c_type in self.fields:
            if "[" in c_type:
                base, length = c_type[:-1].split("[")
                lines.append(f"    {base} {name}[{length}]")
            else:
                lines.append(f"    {c_type} {name}")
        return "\n".join(lines)


BATCH_HEADER = Layout(BatchHeader, 32)
COMMAND = Layout(Command, 128)
EVENT_HEADER = Layout(EventHeader, 48)
EVENT = Layout(Event, 256)
ASSET_DEFINITION = Layout(AssetDefinition, 4)
MARKET_DEFINITION = Layout(MarketDefinition, 88)
FEES = Layout(Fees, 8)
KEY_DEFINITION = Layout(KeyDefinition, 8)
EPOCH_START = Layout(EpochStart, 56)
STATE_REPORT = Layout(StateReport, 88)


class EngineStop(Exception):
    """The journal cannot be carried on from here; nothing is skipped in silence. The text says why."""


class MalformedRecord(ValueError):
    """The bytes are no record of this version; the text says what is wrong."""


def pack_parts(*parts: bytes) -> bytes:
    """The parts, each with its length in front as 16 bits.

    >>> pack_parts(b"BTC", b"")
    b'\\x03\\x00BTC\\x00\\x00'
    """
    return b"".join(struct.pack("<H", len(part)) + part for part in parts)


def unpack_parts(data: bytes) -> list[bytes]:
    """The inverse of `pack_parts`.

    Raises:
        MalformedRecord: a length points past the end.
    """
    parts = []
    position = 0
    while position < len(data):
        end = position + 2
        if end > len(data):
            raise MalformedRecord("a part's length is cut off")
        end += data[position] | data[position + 1] << 8
        if end > len(data):
            raise MalformedRecord("a part is cut off")
        parts.append(bytes(data[position + 2 : end]))
        position = end
    return parts


def client_id(text: str) -> bytes:
    """A client order id as it stands in a record: ASCII, zero-padded to 36 bytes.

    Raises:
        ValueError: more than 36 characters, or one outside ASCII.
    """
    data = text.encode("ascii")
    if len(data) > CLIENT_ID_BYTES:
        raise ValueError(f"a client order id has at most {CLIENT_ID_BYTES} characters, not {len(data)}")
    return data.ljust(CLIENT_ID_BYTES, b"\0")


class BatchBuilder:
    """Collects commands until they are appended as one journal entry.

    >>> builder = BatchBuilder()
    >>> builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"alice", b"operator", b"first client")
    0
    >>> len(builder.build(gateway=1, boot=1, number=1)) == 32 + 128 + len(builder.blobs)
    True
    """

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.blobs = bytearray()

    def __len__(self) -> int:
        return len(self.commands)

    @property
    def size(self) -> int:
        """Bytes of the batch if it were built now."""
        return BATCH_HEADER.size + len(self.commands) * COMMAND.size + len(self.blobs)

    def has_room(self, blob_length: int = 0) -> bool:
        """Whether one more command with that much blob fits into a batch."""
        return len(self.commands) < BATCH_COMMANDS_MAX and self.size + COMMAND.size + blob_length <= BATCH_BYTES_MAX

    def add(self, command: Command, *parts: bytes) -> int:
        """Adds a command with the parts of its blob and returns its index in the batch.

        Raises:
            struct.error: a value does not fit its field.
            OverflowError: the batch is full; ask `has_room` first.
        """
        blob = pack_parts(*parts)
        if not self.has_room(len(blob)):
            raise OverflowError("the batch is full")
        if blob:
            command = command._replace(blob_offset=len(self.blobs), blob_length=len(blob))
        self.commands.append(COMMAND.pack(command))
        self.blobs += blob
        return len(self.commands) - 1

    def build(self, *, gateway: int, boot: int, number: int) -> bytes:
        """The batch as bytes; the builder keeps its content, so a retry gives the same bytes."""
        header = BatchHeader(
            command_count=len(self.commands), gateway=gateway, boot=boot, number=number, blob_length=len(self.blobs)
        )
        return b"".join((BATCH_HEADER.pack(header), *self.commands, bytes(self.blobs)))


def parse_batch(data: bytes) -> tuple[BatchHeader, list[Command], bytes]:
    """Header, commands and blob area of a batch.

    Raises:
        MalformedRecord: the version is unknown, the count is over 256, or the lengths do not add up.
    """
    if len(data) < BATCH_HEADER.size:
        raise MalformedRecord("shorter than a batch header")
    header = BATCH_HEADER.unpack_from(data)
    blob_start = BATCH_HEADER.size + header.command_count * COMMAND.size
    if header.version != VERSION:
        raise MalformedRecord(f"version {header.version} is not known")
    if header.command_count > BATCH_COMMANDS_MAX or header.reserved != 0:
        raise MalformedRecord("the header has values out of range")
    if len(data) != blob_start + header.blob_length:
        raise MalformedRecord("the lengths do not add up")
    commands = [COMMAND.unpack_from(data, BATCH_HEADER.size + i * COMMAND.size) for i in range(header.command_count)]
    return header, commands, bytes(data[blob_start:])


class EventEntry:
    """One event entry, read lazily: the header at once, the events as they are asked for."""

    __slots__ = ("data", "header")

    def __init__(self, data: bytes) -> None:
        """
        Raises:
            MalformedRecord: the version is unknown or the lengths do not add up.
        """
        if len(data) < EVENT_HEADER.size:
            raise MalformedRecord("shorter than an event header")
        self.data = data
        self.header = EVENT_HEADER.unpack_from(data)
        if self.header.version != VERSION:
            raise MalformedRecord(f"version {self.header.version} is not known")
        if len(data) != EVENT_HEADER.size + self.header.event_count * EVENT.size + self.header.blob_length:
            raise MalformedRecord("the lengths do not add up")

    def __len__(self) -> int:
        return self.header.event_count

    def __iter__(self) -> Iterator[Event]:
        end = EVENT_HEADER.size + self.header.event_count * EVENT.size
        return map(Event._make, EVENT.struct.iter_unpack(memoryview(self.data)[EVENT_HEADER.size : end]))

    def parts(self, event: Event) -> list[bytes]:
        """The parts of the event's blob, in the order in which the command gave them."""
        start = EVENT_HEADER.size + self.header.event_count * EVENT.size + event.blob_offset
        return unpack_parts(self.data[start : start + event.blob_length])


def c_declarations() -> str:
    """The text of `engine/records.pxd`."""
    enums = (
        CommandKind,
        EventKind,
        Disposition,
        Side,
        OrderType,
        TimeInForce,
        SelfTradeMode,
        TradeFlag,
        MarketState,
        KeyType,
        Reason,
    )
    layouts = (
        BATCH_HEADER, COMMAND, EVENT_HEADER, EVENT, ASSET_DEFINITION, MARKET_DEFINITION, FEES, KEY_DEFINITION,
        EPOCH_START, STATE_REPORT,
    )  # fmt: skip
    sections = [
        "# Written by `python -m engine.records` from engine/records.py; a test keeps it current. Do not edit.",
        "from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t",
    ]
    for enum in enums:
        words = "".join("_" + letter if letter.isupper() else letter for letter in enum.__name__).upper().lstrip("_")
        sections.append("\n".join(["cdef enum:", *(f"    {words}_{member.name} = {member.value}" for member in enum)]))
    sections.extend(layout.c_struct() for layout in layouts)
    return "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".pxd").write_text(c_declarations())
