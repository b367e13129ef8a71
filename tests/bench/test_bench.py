"""The benchmarks run, check the trades before they print a speed, and print what they promise."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

numpy = pytest.importorskip("numpy")

import bench.book  # noqa: E402
import bench.core  # noqa: E402
import bench.growth  # noqa: E402
import bench.origin  # noqa: E402
import bench.price_index  # noqa: E402
from bench.resident import resident_bytes  # noqa: E402
from bench.workload import (  # noqa: E402
    FILE_FIELDS,
    FILE_HEADER_BYTES,
    operations_of_file,
    own_workload,
    write_file,
)
from bench.yardstick import BaselineFailed, compile_program, compile_yardstick  # noqa: E402
from jibek.commands.bench import BENCHMARKS  # noqa: E402

BENCH = Path(bench.book.__file__).parent
README = (BENCH / "README.md").read_text()
RESULTS = sorted((BENCH / "results").glob("*.json"))
FIELDS = {"name", "operations_per_second", "baseline_operations_per_second", "ratio", "trades", "checksum"}
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def printed_by(main: Any, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["--smoke", "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    name = main.__module__.removeprefix("bench.").replace("_", "-")
    assert report["command"] == f"jibek bench {name} --smoke --json"
    check_origin(report)
    return report


def check_origin(report: dict[str, Any]) -> None:
    """A report says which commit was measured, on which machine."""
    assert re.fullmatch(r"[0-9a-f]{7,12}( with changes)?|version \S+|not recorded", report["commit"]), report["commit"]
    assert set(report["machine"]) == {"processor", "cores", "python", "gcc"}
    assert report["machine"]["processor"] and report["machine"]["cores"] >= 1


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_kept_result_says_where_it_comes_from(path: Path) -> None:
    report = json.loads(path.read_text())
    assert report["command"].startswith(f"jibek bench {path.stem} ") and "--json" in report["command"]
    check_origin(report)
    assert f"`{report['command']}`" in README, "bench/README.md names the command of each result"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_its_section(name: str) -> None:
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert section is not None
    for word in ("Question", "Method", "Not included", "Caveats", "Command"):
        assert f"**{word}.**" in section[1], f"{name} has no {word}"


def test_outside_a_repository_the_version_stands_for_the_commit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench.origin, "ROOT", tmp_path)
    assert bench.origin.commit() == f"version {version('jibek')}"


def test_a_changed_repository_is_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("needs git")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    (tmp_path / "file").write_text("before")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    monkeypatch.setattr(bench.origin, "ROOT", tmp_path)
    clean = bench.origin.commit()
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "file").write_text("after")
    assert bench.origin.commit() == f"{clean} with changes"


def test_book(capsys: pytest.CaptureFixture[str]) -> None:
    report = printed_by(bench.book.main, capsys)
    assert [workload["name"] for workload in report["workloads"]] == ["W1", "W2"]
    assert all(set(workload) == FIELDS and workload["trades"] > 1_000 for workload in report["workloads"])
    check_bytes_per_order(report, 64)
    assert "W2" in bench.book.render(report)


def test_core(capsys: pytest.CaptureFixture[str]) -> None:
    report = printed_by(bench.core.main, capsys)
    assert [workload["name"] for workload in report["workloads"]] == ["W1", "W2"]
    assert all(set(workload) == FIELDS and workload["trades"] > 1_000 for workload in report["workloads"])
    check_bytes_per_order(report, 192)
    assert report["account_fees_ratio"] > 0
    assert "1,000 accounts" in bench.core.render(report)


def check_bytes_per_order(report: dict[str, Any], most: int) -> None:
    """The memory of a resting order is measured wherever the system shows a process's memory."""
    measured = report["bytes_per_order"]
    assert (measured is not None) == (resident_bytes() is not None)
    assert measured is None or 0 < measured <= most


def test_wrong_trades_give_no_speed() -> None:
    workload = own_workload("W1", 2_000)
    wrong = replace(workload, checksum=workload.checksum + 1)
    with pytest.raises(BaselineFailed, match="checksum"):
        bench.book.check_trades(wrong)
    with pytest.raises(BaselineFailed, match="checksum"):
        flow = bench.core.Flow(bench.core.commands_of(wrong.preload), bench.core.commands_of(wrong.operations))
        bench.core.check_trades(flow, wrong)


def test_the_same_seed_gives_the_same_flow() -> None:
    first, second = own_workload("W2", 500), own_workload("W2", 500)
    assert first.operations.tobytes() == second.operations.tobytes()
    assert len(first.preload) == 100_000


def test_a_folder_without_a_yardstick(tmp_path: Path) -> None:
    with pytest.raises(BaselineFailed, match=r"yardstick\.cpp|needs g\+\+"):
        compile_yardstick(tmp_path, tmp_path)


@needs_compiler
def test_price_index(capsys: pytest.CaptureFixture[str]) -> None:
    report = printed_by(bench.price_index.main, capsys)
    figures = {(figure["name"], figure["workload"]): figure for figure in report["figures"]}
    assert set(figures) == {(name, workload) for name in bench.price_index.INDEXES for workload in ("W1", "W2", "wide")}
    outside = figures.pop(("window", "wide"))
    assert (outside["nanoseconds"], outside["remark"]) == (None, "outside the window")
    assert all(figure["nanoseconds"] > 0 and figure["remark"] is None for figure in figures.values())
    assert all(workload["trades"] > 100 for workload in report["workloads"])
    assert "outside the window" in bench.price_index.render(report)


@needs_compiler
def test_an_index_with_wrong_trades_has_no_speed(tmp_path: Path) -> None:
    program = compile_program(bench.price_index.SOURCE, tmp_path)
    workload = own_workload("W1", 2_000)
    write_file(workload, tmp_path / "W1.bin")
    wrong = replace(workload, checksum=workload.checksum + 1)
    for index in bench.price_index.INDEXES:
        assert bench.price_index.run_index(program, index, 1, workload) is not None
        with pytest.raises(BaselineFailed, match=f"W1 with {index}: .* checksum"):
            bench.price_index.run_index(program, index, 1, wrong)


def test_the_price_index_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bench.price_index.main(["--smoke"]) == 1
    assert capsys.readouterr().err == "bench price_index: price_index.cpp needs g++, which is not installed\n"


def test_a_workload_comes_back_from_its_file(tmp_path: Path) -> None:
    workload = own_workload("wide", 2_000)
    write_file(workload, tmp_path / "wide.bin")
    data = (tmp_path / "wide.bin").read_bytes()
    read = operations_of_file(numpy.frombuffer(data, FILE_FIELDS, offset=FILE_HEADER_BYTES))
    written = numpy.concatenate([workload.preload, workload.operations])
    for field in ("kind", "order_id", "new_order_id", "price_ticks", "quantity_lots"):
        assert (read[field] == written[field]).all(), field
    has_side = written["side"] != 0
    assert (read["side"] == written["side"])[has_side].all()
    assert data[:4] == b"OBW1"
    assert numpy.frombuffer(data, "<u4", 3, 4).tolist() == [10_000, 2_000, written["order_id"].max()]


def test_growth(capsys: pytest.CaptureFixture[str]) -> None:
    report = printed_by(bench.growth.main, capsys)
    assert len(report["sizes"]) == len(bench.growth.SMOKE)
    assert all(size["mean_ns"] > 0 and size["median_ns"] > 0 for size in report["sizes"])
    assert "median ns" in bench.growth.render(report)
