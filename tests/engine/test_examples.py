"""The tables in tests/examples, put to both engines line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core import Core
from engine.reference import Core as ReferenceCore
from tests.engine.scenario import Engine, Scenario, open_orders_of, read_examples

EXAMPLES = Path(__file__).parent.parent / "examples"
CASES = [
    pytest.param(path, title, lines, id=f"{path.stem}: {title}")
    for path in sorted(EXAMPLES.glob("*.txt"))
    for title, lines in read_examples(path)
]


@pytest.mark.parametrize("make_core", [Core, ReferenceCore], ids=["compiled", "reference"])
@pytest.mark.parametrize(("path", "title", "lines"), CASES)
def test_example(path: Path, title: str, lines: list[tuple[int, str, str]], make_core: type[Engine]) -> None:
    scenario = Scenario(make_core(), open_orders_of(title))
    for number, asked, expected in lines:
        assert scenario.run(asked) == expected, f"{path.name}:{number} ({title}): {asked}"
