"""What operators did, from journal and events, each entry verified against the chain and each other before anything of it is shown.

An `Act` is one command of an operator with its outcome. Its kind is the name of the command in lower case, such as `deposit` or
`key-add`; a halt and a resume have names of their own. A kind that this module knows nothing else about is shown by its fields.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.definitions import Rejected
from engine.journal import ChainReader, EntryId, JournalEntry, PublishedEntry, Source
from engine.listing import Listing
from engine.networks import format_networks
from engine.process.wall_clock import time_text
from engine.reasons import Reason
from engine.records import (
    BATCH_HEADER,
    COMMAND,
    FEES,
    HOUSE_ACCOUNT,
    KEY_DEFINITION,
    LIMIT_NAMES,
    OPERATOR_PARTS,
    TIER_LIMITS,
    Command,
    CommandKind,
    Disposition,
    EventEntry,
    EventKind,
    KeyType,
    MalformedRecord,
    MarketState,
    OrderEvent,
    Permission,
    parse_batch,
    unpack_parts,
)
from engine.service.clocks import ahead_or_behind
from jibek.console.text import percent_text
from jibek.venue.directory import text_of

ENTRIES_PER_READ = 16
"""An event entry has 2 MB at most."""
OF_NO_OPERATOR = frozenset(
    {
        CommandKind.EPOCH_START,
        CommandKind.TIME_TICK,
        CommandKind.ORDER_PLACE,
        CommandKind.ORDER_CANCEL,
        CommandKind.ORDER_CANCEL_ALL,
        CommandKind.STATE_REPORT,
    }
)
OF_OPERATORS = frozenset(CommandKind) - OF_NO_OPERATOR
STATE_KINDS = {MarketState.HALTED: "halt", MarketState.TRADING: "resume"}
KINDS = sorted(
    {*STATE_KINDS.values(), *(kind.name.lower().replace("_", "-") for kind in OF_OPERATORS)} - {"market-state-set"}
)


@dataclass(frozen=True, slots=True)
class Act:
    """One command of an operator, and what came of it. Texts are as they were written: escape them where they are shown."""

    id: EntryId
    time_us: int
    """The venue's time."""
    kind: str
    """One of `KINDS`."""
    account: str
    """"" where it concerns no account."""
    what: str
    refused: str
    """The name of the reason; "" if it was done."""
    operator: str
    system_user: str
    why: str


class Audit:
    """Reads a venue from its beginning; `acts` yields what operators did, the oldest first.

    Cost: every entry is read and hashed once; in memory are at most ENTRIES_PER_READ of them, and the names of accounts.
    """

    def __init__(self, source: Source) -> None:
        self._reader = ChainReader(source)
        self._end = source.published()
        self.entries = 0
        """How many entries were looked at."""
        self.listing = Listing()
        self.accounts = {HOUSE_ACCOUNT: "house"}

    @property
    def verified_to(self) -> EntryId:
        """The last entry that was verified."""
        return self._reader.cursor

    @property
    def head(self) -> bytes:
        """The head of the chain there."""
        return self._reader.head

    def acts(self, progress: Callable[[int, int], None] | None = None) -> Iterator[Act]:
        """
        Args:
            progress: is called with the number of entries read and of those to read, as far as it is known.

        Raises:
            ChainBroken: an entry is missing, changed or out of order; what came before was right.
            redis.ConnectionError, redis.TimeoutError: the store is away.
        """
        while self.verified_to < self._end and (pairs := self._reader.read(count=ENTRIES_PER_READ)):
            for entry, published in pairs:
                self.entries += 1
                if may_be_of_operator(entry.batch):
                    yield from self._acts_of(entry, published)
            if progress is not None:
                progress(self.entries, max(self.entries, self._end.sequence))

    def _acts_of(self, journal_entry: JournalEntry, published: PublishedEntry) -> Iterator[Act]:
        entry = EventEntry(published.data)
        if entry.header.disposition != Disposition.EXECUTED:
            return
        _, commands, blobs = parse_batch(journal_entry.batch)
        # A freeze has more events, of the orders that it closes, after its own.
        answers: dict[int, OrderEvent] = {}
        for event in entry:
            if isinstance(event, OrderEvent) and event.command in OF_OPERATORS:
                answers.setdefault(event.command_index, event)
        for index, answer in sorted(answers.items()):
            command = commands[index]
            if answer.kind == EventKind.ACCOUNT_ADDED:
                self.accounts[answer.account] = text_of(entry.parts(answer)[0])
            yield self._act(published.id, entry.header.time_us, command, answer, parts_of(command, blobs))
            self.listing.apply(entry, answer)

    def _act(self, id: EntryId, time_us: int, command: Command, answer: OrderEvent, parts: list[bytes]) -> Act:
        kind = CommandKind(command.kind)
        if kind == CommandKind.MARKET_STATE_SET:
            name = STATE_KINDS.get(command.state, "halt")  # type: ignore[call-overload]
        else:
            name = kind.name.lower().replace("_", "-")
        signature = [text_of(part) for part in parts[-OPERATOR_PARTS:]] if len(parts) >= OPERATOR_PARTS else [""] * 3
        operator, why, system_user = signature
        number = answer.account
        concerns_account = number != HOUSE_ACCOUNT
        return Act(
            id=id,
            time_us=time_us,
            kind=name,
            account=self.accounts.get(number, f"number {number}") if concerns_account else "",
            what=self._what(kind, command, parts[:-OPERATOR_PARTS]),
            refused=Reason(answer.reason).name if answer.kind == EventKind.REJECTED else "",
            operator=operator,
            system_user=system_user,
            why=why,
        )

    def _what(self, kind: CommandKind, command: Command, parts: list[bytes]) -> str:
        """What a command asks for, beyond its kind and its account."""
        try:
            describe = _DESCRIPTIONS.get(kind, _fields)
            return describe(self, command, parts)
        except (ValueError, IndexError, KeyError, OverflowError, OSError, struct.error, MalformedRecord, Rejected):
            # A command that was refused may hold anything.
            return "unreadable"

    def market(self, number: int) -> str:
        return self.listing.markets[number].symbol if number in self.listing.markets else f"market {number}"


