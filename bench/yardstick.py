"""The C++ baseline: a bare book that is a ceiling to measure against. You name its folder with `--yardstick`.

`compile_program` compiles a program in C++ when a benchmark needs it.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from pathlib import Path

from bench.workload import Workload


class BaselineFailed(Exception):
    """A program in C++ could not be built, or what it traded is wrong."""


def compile_yardstick(folder: Path, cache: Path) -> Path:
    """The C++ baseline, compiled into `cache`.

    Raises:
        BaselineFailed: there is no g++ or no source, or it does not compile.
    """
    return compile_program(
        folder / "yardstick.cpp", cache, otherwise="; leave --yardstick out to compare with the reference book"
    )


def compile_program(source: Path, cache: Path, *, otherwise: str = "") -> Path:
    """A program in C++, compiled into `cache` as the baseline's README says.

    Args:
        otherwise: how the sentence about a missing compiler ends.

    Raises:
        BaselineFailed: there is no g++ or no source, or it does not compile.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        raise BaselineFailed(f"{source.name} needs g++, which is not installed{otherwise}")
    if not source.exists():
        raise BaselineFailed(f"there is no {source.name} in {source.parent}")
    program = cache / source.stem
    command = [compiler, "-std=c++20", "-O3", "-march=native", str(source), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        raise BaselineFailed(f"{source.name} does not compile: {built.stderr.strip()[:500]}")
    return program


def run_yardstick(program: Path, workload: Workload) -> float:
    """Seconds that the C++ baseline takes for a workload: the median of three runs in one process.

    Raises:
        BaselineFailed: its trades are not those of the workload.
    """
    command = [str(program), str(workload.file), "thr", "3"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rounds = [json.loads(line) for line in lines]
    for told in rounds:
        if (told["trades"], told["csum"]) != (workload.trades, workload.checksum):
            raise BaselineFailed(f"the baseline's trades on {workload.name} are not the workload's")
    return float(statistics.median(len(workload.operations) / told["ops_s"] for told in rounds))
