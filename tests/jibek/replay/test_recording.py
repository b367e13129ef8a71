from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from engine.records import Side
from jibek.replay.recording import Action, OrderFlowError, Row, read_order_flow

HEADING = "id,timestamp,exchange.timestamp,price,volume,action,direction"
GOOD = "65595247,1430438404518,1430438404000,236.47,200000000,created,bid"
GOOD_ROW = Row(65595247, 1430438404518, 236_47000000, 200000000, Action.CREATED, Side.BUY)

# what is wrong             the line                                       what is said of it
MALFORMED = (
    ("a field is missing",  "65595247,1430438404518,0,236.47,1,created",       "it has 6 fields, the heading has 7"),
    ("a field too many",    "1,2,3,236.47,1,created,bid,more",                 "it has 8 fields, the heading has 7"),
    ("an empty line",       "",                                                "it has 0 fields, the heading has 7"),
    ("id is not a number",  "x,2,3,236.47,1,created,bid",                      "id 'x' is not a whole number"),
    ("id is zero",          "0,2,3,236.47,1,created,bid",                      "id '0' is not a whole number from 1"),
    ("id is negative",      "-5,2,3,236.47,1,created,bid",                     "id '-5' is not a whole number"),
    ("id is too large",     "9223372036854775808,2,3,236.47,1,created,bid",    "id '9223372036854775808' is not"),
    ("id is very long",     f"{'9' * 5000},2,3,236.47,1,created,bid",          "id '9999999999"),
    ("id in other digits",  "٣,2,3,236.47,1,created,bid",                      "id '٣' is not a whole number"),
    ("time is not a number", "1,yesterday,3,236.47,1,created,bid",              "timestamp 'yesterday' is not"),
    ("price is zero",       "1,2,3,0.00,1,created,bid",                        "price '0.00' is not a positive decimal"),
    ("price is negative",   "1,2,3,-236.47,1,created,bid",                     "price '-236.47' is not a positive decimal"),
    ("price has exponent",  "1,2,3,2e2,1,created,bid",                         "price '2e2' is not a positive decimal"),
    ("price is NaN",        "1,2,3,NaN,1,created,bid",                         "price 'NaN' is not a positive decimal"),
    ("price is too fine",   "1,2,3,1.000000001,1,created,bid",                 "price '1.000000001' is not"),
    ("price is too large",  "1,2,3,99999999999999,1,created,bid",              "price '99999999999999' is not"),
    ("volume is a decimal", "1,2,3,236.47,1.5,created,bid",                    "volume '1.5' is not a whole number from 0"),
    ("volume is negative",  "1,2,3,236.47,-1,created,bid",                     "volume '-1' is not a whole number"),
    ("action is unknown",   "1,2,3,236.47,1,moved,bid",                        "action 'moved' is not one of created, changed, deleted"),
    ("direction is unknown","1,2,3,236.47,1,created,buy",                      "direction 'buy' is not one of bid, ask"),
)  # fmt: skip


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "flow.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_rows_come_in_file_order(tmp_path: Path) -> None:
    path = write(tmp_path, HEADING, GOOD, "7,1430438404000,0,0.00000001,0,deleted,ask", "7,0,0,10000000,3,changed,ask")
    assert list(read_order_flow(path)) == [
        GOOD_ROW,
        Row(7, 1430438404000, 1, 0, Action.DELETED, Side.SELL),
        Row(7, 0, 10000000 * 10**8, 3, Action.CHANGED, Side.SELL),
    ]


def test_columns_may_stand_in_any_order_among_others(tmp_path: Path) -> None:
    path = write(tmp_path, "note,direction,action,volume,price,timestamp,id", '"a,b",bid,created,200000000,236.47,1,5')
    assert list(read_order_flow(path)) == [Row(5, 1, 236_47000000, 200000000, Action.CREATED, Side.BUY)]


def test_the_file_in_the_documentation_is_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "replay.md").read_text()
    block = next(block for block in text.split("```") if HEADING in block)
    actions = [row.action for row in read_order_flow(write(tmp_path, *block.split()))]
    assert actions == [Action.CREATED, Action.CHANGED, Action.DELETED]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_of_other_systems_are_read(tmp_path: Path, mark: str, ending: str) -> None:
    path = tmp_path / "flow.csv"
    path.write_bytes(f"{mark}{HEADING}{ending}{GOOD}{ending}".encode())
    assert list(read_order_flow(path)) == [GOOD_ROW]


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "flow.csv.xz"
    path.write_bytes(lzma.compress(f"{HEADING}\n{GOOD}\n".encode()))
    assert list(read_order_flow(path)) == [GOOD_ROW]


@pytest.mark.parametrize(("line", "said"), [pytest.param(*rest, id=name) for name, *rest in MALFORMED])
def test_a_malformed_line_is_named_by_its_number(tmp_path: Path, line: str, said: str) -> None:
    rows = read_order_flow(write(tmp_path, HEADING, GOOD, line, GOOD))
    assert next(rows) == GOOD_ROW
    with pytest.raises(OrderFlowError) as raised:
        next(rows)
    assert str(raised.value).startswith("line 3: ")
    assert said in str(raised.value)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("column", ["id", "timestamp", "price", "volume", "action", "direction"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    heading = ",".join("other" if name == column else name for name in HEADING.split(","))
    path = write(tmp_path, heading, GOOD)
    with pytest.raises(OrderFlowError, match=f"line 1: the heading has no column '{column}'"):
        list(read_order_flow(path))


def test_an_empty_file_has_no_heading(tmp_path: Path) -> None:
    with pytest.raises(OrderFlowError, match="line 1: the heading has no column 'id'"):
        list(read_order_flow(write(tmp_path)))


def test_a_damaged_file_is_distinguished_from_a_malformed_one(tmp_path: Path) -> None:
    path = tmp_path / "flow.csv.xz"
    compressed = lzma.compress("\n".join([HEADING, *[GOOD] * 1000]).encode())
    for content in (b"no xz at all", compressed[: len(compressed) // 2]):
        path.write_bytes(content)
        with pytest.raises(OrderFlowError, match="the file is damaged or no CSV"):
            list(read_order_flow(path))
    path = tmp_path / "flow.csv"
    path.write_bytes(f"{HEADING}\n{GOOD}\n".encode() + b"\xff\xfe\n")
    with pytest.raises(OrderFlowError, match="the file is damaged or no CSV"):
        list(read_order_flow(path))
