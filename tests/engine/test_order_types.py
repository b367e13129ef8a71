"""The rows of the order types: what they say, and which rows the engine could not follow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine import order_types
from engine.order_types import OrderFlag, OrderType, TimeInForce, order_flags

SOURCE = Path(order_types.__file__).read_text()
AFTER_ROWS = "\n\n\nassert [int(order_type)"
FLAG = OrderFlag


def with_rows(*rows: str) -> str:
    """The module with further rows."""
    assert AFTER_ROWS in SOURCE
    return SOURCE.replace(AFTER_ROWS, "".join(f"\n    {row}" for row in rows) + AFTER_ROWS)


@pytest.mark.parametrize(
    ("order_type", "time_in_force", "flags"),
    [
        (OrderType.LIMIT, TimeInForce.GTC, FLAG.HAS_LIMIT | FLAG.MAY_REST | FLAG.MAY_TAKE),
        (OrderType.LIMIT, TimeInForce.IOC, FLAG.HAS_LIMIT | FLAG.MAY_TAKE),
        (OrderType.LIMIT, TimeInForce.FOK, FLAG.HAS_LIMIT | FLAG.MAY_TAKE | FLAG.ALL_OR_NONE),
        (OrderType.LIMIT, TimeInForce.NONE, FLAG(0)),
        (OrderType.MARKET, TimeInForce.NONE, FLAG.MAY_TAKE | FLAG.BY_QUOTE),
        (OrderType.MARKET, TimeInForce.GTC, FLAG(0)),
        (OrderType.LIMIT_MAKER, TimeInForce.NONE, FLAG.HAS_LIMIT | FLAG.MAY_REST),
        (0, TimeInForce.GTC, FLAG(0)),
        (len(OrderType) + 1, TimeInForce.NONE, FLAG(0)),
    ],
)
def test_what_an_order_may_do(order_type: int, time_in_force: int, flags: OrderFlag) -> None:
    assert order_flags(order_type, time_in_force) == flags


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("X = 4, Terms(limit=False, rests=True, takes=True, times_in_force=(TimeInForce.GTC,))", "price to rest at"),
        ("X = 4, Terms(limit=True, rests=False, takes=False, times_in_force=_GTC_IOC_FOK)", "neither takes nor rests"),
        ("X = 4, Terms(limit=True, rests=True, takes=False, times_in_force=(TimeInForce.IOC,))", "does nothing"),
        ("X = 4, Terms(True, True, True, _GTC_IOC_FOK, by_quote=True)", "has no limit"),
        ("X = 4, Terms(False, False, True, (TimeInForce.FOK,), by_quote=True)", "filled whole"),
        ("X = 4, Terms(True, True, True, _GTC_IOC_FOK, trigger=True)", "trigger"),
        ("X = 3, Terms(True, True, True, _GTC_IOC_FOK)", "duplicate values"),
        ("X = 5, Terms(True, True, True, _GTC_IOC_FOK)", "dense"),
    ],
)
def test_a_row_that_the_engine_could_not_follow_is_refused_at_import(row: str, fault: str, tmp_path: Path) -> None:
    module = tmp_path / "rows.py"
    module.write_text(with_rows(row))
    done = subprocess.run([sys.executable, str(module)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert fault in done.stderr, done.stderr


def test_fifteen_types_are_all_that_the_core_can_pack(tmp_path: Path) -> None:
    numbers = range(len(OrderType) + 1, 17)
    module = tmp_path / "rows.py"
    module.write_text(
        with_rows(*(f"T{number} = {number}, Terms(True, True, True, _GTC_IOC_FOK)" for number in numbers))
    )
    done = subprocess.run([sys.executable, str(module)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PACKED_MAX" in done.stderr, done.stderr
