"""Who may import whom: engine nobody, gateway and ledger the engine and not each other, audits no compiled core.

Compiled modules and stubs are read like any other: an arrow in a `cimport` line binds two files as an `import` does.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"engine", "gateway", "ledger", "jibek", "bench", "tests"}
SUFFIXES = (".py", ".pyx", ".pxd", ".pxi", ".pyi")
SHARED_MODULES = {
    "decimals", "definitions", "journal", "listing", "order_types", "process", "reasons", "records", "venue_file",
}  # fmt: skip
ALLOWED = {"engine": set(), "gateway": {"engine"}, "ledger": {"engine"}, "jibek": PACKAGES - {"tests"}}
AUDITS = ["ledger.reconciliation", "ledger.reports", "ledger.postings", "engine.reference", "engine.journal"]
COMPILED = ["engine.core.core", "engine.book.book", "ledger.fast_postings"]

# The lines by which Cython imports; what stands in brackets may go on over several lines.
IMPORT = re.compile(r"^[ \t]*c?import[ \t]+([\w., \t]+)", re.MULTILINE)
FROM_IMPORT = re.compile(r"^[ \t]*from[ \t]+([\w.]+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n#]*)", re.MULTILINE)


def sources(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).rglob("*") if path.suffix in SUFFIXES)


def python_imports(text: str) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]


def cython_imports(text: str) -> Iterator[tuple[str, list[str]]]:
    for names in IMPORT.findall(text):
        yield from ((name.split()[0], []) for name in names.split(",") if name.strip())
    for module, names in FROM_IMPORT.findall(text):
        yield module, re.findall(r"\w+", names)


def imported_modules(path: Path) -> set[str]:
    """The modules of the repository that a file imports; `from engine.book import ladder` is one of engine.book.ladder
    where there is such a file."""
    read = python_imports if path.suffix in (".py", ".pyi") else cython_imports
    modules = set()
    for module, names in read(path.read_text()):
        if module.split(".")[0] not in PACKAGES:
            continue
        inner = {f"{module}.{name}" for name in names if is_module(f"{module}.{name}")}
        modules |= inner or {module}
    return modules


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or any(path.with_suffix(suffix).exists() for suffix in SUFFIXES)


def module_of(path: Path) -> str:
    """The module that a file is part of: core.pyx, core.pxd and core.pyi are one."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_they_may(package: str) -> None:
    for path in sources(package):
        for module in imported_modules(path):
            owner = module.split(".")[0]
            assert owner == package or owner in ALLOWED[package], f"{path.name} imports {module}"
            if package in ("gateway", "ledger") and owner == "engine":
                assert module.split(".")[1] in SHARED_MODULES, f"{path.name} imports {module}"


def test_compiled_files_are_read_too() -> None:
    assert "engine.records" in imported_modules(ROOT / "ledger" / "fast_postings.pyx")
    assert "engine.book.ladder" in imported_modules(ROOT / "engine" / "core" / "core.pyx")
    assert "engine.core.state" in imported_modules(ROOT / "engine" / "core" / "orders.pxd")
    assert "engine.book.values" in imported_modules(ROOT / "engine" / "book" / "book.pyi")


def test_nothing_in_the_engine_is_imported_in_a_circle() -> None:
    """Else none of the files in the circle can be read, tested or replaced without the others."""
    graph: dict[str, set[str]] = {}
    for path in sources("engine"):
        module = module_of(path)
        graph.setdefault(module, set()).update(imported_modules(path) - {module})
    assert len(graph) > 40 and sum(map(len, graph.values())) > 100, "the engine's files are read"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("module", AUDITS)
def test_no_audit_imports_the_compiled_core(module: str) -> None:
    """An audit that used what it audits would find what that says."""
    check = f"import sys, {module}; print(*(sys.modules.keys() & {COMPILED}))"
    done = subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == [], f"{module} imports {done.stdout}"
    for compiled in COMPILED:
        assert is_module(compiled), f"there is no {compiled} any more: the test looks for nothing"
