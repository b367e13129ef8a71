"""Who may import whom: engine nobody, gateway and ledger the engine and not each other, audits no compiled core."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"engine", "gateway", "ledger", "jibek", "bench", "tests"}
SHARED_MODULES = {
    "decimals", "definitions", "journal", "listing", "order_types", "process", "reasons", "records", "venue_file",
}  # fmt: skip
ALLOWED = {"engine": set(), "gateway": {"engine"}, "ledger": {"engine"}, "jibek": PACKAGES - {"tests"}}


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return {module for module in modules if module.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_they_may(package: str) -> None:
    for path in (ROOT / package).glob("**/*.py"):
        for module in imported_modules(path):
            owner = module.split(".")[0]
            assert owner == package or owner in ALLOWED[package], f"{path.name} imports {module}"
            if package in ("gateway", "ledger") and owner == "engine":
                assert module.split(".")[1] in SHARED_MODULES, f"{path.name} imports {module}"


@pytest.mark.parametrize("module", ["ledger.reports", "engine.reference", "engine.journal"])
def test_no_audit_imports_the_compiled_core(module: str) -> None:
    check = f"import sys, {module}; assert not {{'engine.core.core', 'engine.book.book'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT)
