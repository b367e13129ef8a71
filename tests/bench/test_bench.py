"""The benchmarks run, check the trades before they tell a speed, and print what they promise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

numpy = pytest.importorskip("numpy")

import bench.book  # noqa: E402
import bench.core  # noqa: E402
import bench.growth  # noqa: E402
from bench.workload import own_workload  # noqa: E402
from bench.yardstick import BaselineFailed, compile_yardstick  # noqa: E402

FIELDS = {"name", "operations_per_second", "baseline_operations_per_second", "ratio", "trades", "checksum"}


def printed_by(main: Any, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["--smoke", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_book(capsys: pytest.CaptureFixture[str]) -> None:
    told = printed_by(bench.book.main, capsys)
    assert [workload["name"] for workload in told["workloads"]] == ["W1", "W2"]
    assert all(set(workload) == FIELDS and workload["trades"] > 1_000 for workload in told["workloads"])
    assert told["bytes_per_order"] is None or told["bytes_per_order"] <= 64
    assert "W2" in bench.book.render(told)


def test_core(capsys: pytest.CaptureFixture[str]) -> None:
    told = printed_by(bench.core.main, capsys)
    assert set(told["workloads"][0]) == FIELDS
    assert "1,000 accounts" in bench.core.render(told)


def test_wrong_trades_give_no_speed() -> None:
    workload = own_workload("W1", 2_000)
    wrong = replace(workload, checksum=workload.checksum + 1)
    with pytest.raises(BaselineFailed, match="checksum"):
        bench.book.check_trades(wrong)
    with pytest.raises(BaselineFailed, match="checksum"):
        bench.core.check_trades(bench.core.commands_of(wrong), wrong)


def test_the_same_seed_gives_the_same_flow() -> None:
    first, second = own_workload("W2", 500), own_workload("W2", 500)
    assert first.operations.tobytes() == second.operations.tobytes()
    assert len(first.preload) == 100_000


def test_a_folder_without_a_yardstick(tmp_path: Path) -> None:
    with pytest.raises(BaselineFailed, match=r"yardstick\.cpp|needs g\+\+"):
        compile_yardstick(tmp_path, tmp_path)


def test_growth(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.growth.main(["--smoke"]) == 0
    assert "ns a command" in capsys.readouterr().out
