"""The end-to-end benchmark at its smoke size: it runs, and says everything that it is to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.worlds.processes import WAIT_S


def test_the_smoke_size_tells_every_figure(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "jibek", "bench", "end-to-end", "--smoke", "--json"],
        env={**os.environ, "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=2 * WAIT_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["command"] == "jibek bench end-to-end --smoke --json"
    assert report["commit"] and report["machine"]["processor"]
    for name in (
        "orders_per_second", "echo_messages_per_second", "ratio", "cpu_per_order_us", "echo_cpu_per_message_us",
        "lone_order_p50_us",
    ):  # fmt: skip
        assert report[name] > 0, name
    for way in ("with_settlement", "without_settlement", "hmac", "ed25519"):
        assert report[way]["orders_per_second"] > 0, way
    # Nothing of it is left.
    assert list(tmp_path.iterdir()) == []