def may_be_of_operator(batch: bytes) -> bool:
    """Whether a batch may hold a command of an operator; a yes may be wrong, a no never is.

    Cost: one slice over the first byte of each command. It runs on into the blobs, hence the wrong yes.
    """
    return not OF_OPERATORS.isdisjoint(batch[BATCH_HEADER.size :: COMMAND.size])


def parts_of(command: Command, blobs: bytes) -> list[bytes]:
    """The parts of a command's blob; none where it cannot be read."""
    try:
        return unpack_parts(blobs[command.blob_offset : command.blob_offset + command.blob_length])
    except MalformedRecord:
        return []


# -- what each kind asks for


def _transfer(audit: Audit, command: Command, parts: list[bytes]) -> str:
    asset = audit.listing.assets.get(command.asset)
    return (
        f"{command.amount} of asset {command.asset}"
        if asset is None
        else f"{asset.format(command.amount)} {asset.name}"
    )


def _market_state(audit: Audit, command: Command, parts: list[bytes]) -> str:
    return audit.market(command.market) if command.market else "the whole venue"


def _time(audit: Audit, command: Command, parts: list[bytes]) -> str:
    clocks = f", and a store's clock {ahead_or_behind(command.amount)} the machine's" if command.amount else ""
    return f"the venue's time{clocks}"


def _name(audit: Audit, command: Command, parts: list[bytes]) -> str:
    return text_of(parts[0])


def _definition(audit: Audit, command: Command, parts: list[bytes]) -> str:
    return text_of(parts[1])


def _fees(audit: Audit, command: Command, parts: list[bytes]) -> str:
    fees = FEES.unpack_from(parts[0])
    place = audit.market(command.market) if command.market else "all markets"
    return f"{place}: maker {percent_text(fees.maker_fee_ppm)}, taker {percent_text(fees.taker_fee_ppm)}"


def _limits(audit: Audit, command: Command, parts: list[bytes]) -> str:
    limits = TIER_LIMITS.unpack_from(parts[0])
    numbers = [f"{name} {number:,}" for name in LIMIT_NAMES if (number := getattr(limits, name))]
    return f"{text_of(parts[1])}: {', '.join(numbers) or 'as default'}"


def _key(audit: Audit, command: Command, parts: list[bytes]) -> str:
    definition = KEY_DEFINITION.unpack_from(parts[0])
    may = ", ".join(permission.name.lower() for permission in Permission if definition.permissions & permission)
    until = time_text(definition.expiry_us) if definition.expiry_us else "never"
    places = ", ".join(format_networks(parts[3])) or "everywhere"
    kind = KeyType(definition.key_type).name.lower()
    return f"{text_of(parts[1])}: {kind}, may {may}, expires {until}, from {places}"


def _fields(audit: Audit, command: Command, parts: list[bytes]) -> str:
    left_out = {"kind", "account", "blob_offset", "blob_length"}
    fields = {name: value for name, value in command._asdict().items() if name not in left_out and any(_bytes(value))}
    return ", ".join([*(f"{name} {value}" for name, value in fields.items()), *map(text_of, parts)])


def _bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else bytes([value != 0])


_DESCRIPTIONS: dict[CommandKind, Callable[[Audit, Command, list[bytes]], str]] = {
    CommandKind.DEPOSIT: _transfer,
    CommandKind.WITHDRAW: _transfer,
    CommandKind.MARKET_STATE_SET: _market_state,
    CommandKind.TIME_ACCEPT: _time,
    CommandKind.ACCOUNT_ADD: _name,
    CommandKind.ACCOUNT_FREEZE: lambda audit, command, parts: "",
    CommandKind.ACCOUNT_UNFREEZE: lambda audit, command, parts: "",
    CommandKind.ACCOUNT_LIMITS_SET: _name,
    CommandKind.KEY_ADD: _key,
    CommandKind.KEY_REVOKE: _name,
    CommandKind.ASSET_ADD: _definition,
    CommandKind.MARKET_ADD: _definition,
    CommandKind.FEES_SET: _fees,
    CommandKind.LIMITS_SET: _limits,
}
