"""`.ci/bounded`: nothing that it runs takes longer, and nothing is left of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.worlds.processes import is_running, wait_until

BOUNDED = Path(__file__).parents[2] / ".ci" / "bounded"


def bounded(seconds: float, script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BOUNDED), str(seconds), "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_exit_code_is_that_of_the_command() -> None:
    assert [bounded(30, f"exit {code}").returncode for code in (0, 1, 5)] == [0, 1, 5]


def test_what_takes_longer_is_ended_with_all_that_it_started() -> None:
    result = bounded(0.5, "sleep 600 >/dev/null 2>&1 & echo $!; sleep 600")
    assert result.returncode == 124
    assert "not finished after" in result.stderr
    wait_until(lambda: not is_running(int(result.stdout)), "the child of the child has ended")


def test_what_the_command_leaves_behind_is_ended() -> None:
    result = bounded(30, "sleep 600 >/dev/null 2>&1 & echo $!")
    assert result.returncode == 0
    wait_until(lambda: not is_running(int(result.stdout)), "the child of the child has ended")
