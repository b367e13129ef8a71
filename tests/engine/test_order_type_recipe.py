"""The recipe for a new order type in ARCHITECTURE.md, followed word for word in a copy of the repository.

The blocks of the page are the input: the row, the commands, the table. Only the number of the row is replaced by the next
free one, and its name where a type has that already, so that the test goes on when the venue has more types. The short form compiles nothing: it asks the
reference engine and the gateway, whose compiled codec does not know the new name and leaves the order to the dialect. The
long form compiles the copy, and asks the compiled core and the compiled codec as well.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from engine.order_types import OrderType
from tests.debug_build import ROOT, compile_extensions, copy_sources

SECTION = re.compile(r"^## How to add an order type\n(.*?)\n\n## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^(\w+) = (\d+), Terms\(")

ASK_THE_GATEWAY = """
import sys
from tests.worlds.gateway_in_process import GatewayInProcess

name = sys.argv[1]
rig = GatewayInProcess()
seller, buyer = rig.trader(BTC="1"), rig.trader(KZT="1000000")
assert all(name in symbol["orderTypes"] for symbol in buyer.result("exchangeInfo")["symbols"])
seller.place("BTCKZT", "SELL", "0.001", "45000000")
order = {"symbol": "BTCKZT", "side": "BUY", "type": name, "price": "46000000", "quantity": "0.003", "timestamp": rig.now_ms}
result = buyer.result("order.place", **order)
assert (result["type"], result["status"], result["executedQty"]) == (name, "EXPIRED", "0.00100000"), result
assert [fill["price"] for fill in result["fills"]] == ["45000000.00000000"], result
refused = buyer.refusal("order.place", **order, timeInForce="GTC")
assert refused == (-1106, "Parameter 'timeInForce' sent when not required."), refused
"""

COUNT_IN_THE_FLOW = """
import sys
from engine.order_types import OrderType
from engine.records import EventEntry, EventKind
from engine.reference import Core
from tests.engine.command_flow import CommandFlow

flow, core, trades = CommandFlow(1), Core(), 0
for _ in range(400):
    data = core.execute(*flow.next_entry())
    flow.learn(data)
    trades += sum(event.kind == EventKind.TRADE and event.order_type == OrderType[sys.argv[1]] for event in EventEntry(data))
assert trades > 10, trades
"""


def run_in(copy: Path, *arguments: str) -> None:
    """Runs Python on the copy; a failure shows what it said."""
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_tests_in(copy: Path, *arguments: str) -> None:
    """Runs tests of the copy. Where none is selected pytest fails, too."""
    run_in(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments)


def read_recipe() -> tuple[str, dict[str, str]]:
    """The name of the new type, and the blocks of the page by language, with a number and a name that are free."""
    section = SECTION.search((ROOT / "ARCHITECTURE.md").read_text())
    assert section is not None
    found = BLOCK.findall(section[1])
    blocks = dict(found)
    assert len(found) == len(blocks), "one block of each language"
    row = ROW.match(blocks["python"])
    assert row is not None
    name = row[1]
    blocks["python"] = blocks["python"].replace(row[0], f"{name} = {len(OrderType) + 1}, Terms(")
    if name in OrderType.__members__:
        blocks = {language: block.replace(name, f"{name}_TOO") for language, block in blocks.items()}
        name = f"{name}_TOO"
    return name, blocks


def add_row(rows: Path, row: str) -> None:
    """Puts a row at the end of the class `OrderType`."""
    source = rows.read_text()
    (order_type,) = (
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "OrderType"
    )
    assert order_type.end_lineno is not None
    lines = source.splitlines(keepends=True)
    lines.insert(order_type.end_lineno, textwrap.indent(row, "    "))
    rows.write_text("".join(lines))


def follow_the_recipe(copy: Path) -> str:
    """Copies the repository and does what the page says but for `make build`; the name of the new type."""
    name, blocks = read_recipe()
    copy_sources(copy)
    add_row(copy / "engine" / "order_types.py", blocks["python"])

    commands = blocks["sh"].splitlines()
    assert commands.pop() == "make build"
    for command in commands:
        python, *arguments = command.split()
        assert python == "python", command
        run_in(copy, *arguments)

    (copy / "tests" / "examples" / f"{name.lower()}.txt").write_text(blocks["text"])
    assert f"| `{name}` |" in (copy / "docs" / "order-types.md").read_text()
    return name


def test_the_recipe_is_all_that_a_new_type_needs(tmp_path: Path) -> None:
    name = follow_the_recipe(tmp_path)
    for pattern in ("*/*.so", "*/*/*.so"):
        for library in ROOT.glob(pattern):
            if library.parent.joinpath("__init__.py").exists():
                (tmp_path / library.relative_to(ROOT)).symlink_to(library)
    selected = (
        f"({name.lower()} and reference) or test_order_types_page or test_errors_page or declarations_are_current"
    )
    files = ["tests/engine/test_examples.py", "tests/engine/test_records.py"]
    files += ["tests/gateway/pages/test_order_types_page.py", "tests/gateway/pages/test_errors_page.py"]
    run_tests_in(tmp_path, "-k", selected, *files)
    run_in(tmp_path, "-c", ASK_THE_GATEWAY, name)


@pytest.mark.long
def test_the_recipe_is_enough_for_what_is_compiled(tmp_path: Path) -> None:
    name = follow_the_recipe(tmp_path)
    compile_extensions(tmp_path)
    run_in(tmp_path, "-c", ASK_THE_GATEWAY, name)
    run_in(tmp_path, "-c", COUNT_IN_THE_FLOW, name)
    run_tests_in(tmp_path, "tests/engine/test_examples.py", "tests/gateway/dialect/test_fast.py")
    run_tests_in(tmp_path, "tests/engine/test_twin.py", "-k", "leaves_both_states_sound")
