"""Who may import whom, and that there is no circle.

Each rule reads the import graph and returns its faults as sentences. The last test breaks each rule in a small tree of
its own, so that a rule that has gone blind is found.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.import_graph import ImportGraph, circles, is_in

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "engine": set(),
    "gateway": {"engine"},
    "ledger": {"engine"},
    "jibek": {"engine", "gateway", "ledger", "bench"},
    "bench": {"engine", "gateway", "ledger", "jibek"},
    "tests": {"engine", "gateway", "ledger", "jibek", "bench"},
}
CONTRACT = {
    "decimals", "definitions", "journal", "listing", "networks", "order_types", "process", "reasons", "records",
    "venue_file",
}  # fmt: skip
"""What gateway and ledger may use of the engine."""
CYTHON = {"cpython", "cython", "libc"}
LIBRARIES = {
    "engine": {"numpy", "redis", "sortedcontainers"},
    "gateway": {"cryptography", "h11", "hiredis", "orjson", "redis", "sortedcontainers", "uvloop", "websockets"},
    "ledger": {"redis"},
}
"""The libraries that a package may use. The other packages may use any."""

COMMANDS = "jibek.commands"
COMMAND_USERS = ("jibek.main", "tests.jibek", "tests.bench")
"""Who may import the commands: the command line, and their tests."""
CORES = {"engine.book.book", "engine.core.core"}
POSTINGS = "ledger.fast_postings"
AUDITS = {
    "engine.journal": {*CORES, POSTINGS},
    "engine.reference": {*CORES, POSTINGS},
    "ledger.postings": {*CORES, POSTINGS},
    "ledger.reconciliation": {*CORES, POSTINGS},
    "ledger.reports": {*CORES, POSTINGS},
    "ledger.snapshot": {*CORES, POSTINGS},
    "jibek.commands.ledger": {*CORES, POSTINGS},
    # Settlement posts with the fast postings; the audits compare its postings with the plain ones.
    "ledger.settlement": CORES,
}
"""Each audit, and the compiled modules that it judges. If it used them, it would find what they say."""

Rule = Callable[[ImportGraph], list[str]]


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return ImportGraph(ROOT, MAY_IMPORT)


# -- the rules


def package_faults(graph: ImportGraph) -> list[str]:
    """Packages import only those that they may, and gateway and ledger only the engine's contract."""
    return [
        f"{module} imports {imported}"
        for module, everything in graph.inner.items()
        for imported in sorted(everything)
        if not may_import(module.split(".")[0], imported)
    ]


def may_import(package: str, imported: str) -> bool:
    owner, _, rest = imported.partition(".")
    if owner == package:
        return True
    if package in ("gateway", "ledger") and owner == "engine":
        return rest.split(".")[0] in CONTRACT
    return owner in MAY_IMPORT[package]


def library_faults(graph: ImportGraph) -> list[str]:
    """Engine, gateway and ledger use no library that is not in their list."""
    return [
        f"{module} imports {library}"
        for package, allowed in LIBRARIES.items()
        for module in graph.modules_in(package)
        for library in sorted(graph.outer[module] - sys.stdlib_module_names - allowed - CYTHON)
    ]


def command_faults(graph: ImportGraph) -> list[str]:
    """Commands are the top: what two of them share is in a module below them."""
    users = {
        module
        for module, everything in graph.inner.items()
        if any(is_in(imported, COMMANDS) for imported in everything)
        and not any(is_in(module, user) for user in (COMMANDS, *COMMAND_USERS))
    }
    return [f"{module} imports {COMMANDS}" for module in sorted(users)]


def circle_faults(graph: ImportGraph) -> list[str]:
    """No module can be read, tested or replaced only together with others."""
    return [f"a circle: {', '.join(sorted(circle))}" for circle in circles(graph.inner)]


def audit_faults(graph: ImportGraph) -> list[str]:
    """No audit can reach what it judges, not even by an import in a function."""
    return [
        " imports ".join(chains[judged])
        for audit, all_judged in AUDITS.items()
        for chains in [graph.reached_from(audit)]
        for judged in sorted(all_judged & chains.keys())
    ]


# -- the repository keeps them


def test_every_file_is_read(graph: ImportGraph) -> None:
    """A rule over nothing always holds."""
    assert all(len(graph.modules_in(package)) > 5 for package in MAY_IMPORT)
    assert "engine.records" in graph.inner["ledger.fast_postings"], "a .pyx file"
    assert "engine.core.state" in graph.inner["engine.core.orders"], "a .pxd file"
    assert "engine.core.report" in graph.inner["engine.core.core"], "a .pxi file that is included"
    assert "engine.book.values" in graph.inner["engine.book.book"], "a .pyi file"
    for name in {*AUDITS, *CORES, POSTINGS}:
        assert name in graph.inner, f"there is no {name}: the audits are not tested"


