"""The demo, run for a few seconds: it trades, proves its books, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.test_readme import assert_readme_shows_demo
from tests.worlds.venue_process import WAIT_S


def test_it_trades_and_every_check_passes(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "jibek", "demo", "--seconds", "5"],
        env={**os.environ, "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=2 * WAIT_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    orders, trades = re.search(r"([\d,]+) orders were placed and ([\d,]+) trades made", result.stdout).groups()  # type: ignore[union-attr]
    assert int(orders.replace(",", "")) > 100
    assert int(trades.replace(",", "")) > 10
    for symbol in ("BTCKZT", "ETHKZT", "USDTKZT", "BTCUSDT"):
        assert re.search(rf"{symbol} [\d,.]+ / [\d,.]+", result.stdout), f"no prices of {symbol} were shown"
    for words in ("Trial balance", "Reconciliation", "Every check passed."):
        assert words in result.stdout
    assert_readme_shows_demo(result.stdout)
    assert list(tmp_path.iterdir()) == []
