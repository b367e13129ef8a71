"""The yardstick: a bare book in C++ that is a ceiling to measure against. Its folder is named by the user."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from pathlib import Path

from bench.workload import Workload


class BaselineFailed(Exception):
    """The baseline could not be built or disagrees about the trades."""


def compile_yardstick(folder: Path, cache: Path) -> Path:
    """The program, compiled into `cache` as its README says.

    Raises:
        BaselineFailed: there is no g++ or no source, or it does not compile.
    """
    source, program = folder / "yardstick.cpp", cache / "yardstick"
    compiler = shutil.which("g++")
    if compiler is None:
        raise BaselineFailed("the yardstick needs g++; leave --yardstick out to compare with the reference book")
    if not source.exists():
        raise BaselineFailed(f"there is no yardstick.cpp in {folder}")
    command = [compiler, "-std=c++20", "-O3", "-march=native", str(source), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        raise BaselineFailed(f"the yardstick does not compile: {built.stderr.strip()[:500]}")
    return program


def run_yardstick(program: Path, workload: Workload) -> float:
    """Seconds that the yardstick takes for a workload: the median of three runs in one process.

    Raises:
        BaselineFailed: its trades are not those of the workload.
    """
    command = [str(program), str(workload.file), "thr", "3"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rounds = [json.loads(line) for line in lines]
    for told in rounds:
        if (told["trades"], told["csum"]) != (workload.trades, workload.checksum):
            raise BaselineFailed(f"the yardstick's trades on {workload.name} are not the workload's")
    return float(statistics.median(len(workload.operations) / told["ops_s"] for told in rounds))
