"""The rules of double entry: what an event entry moves, as balanced transfers.

A transfer moves an amount of one asset from the account it debits to the account it credits, so debits equal credits
whatever the events say. Transfers are never changed; their bytes are stored entry by entry and anybody can compute them
again from the events:

| event | transfer | debit | credit |
| --- | --- | --- | --- |
| ORDER_ACCEPTED | HOLD | owner's funds | owner's hold |
| TRADE | PAYMENT, quote asset | buyer's hold (funds where it held nothing) | seller's funds |
| | IMPROVEMENT, what the buyer's hold had beyond the price | buyer's hold | buyer's funds |
| | DELIVERY, base asset | seller's hold (funds where it held nothing) | buyer's funds |
| | BUYER_FEE, base asset; SELLER_FEE, quote asset; each only where it is not 0 | receiver's funds | the house's FEE |
| ORDER_CLOSED | RELEASE | owner's hold | owner's funds |
| every other event of an order | HOLD or RELEASE, where it changes the hold; TRADE_PREVENTED has two orders | | |
| DEPOSITED | DEPOSIT_IN, then DEPOSIT | CUSTODY, then CLEARING | CLEARING, then owner's funds |
| WITHDRAWN | WITHDRAWAL, then WITHDRAWAL_OUT | owner's funds, then CLEARING | CLEARING, then CUSTODY |

Funds are the CLIENT account of a client and the FEE account of the house. All other events move nothing.

`post` is the specification, and what audits use: one loop over the bytes, plain integers and tuples. Settlement uses
`ledger.fast_postings`, which is the same in C.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any, NamedTuple

from engine.records import (
    EVENT_BYTES,
    EVENT_HEADER,
    ORDER_EVENT,
    PREVENTED_EVENT,
    TRADE_EVENT,
    EventEntry,
    EventKind,
    Layout,
    Side,
)
from ledger.accounts import CREDIT_SHIFT, DEBIT_SHIFT, AccountKind


class PostingError(Exception):
    """An event contradicts itself, so no transfers follow from it: a broken promise of the engine, never bad input."""


class TransferCode(IntEnum):
    """Why money moved. The numbers stand in stored transfers: none is ever used again for another reason."""

    HOLD = 1
    RELEASE = 2
    IMPROVEMENT = 3
    PAYMENT = 10
    DELIVERY = 11
    BUYER_FEE = 12
    SELLER_FEE = 13
    DEPOSIT_IN = 20
    DEPOSIT = 21
    WITHDRAWAL = 22
    WITHDRAWAL_OUT = 23


class Transfer(NamedTuple):
    """One movement of money, in the order of its stored fields."""

    debit: int
    """Number of the account that is debited (`ledger.accounts.Account`)."""
    credit: int
    amount: int
    """Smallest units of the asset, always positive."""
    event_index: int
    """Which event of its entry moved it, from 0."""
    asset: int
    code: int


TRANSFER_STRUCT = struct.Struct("<QQqIHH")
TRANSFER_BYTES = TRANSFER_STRUCT.size
assert TRANSFER_BYTES == 32

TransferFields = tuple[int, int, int, int, int, int]


class Posted(NamedTuple):
    """What an event entry moves."""

    transfers: bytes
    """All its transfers, packed, in the order of the events."""
    changes: dict[int, int]
    """Slot -> what is added to its counters (`ledger.accounts`): the same transfers, netted."""


# -- plain integers and narrow structs for the hot loop


def _fields(view: Layout[Any], *names: str) -> struct.Struct:
    """A struct that reads only these fields of an event; they must be named in their stored order."""
    wanted = list(names)
    codes = []
    for name, code, _ in view.fields:
        if wanted and name == wanted[0]:
            wanted.pop(0)
            codes.append(code)
        else:
            codes.append(f"{struct.calcsize('<' + code)}x")
    assert not wanted, f"{wanted[0]} is no field of {view.record.__name__}, or is out of order"
    return struct.Struct("<" + "".join(codes))


_ORDER_FIELDS = _fields(ORDER_EVENT, "side", "account", "base_asset", "quote_asset", "hold_change")
_TRADE_FIELDS = _fields(
    TRADE_EVENT, "side", "account", "base_asset", "quote_asset", "maker_account", "quote_amount", "hold_change",
    "base_amount", "maker_hold_change", "fee", "maker_fee",
)  # fmt: skip
_MAKER_FIELDS = _fields(PREVENTED_EVENT, "side", "base_asset", "quote_asset", "maker_account", "maker_hold_change")
_MONEY_FIELDS = _fields(ORDER_EVENT, "account", "asset", "amount")

_TRADE = int(EventKind.TRADE)
_TRADE_PREVENTED = int(EventKind.TRADE_PREVENTED)
_DEPOSITED = int(EventKind.DEPOSITED)
_WITHDRAWN = int(EventKind.WITHDRAWN)
_REJECTED = int(EventKind.REJECTED)
_BUY = int(Side.BUY)
_SELL = int(Side.SELL)

_CLIENT = int(AccountKind.CLIENT)
_HOLD = int(AccountKind.HOLD)
_FEE = int(AccountKind.FEE)
_CUSTODY = int(AccountKind.CUSTODY)
_CLEARING = int(AccountKind.CLEARING)
_DEBIT_SHIFTS = (0, *(DEBIT_SHIFT[kind] for kind in AccountKind))
_CREDIT_SHIFTS = (0, *(CREDIT_SHIFT[kind] for kind in AccountKind))
assert tuple(AccountKind) == (1, 2, 3, 4, 5), "the shifts are looked up by the number of the kind"

_CODE_HOLD = int(TransferCode.HOLD)
_CODE_RELEASE = int(TransferCode.RELEASE)
_CODE_IMPROVEMENT = int(TransferCode.IMPROVEMENT)
_CODE_PAYMENT = int(TransferCode.PAYMENT)
_CODE_DELIVERY = int(TransferCode.DELIVERY)
_CODE_BUYER_FEE = int(TransferCode.BUYER_FEE)
_CODE_SELLER_FEE = int(TransferCode.SELLER_FEE)
_CODE_DEPOSIT_IN = int(TransferCode.DEPOSIT_IN)
_CODE_DEPOSIT = int(TransferCode.DEPOSIT)
_CODE_WITHDRAWAL = int(TransferCode.WITHDRAWAL)
_CODE_WITHDRAWAL_OUT = int(TransferCode.WITHDRAWAL_OUT)


def post(data: bytes) -> Posted:
    """The transfers that follow from an event entry.

    Raises:
        PostingError: an event contradicts itself; the text says where.
        MalformedRecord: the bytes are no event entry of this version.

    Cost: about 5 µs a trade.
    """
    transfers: list[TransferFields] = []
    position = EVENT_HEADER.size
    for index in range(EventEntry(data).header.event_count):
        kind = data[position]
        if kind == _TRADE:
            _post_trade(transfers, index, *_TRADE_FIELDS.unpack_from(data, position))
        elif kind == _DEPOSITED:
            _post_deposit(transfers, index, *_MONEY_FIELDS.unpack_from(data, position))
        elif kind == _WITHDRAWN:
            _post_withdrawal(transfers, index, *_MONEY_FIELDS.unpack_from(data, position))
        elif kind != _REJECTED:
            _post_hold(transfers, index, *_ORDER_FIELDS.unpack_from(data, position))
            if kind == _TRADE_PREVENTED:
                side, base_asset, quote_asset, maker, change = _MAKER_FIELDS.unpack_from(data, position)
                maker_side = _SELL if side == _BUY else _BUY
                _post_hold(transfers, index, maker_side, maker, base_asset, quote_asset, change)
        position += EVENT_BYTES
    return Posted(pack_transfers(transfers), net(transfers))


def net(transfers: Iterable[TransferFields]) -> dict[int, int]:
    """What transfers add to the counters of each slot they touch."""
    changes: dict[int, int] = {}
    get = changes.get
    for debit, credit, amount, _, _, _ in transfers:
        slot = debit >> 16
        changes[slot] = get(slot, 0) + (amount << _DEBIT_SHIFTS[debit & 0xFFFF])
        slot = credit >> 16
        changes[slot] = get(slot, 0) + (amount << _CREDIT_SHIFTS[credit & 0xFFFF])
    return changes


def pack_transfers(transfers: Iterable[TransferFields]) -> bytes:
    """The transfers of an entry as they are stored, 32 bytes each."""
    pack = TRANSFER_STRUCT.pack
    return b"".join([pack(*transfer) for transfer in transfers])


def unpack_transfers(blob: bytes) -> Iterator[Transfer]:
    """The transfers of a stored entry.

    Raises:
        struct.error: the length is not a multiple of 32.
    """
    return map(Transfer._make, TRANSFER_STRUCT.iter_unpack(blob))


# -- one function per rule


def _post_hold(
    transfers: list[TransferFields],
    index: int,
    side: int,
    account: int,
    base_asset: int,
    quote_asset: int,
    hold_change: int,
) -> None:
    """What an order sets aside, mostly when it is accepted, and what it gives back, mostly when it is closed."""
    if hold_change == 0:
        return
    asset = quote_asset if side == _BUY else base_asset
    funds, hold = _funds(account, asset), _hold(account, asset)
    if hold_change > 0:
        transfers.append((funds, hold, hold_change, index, asset, _CODE_HOLD))
    else:
        transfers.append((hold, funds, -hold_change, index, asset, _CODE_RELEASE))


def _post_trade(
    transfers: list[TransferFields],
    index: int,
    side: int,
    taker: int,
    base_asset: int,
    quote_asset: int,
    maker: int,
    quote_amount: int,
    taker_hold: int,
    base_amount: int,
    maker_hold: int,
    taker_fee: int,
    maker_fee: int,
) -> None:
    """A fill: quote asset from the buyer to the seller, base asset from the seller to the buyer, a fee from each."""
    if side == _BUY:
        buyer, buyer_hold, buyer_fee, seller, seller_hold, seller_fee = taker, -taker_hold, taker_fee, maker, -maker_hold, maker_fee  # fmt: skip
    else:
        buyer, buyer_hold, buyer_fee, seller, seller_hold, seller_fee = maker, -maker_hold, maker_fee, taker, -taker_hold, taker_fee  # fmt: skip
    if base_amount <= 0 or quote_amount <= 0 or buyer_fee < 0 or seller_fee < 0:
        raise PostingError(f"event {index}: a trade of no amount, or with a negative fee")
    buyer_quote, buyer_base = _funds(buyer, quote_asset), _funds(buyer, base_asset)
    seller_quote, seller_base = _funds(seller, quote_asset), _funds(seller, base_asset)

    if buyer_hold == 0:
        transfers.append((buyer_quote, seller_quote, quote_amount, index, quote_asset, _CODE_PAYMENT))
    else:
        held = _hold(buyer, quote_asset)
        transfers.append((held, seller_quote, quote_amount, index, quote_asset, _CODE_PAYMENT))
        if buyer_hold > quote_amount:
            transfers.append((held, buyer_quote, buyer_hold - quote_amount, index, quote_asset, _CODE_IMPROVEMENT))
        elif buyer_hold < quote_amount:
            raise PostingError(f"event {index}: the buyer's hold gives {buyer_hold} for a price of {quote_amount}")

    if seller_hold == 0:
        transfers.append((seller_base, buyer_base, base_amount, index, base_asset, _CODE_DELIVERY))
    elif seller_hold == base_amount:
        transfers.append((_hold(seller, base_asset), buyer_base, base_amount, index, base_asset, _CODE_DELIVERY))
    else:
        raise PostingError(f"event {index}: the seller's hold gives {seller_hold} for a quantity of {base_amount}")

    if buyer_fee:
        transfers.append((buyer_base, _fee(base_asset), buyer_fee, index, base_asset, _CODE_BUYER_FEE))
    if seller_fee:
        transfers.append((seller_quote, _fee(quote_asset), seller_fee, index, quote_asset, _CODE_SELLER_FEE))


def _post_deposit(transfers: list[TransferFields], index: int, account: int, asset: int, amount: int) -> None:
    if amount <= 0:
        raise PostingError(f"event {index}: a deposit of {amount}")
    custody, clearing = asset << 16 | _CUSTODY, asset << 16 | _CLEARING
    transfers.append((custody, clearing, amount, index, asset, _CODE_DEPOSIT_IN))
    transfers.append((clearing, _funds(account, asset), amount, index, asset, _CODE_DEPOSIT))


def _post_withdrawal(transfers: list[TransferFields], index: int, account: int, asset: int, amount: int) -> None:
    if amount <= 0:
        raise PostingError(f"event {index}: a withdrawal of {amount}")
    custody, clearing = asset << 16 | _CUSTODY, asset << 16 | _CLEARING
    transfers.append((_funds(account, asset), clearing, amount, index, asset, _CODE_WITHDRAWAL))
    transfers.append((clearing, custody, amount, index, asset, _CODE_WITHDRAWAL_OUT))


# -- account numbers, as `ledger.accounts.Account.number` gives them


def _funds(owner: int, asset: int) -> int:
    return owner << 32 | asset << 16 | (_CLIENT if owner else _FEE)


def _hold(owner: int, asset: int) -> int:
    return owner << 32 | asset << 16 | _HOLD


def _fee(asset: int) -> int:
    return asset << 16 | _FEE
