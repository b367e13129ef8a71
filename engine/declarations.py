"""Writes the C declarations, `engine/records.pxd` and `engine/order_types.pxd`, from the definitions in Python.

    python -m engine.declarations

A test keeps both files current.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

from engine import records
from engine.order_types import OrderFlag, OrderType, TimeInForce, order_flags
from engine.reasons import Reason

_ENUMS: tuple[type[IntEnum], ...] = (
    records.CommandKind,
    records.EventKind,
    records.Disposition,
    records.Side,
    records.SelfTradeMode,
    records.CommandFlag,
    records.EventFlag,
    records.AgendaKind,
    records.MarketState,
    records.KeyType,
    Reason,
)
_SIZES = (
    "VERSION",
    "BATCH_COMMANDS_MAX",
    "EVENTS_MAX",
    "EVENTS_BEGIN_MAX",
    "FILLS_MAX",
    "CLIENT_ID_BYTES",
    "PPM",
    "EVENT_BYTES",
)
"""Numbers of `engine.records` that C code needs under the same name with RECORD_ in front."""
_LAYOUTS: tuple[records.Layout[Any], ...] = (
    records.BATCH_HEADER, records.COMMAND, records.ORDER_TERMS, records.EVENT_HEADER, records.ORDER_EVENT,
    records.TRADE_EVENT, records.PREVENTED_EVENT, records.ASSET_DEFINITION, records.MARKET_DEFINITION, records.FEES,
    records.KEY_DEFINITION, records.TIER_LIMITS, records.EPOCH_START, records.STATE_REPORT, records.SAVED_VENUE,
    records.SAVED_ASSET, records.SAVED_MARKET, records.SAVED_ACCOUNT, records.SAVED_BALANCE, records.SAVED_FEES,
    records.SAVED_KEY, records.SAVED_ORDER, records.SAVED_AGENDA_ITEM, records.SAVED_PRODUCER,
)  # fmt: skip
_INTEGERS = "from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t"


def record_declarations() -> str:
    """The text of `engine/records.pxd`."""
    sizes = [f"    RECORD_{name} = {getattr(records, name)}" for name in _SIZES]
    constants = (
        "cdef extern from * nogil:",
        '    """',
        f"    #define JIBEK_NO_COMMAND {records.NO_COMMAND}u",
        f"    #define JIBEK_AMOUNT_MAX INT64_C({records.AMOUNT_MAX})",
        f"    #define JIBEK_BOOK_MAGIC {_c_bytes(records.BOOK_MAGIC)}",
        '    """',
        '    const uint32_t NO_COMMAND "JIBEK_NO_COMMAND"',
        "    # Largest amount, value or sum of an asset.",
        '    const int64_t AMOUNT_MAX "JIBEK_AMOUNT_MAX"',
        "    # What the saved state of an order book begins with.",
        '    const char* BOOK_MAGIC "JIBEK_BOOK_MAGIC"',
    )
    views = (
        "cdef union Event:",
        "    # An event is a trade where its kind says so; all views begin alike.",
        "    OrderEvent order",
        "    TradeEvent trade",
        "    PreventedEvent prevented",
    )
    sections = [_head("engine/records.py"), _INTEGERS, *map(_c_enum, _ENUMS), "\n".join(["cdef enum:", *sizes])]
    sections += ["\n".join(constants), *map(_c_struct, _LAYOUTS), "\n".join(views)]
    return "\n\n".join(sections) + "\n"


