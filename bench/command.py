"""What the benchmarks of the engine share: their options, and how they end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.origin import origin
from bench.yardstick import BaselineFailed

YARDSTICK_FILES = ("yardstick.cpp", "make_workload.py", "reference_book.py")


def run(
    name: str,
    question: str,
    measure: Callable[..., dict[str, Any]],
    render: Callable[[dict[str, Any]], str],
    arguments: list[str] | None,
    *,
    has_baseline: bool = True,
) -> int:
    """Runs the benchmark; the exit code is 1 if the baseline failed or the trades are wrong.

    With --json the report begins with its command, commit and machine.

    Args:
        name: the name of its module, with `_` for the `-` of the command.
        has_baseline: whether it can be compared with the C++ baseline; `measure` then takes its folder.
    """
    parser = argparse.ArgumentParser(prog=f"jibek bench {name.replace('_', '-')}", description=question)
    parser.add_argument("--smoke", action="store_true", help="a small size that only shows that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    if has_baseline:
        parser.add_argument(
            "--yardstick", type=yardstick_folder, metavar="FOLDER", help="compare with the C++ baseline in this folder"
        )
    given = sys.argv[1:] if arguments is None else arguments
    options = vars(parser.parse_args(given))
    as_json = options.pop("json")
    try:
        report = measure(**options)
    except BaselineFailed as error:
        print(f"bench {name}: {error}", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps({**origin(name.replace("_", "-"), given), **report}, indent=2))
    else:
        print(render(report))
    return 0


def yardstick_folder(text: str) -> Path:
    """The folder of the C++ baseline.

    Raises:
        argparse.ArgumentTypeError: one of its files is missing there.
    """
    folder = Path(text)
    for name in YARDSTICK_FILES:
        if not (folder / name).is_file():
            raise argparse.ArgumentTypeError(f"there is no {name} in {folder}")
    return folder
