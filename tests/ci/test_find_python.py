"""`.ci/find-python`: what is missing is named in one sentence with the package to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FIND_PYTHON = Path(__file__).parents[2] / ".ci" / "find-python"

# What a broken Python answers, by a word of the question; everything else the real one answers.
CASES = [
    # missing       question            answer                          the sentence names
    ("version",     "version_info <",   "exit 1",                       ["Python 3.11 or newer", "apt", "dnf", "brew", "PYTHON="]),
    ("venv module", "ensurepip",        "exit 1",                       ["no venv module", "-venv with apt", "dnf", "brew"]),
    ("headers",     "get_path",         "echo /nowhere",                ["Python.h", "-dev with apt", "python3-devel", "brew"]),
    ("compiler",    "get_config_var",   "echo /nowhere/cc -pthread",    ["C compiler", "build-essential", "gcc", "xcode-select"]),
]  # fmt: skip


def find_python(python: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(FIND_PYTHON), python], capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin"}
    )


def test_a_complete_python_is_printed() -> None:
    result = find_python(sys.executable)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, sys.executable, "")


@pytest.mark.parametrize(("question", "answer", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_missing_is_one_sentence(tmp_path: Path, question: str, answer: str, words: list[str]) -> None:
    fake = tmp_path / "python3"
    fake.write_text(f'#!/bin/sh\ncase "$*" in *"{question}"*) {answer};; *) exec {sys.executable} "$@";; esac\n')
    fake.chmod(0o755)
    result = find_python(str(fake))
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert [word for word in words if word not in result.stderr] == []