def order_type_declarations() -> str:
    """The text of `engine/order_types.pxd`: the constants, the names, and what an order of each type and time in force may
    do."""
    times = len(TimeInForce)
    rows = [[0] * times, *([int(order_flags(order_type, time)) for time in range(times)] for order_type in OrderType)]
    table = [f"        {{{', '.join(map(str, row))}}}," for row in rows]
    flags = (
        "cdef extern from * nogil:",
        '    """',
        f"    static const unsigned char jibek_order_flags[{len(rows)}][{times}] = {{",
        *table,
        "    };",
        '    """',
        "    # By order type, then by time in force; 0 where the type has not that time.",
        f'    const uint8_t ORDER_FLAGS "jibek_order_flags"[{len(rows)}][{times}]',
    )
    types, choices = ["", *(order_type.name for order_type in OrderType)], [time.name for time in TimeInForce]
    full_answers = [0, *(int(order_type.terms.full_answer) for order_type in OrderType)]
    names = (
        "cdef extern from * nogil:",
        '    """',
        f"    static const char *const jibek_order_type_names[{len(types)}] = {_c_list(map(_c_text, types))};",
        f"    static const unsigned char jibek_order_type_lengths[{len(types)}] = {_c_list(map(len, types))};",
        f"    static const unsigned char jibek_order_type_full_answers[{len(types)}] = {_c_list(full_answers)};",
        f"    static const char *const jibek_time_in_force_names[{times}] = {_c_list(map(_c_text, choices))};",
        f"    static const unsigned char jibek_time_in_force_lengths[{times}] = {_c_list(map(len, choices))};",
        '    """',
        "    # By number: the names of the wire and their lengths.",
        f'    const char *ORDER_TYPE_NAMES "jibek_order_type_names"[{len(types)}]',
        f'    const uint8_t ORDER_TYPE_LENGTHS "jibek_order_type_lengths"[{len(types)}]',
        "    # Whether a client that asks for no kind of answer gets the full one.",
        f'    const uint8_t ORDER_TYPE_FULL_ANSWERS "jibek_order_type_full_answers"[{len(types)}]',
        f'    const char *TIME_IN_FORCE_NAMES "jibek_time_in_force_names"[{times}]',
        f'    const uint8_t TIME_IN_FORCE_LENGTHS "jibek_time_in_force_lengths"[{times}]',
    )
    bounds = ("cdef enum:", f"    ORDER_TYPE_MAX = {len(OrderType)}", f"    TIME_IN_FORCE_MAX = {times - 1}")
    sections = [_head("engine/order_types.py"), "from libc.stdint cimport uint8_t"]
    sections += [_c_enum(OrderType), _c_enum(TimeInForce), _c_enum(OrderFlag), "\n".join(bounds)]
    sections += ["\n".join(flags), "\n".join(names)]
    return "\n\n".join(sections) + "\n"


def _c_bytes(data: bytes) -> str:
    """Bytes as a C string, which ends with one zero more; written twice over, because Cython reads it first."""
    return '"' + "".join(chr(byte) if 32 < byte < 127 else f"\\\\{byte:03o}" for byte in data) + '"'


def _head(source: str) -> str:
    return f"# Written by `python -m engine.declarations` from {source}; a test keeps it current. Do not edit."


def _c_enum(enum: type[IntEnum] | type[IntFlag]) -> str:
    words = "".join("_" + letter if letter.isupper() else letter for letter in enum.__name__).upper().lstrip("_")
    return "\n".join(["cdef enum:", *(f"    {words}_{member.name} = {int(member)}" for member in enum)])


def _c_text(text: str) -> str:
    return f'"{text}"'


def _c_list(items: Iterable[object]) -> str:
    return f"{{{', '.join(map(str, items))}}}"


def _c_struct(layout: records.Layout[Any]) -> str:
    """A record as a `cdef struct` of Cython."""
    lines = [f"cdef struct {layout.record.__name__}:"]
    for name, _, c_type in layout.fields:
        if "[" in c_type:
            base, length = c_type[:-1].split("[")
            lines.append(f"    {base} {name}[{length}]")
        else:
            lines.append(f"    {c_type} {name}")
    return "\n".join(lines)


FILES = {"records.pxd": record_declarations, "order_types.pxd": order_type_declarations}


def main() -> None:
    """Writes both files."""
    for name, text in FILES.items():
        (Path(__file__).parent / name).write_text(text())


if __name__ == "__main__":
    main()
