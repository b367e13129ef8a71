"""`jibek bench …`: what a benchmark needs and does not find is named in one sentence."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from jibek.commands.bench import BENCHMARKS, bench

ROOT = Path(__file__).parents[3]


@pytest.fixture
def without_numpy(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """NumPy is not installed; the command lines of the benchmarks that were started nevertheless."""
    find_spec, started = importlib.util.find_spec, []

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "numpy" else find_spec(name, package)

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        started.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setattr(subprocess, "run", run)
    return started


@pytest.mark.parametrize("name", BENCHMARKS)
def test_without_numpy_the_extra_is_named(without_numpy: list[list[str]], name: str) -> None:
    result = CliRunner().invoke(bench, [name, "--smoke"])
    if BENCHMARKS[name].needs_numpy:
        assert (result.exit_code, result.stdout, without_numpy) == (1, "", [])
        assert (
            result.stderr
            == f"jibek bench {name} needs NumPy: run `make build` in a clone, elsewhere `pip install numpy`.\n"
        )
    else:
        assert (result.exit_code, result.output, len(without_numpy)) == (0, "", 1)


# Imports a benchmark while numpy cannot be imported.
IMPORT = "import sys; sys.modules['numpy'] = None; import bench.{module}"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_table_says_who_needs_numpy(name: str) -> None:
    code = IMPORT.format(module=name.replace("-", "_"))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == BENCHMARKS[name].needs_numpy, done.stderr


def test_a_folder_without_the_baseline_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jibek", "bench", "book", "--smoke", "--yardstick", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"Invalid value for '--yardstick': there is no yardstick.cpp in {tmp_path}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_exit_code_and_arguments_are_those_of_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(subprocess, "run", run)
    result = CliRunner().invoke(bench, ["price-index", "--json", "--yardstick", "folder"])
    assert result.exit_code == 7
    assert commands == [[sys.executable, "-P", "-m", "bench.price_index", "--json", "--yardstick", "folder"]]
