"""The demo, run for a few seconds: it trades, proves its books, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.test_readme import assert_readme_shows_demo
from tests.worlds.processes import WAIT_S


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A demo whose temporary files are all in a folder; it must end well."""
    result = subprocess.run(
        [sys.executable, "-m", "jibek", "demo", *options],
        env={**os.environ, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=2 * WAIT_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def test_it_trades_and_every_check_passes(tmp_path: Path) -> None:
    result = demo(tmp_path, "--seconds", "5")
    orders, trades = re.search(r"([\d,]+) orders were placed and ([\d,]+) trades made", result.stdout).groups()  # type: ignore[union-attr]
    assert int(orders.replace(",", "")) > 100
    assert int(trades.replace(",", "")) > 10
    for symbol in ("BTCKZT", "ETHKZT", "USDTKZT", "BTCUSDT"):
        assert re.search(rf"{symbol} [\d,.]+ / [\d,.]+", result.stdout), f"no prices of {symbol} were shown"
    for words in ("Trial balance", "Reconciliation", "Every check passed."):
        assert words in result.stdout
    assert_readme_shows_demo(result.stdout)
    assert list(tmp_path.iterdir()) == []


def test_as_json_its_result_is_one_value_and_a_later_demo_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, second = (json.loads(demo(tmp_path, "--seconds", "2", "--data", str(data), "--json").stdout) for _ in (1, 2))
    for found in (first, second):
        assert found["passed"] is True and found["errors"] == []
        assert found["orders"] > 20 and found["trades"] > 2
        assert found["trial_balance"]["balanced"] is True
        assert all(check["looked_at"] > 0 for check in found["reconciliation"]["checks"])

    def accounts(found: Any) -> list[int]:
        return [row["accounts"] for row in found["trial_balance"]["rows"] if row["kind"] == "client"]

    assert accounts(first) == accounts(second) and accounts(first), "the second demo used the accounts of the first"
