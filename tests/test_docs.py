"""The pages say what is: their examples run, what docs/invariants.md names exists, the README names every method, and
ARCHITECTURE.md every dependency."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import pytest

from gateway.handlers.routes import ROUTES
from gateway.view.streams.depth import DepthStreams
from gateway.view.streams.ticker import TickerStream
from gateway.view.streams.trade import TradeStream

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.glob("*.md")) if ">>>" in path.read_text()]

INVARIANTS = (DOCS / "invariants.md").read_text()
ROWS = re.findall(r"^\| I(\d+) \| (.+?) \| (.+?) \| (.+?) \|$", INVARIANTS, re.MULTILINE)
PLACE = re.compile(r"`([\w/.]+)::(\w+)`")
EXAMPLE_PATHS = ("engine/core/x", "engine/reference/x.py")

CITED = re.compile(r"(?:#|\"\"\") ?((?:I\d+(?:, )?)+):")
"""How code cites invariants: `# I3, I4: no balance is negative`."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path) -> None:
    pytest.importorskip("numpy")
    failed, attempted = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert attempted and not failed


def defines(path: Path, name: str) -> bool:
    """Whether a function, class or constant of this name is made in a file of Python, Cython or Lua."""
    pattern = rf"^\s*(?:def|class|cdef|cpdef|local function)\b[^\n=]*\b{name}\b *[(:]|^{name}\b *="
    return re.search(pattern, path.read_text(), re.MULTILINE) is not None


def test_the_readme_names_every_method_that_a_client_may_call() -> None:
    readme = (ROOT / "README.md").read_text()
    named = re.search(r"^What clients may send: `([^`]+)` on `/ws-api/v3`", readme, re.MULTILINE)
    assert named is not None
    assert sorted(named[1].split()) == sorted(ROUTES), "add it to README.md, or remove it there: What clients may send"


def test_the_readme_names_every_stream_that_a_client_may_follow() -> None:
    readme = (ROOT / "README.md").read_text()
    named = re.search(r"the streams `([^`]+)` on `/ws`", readme)
    assert named is not None
    kinds = {f"@{name}" for kind in (TradeStream, TickerStream, DepthStreams) for name in kind.names}
    assert set(named[1].split()) == kinds, "add it to README.md, or remove it there: What clients may send"


def test_the_architecture_gives_a_reason_for_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = [project["build-system"]["requires"], project["project"]["dependencies"]]
    lists += project["project"]["optional-dependencies"].values()
    packages = {re.split(r"[^\w-]", requirement)[0] for requirements in lists for requirement in requirements}
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("\n## Dependencies\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))))
    assert packages - {"jibek"} <= named


def test_the_architecture_names_files_that_exist() -> None:
    """Full paths, and in each section the names in the first column of its table: files of the folder in its title."""
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    missing = []
    for path in re.findall(r"`((?:bench|docs|engine|gateway|jibek|ledger|tests)/[\w/]+(?:\.\w+)?)`", architecture):
        if path not in EXAMPLE_PATHS and not is_file_or_module(ROOT / path):
            missing.append(path)
    tables = re.findall(r"^##+ ([^#]+?)\n[^#]*?^\| (?:file|folder) \|.*\n((?:\|.*\n)+)", architecture, re.MULTILINE)
    assert len(tables) > 8, "the tables of files and folders are read"
    for title, table in tables:
        folders = [word for word in title.split() if (ROOT / word).is_dir()]
        names = re.findall(r"`([\w/]+)(?:\.\w+|\*)?`", "".join(re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)))
        for name in names:
            if not any(is_file_or_module(ROOT / folder / name) for folder in folders):
                missing.append(f"{name} under {title}")
    assert not missing, f"ARCHITECTURE.md names what is not there: {', '.join(missing)}"


def is_file_or_module(path: Path) -> bool:
    """Whether there is such a file or folder, or one with this name and an ending."""
    return path.exists() or any(path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"I{row[0]}")
def test_an_invariant_names_code_and_tests_that_exist(row: tuple[str, str, str, str]) -> None:
    _, _, kept_in, attacked_by = row
    for places in (kept_in, attacked_by):
        found = PLACE.findall(places)
        assert found and PLACE.sub("", places).strip(", ") == "", places
        for path, name in found:
            assert defines(ROOT / path, name), f"{path} has no {name}"
    for path, name in PLACE.findall(attacked_by):
        assert path.startswith("tests/") and name.lower().startswith("test"), f"{path}::{name} is no test"


def test_invariants_are_numbered_densely_and_code_cites_what_there_is() -> None:
    numbers = [int(number) for number, *_ in ROWS]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in ("engine/reference/report.py", "engine/core/report.pxi"):
        cited = {
            int(number) for text in CITED.findall((ROOT / path).read_text()) for number in re.findall(r"\d+", text)
        }
        assert cited == set(range(1, 7)), f"{path} cites {sorted(cited)}"


def test_every_attack_names_its_tests() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| (`[^|]+`) \|$", (DOCS / "security.md").read_text(), re.MULTILINE)
    assert len(rows) > 30
    place = re.compile(r"`(tests/[\w/.]+)((?:::[Tt]est\w+)+)`")
    for attack, places in rows:
        found = place.findall(places)
        assert found and place.sub("", places).strip(", ") == "", f"{attack}: {places}"
        for path, names in found:
            for name in names.split("::")[1:]:
                assert defines(ROOT / path, name), f"{attack}: {path} has no {name}"