@pytest.mark.parametrize("rule", [package_faults, library_faults, audit_faults])
def test_rule(graph: ImportGraph, rule: Rule) -> None:
    faults = rule(graph)
    assert not faults, "\n".join(faults)


def test_only_the_command_line_imports_commands(graph: ImportGraph) -> None:
    faults = command_faults(graph)
    assert not faults, "\n".join(faults)


def test_nothing_is_imported_in_a_circle(graph: ImportGraph) -> None:
    faults = circle_faults(graph)
    assert not faults, "\n".join(faults)


def test_no_audit_loads_what_it_judges() -> None:
    """What Python itself loads, packages included, when it imports one audit after the other."""
    code = (
        "import importlib, sys\n"
        f"for audit, judged in {AUDITS}.items():\n"
        "    importlib.import_module(audit)\n"
        "    for name in sorted(judged & sys.modules.keys()):\n"
        "        print(audit, 'loads', name)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert not done.stdout, done.stdout


# -- the rules see what breaks them

CIRCLE = "a circle: engine.a, engine.b"
BROKEN: list[tuple[str, Rule, dict[str, str], str]] = [
    ("a plain circle", circle_faults, {"engine/a.py": "import engine.b", "engine/b.py": "from engine import a"}, CIRCLE),
    ("a circle through a function", circle_faults,
     {"engine/a.py": "def f():\n    from engine.b import x", "engine/b.py": "import engine.a"}, CIRCLE),
    ("a circle for types alone", circle_faults,
     {"engine/a.py": "if TYPE_CHECKING:\n    from engine.b import x", "engine/b.py": "import engine.a"}, CIRCLE),
    ("a relative circle", circle_faults,
     {"engine/a.py": "from .b import x", "engine/b.py": "from . import a"}, CIRCLE),
    ("a circle by name", circle_faults,
     {"engine/a.py": "importlib.import_module('engine.b')", "engine/b.py": "import engine.a"}, CIRCLE),
    ("a circle of Cython", circle_faults,
     {"engine/a.pyx": "cimport engine.b", "engine/b.pxd": "from engine.a cimport (\n    x,  # one\n    y,\n)"}, CIRCLE),
    ("a circle of included files", circle_faults,
     {"engine/a.pyx": 'include "b.pxi"', "engine/b.pxi": "from engine cimport a"}, CIRCLE),
    ("a circle through a stub", circle_faults,
     {"engine/a.pyi": "from engine.b import x", "engine/b.py": "import engine.a"}, CIRCLE),
    ("a circle of a package", circle_faults,
     {"engine/a/__init__.py": "from engine.b import x", "engine/b.py": "from engine.a import y"}, CIRCLE),
    ("a circle of three", circle_faults,
     {"engine/a.py": "import engine.b", "engine/b.py": "import jibek.c", "jibek/c.py": "import engine.a"},
     "a circle: engine.a, engine.b, jibek.c"),
    ("an engine that knows the ledger", package_faults, {"engine/a.py": "import ledger.b"}, "engine.a imports ledger.b"),
    ("a ledger that knows the gateway", package_faults,
     {"ledger/a.pyx": "from gateway.b cimport x"}, "ledger.a imports gateway.b"),
    ("a gateway that knows the core", package_faults,
     {"gateway/a.pxd": "from engine.core cimport state", "engine/core/state.pxd": ""},
     "gateway.a imports engine.core.state"),
    ("a gateway that knows the engine's face", package_faults,
     {"gateway/a.py": "from engine import Book"}, "gateway.a imports engine"),
    ("a command line in the ledger", library_faults, {"ledger/a.py": "import click"}, "ledger.a imports click"),
    ("a library in the engine", library_faults,
     {"engine/a.py": "def f():\n    from orjson import loads"}, "engine.a imports orjson"),
    ("a command that others use", command_faults,
     {"jibek/load/a.py": "from jibek.commands.b import x"}, "jibek.load.a imports jibek.commands"),
    ("an audit that uses what it judges", audit_faults,
     {"ledger/reconciliation.py": "from ledger.names import x", "ledger/names.py": "def f():\n    import ledger.fast_postings"},
     "ledger.reconciliation imports ledger.names imports ledger.fast_postings"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "files", "fault"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_rule_is_found(tmp_path: Path, rule: Rule, files: dict[str, str], fault: str) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert rule(ImportGraph(tmp_path, MAY_IMPORT)) == [fault]
