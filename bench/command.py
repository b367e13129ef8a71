"""What the benchmarks of the engine share: their options, and how they end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.yardstick import BaselineFailed


def run(
    name: str,
    question: str,
    measure: Callable[..., dict[str, Any]],
    render: Callable[[dict[str, Any]], str],
    arguments: list[str] | None,
    *,
    has_baseline: bool = True,
) -> int:
    """Runs the benchmark; the exit code is 1 where the baseline failed or the trades are wrong.

    Args:
        has_baseline: whether it can be compared with the yardstick; `measure` then takes its folder.
    """
    parser = argparse.ArgumentParser(prog=f"bench.{name}", description=question)
    parser.add_argument("--smoke", action="store_true", help="a small size that only shows that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    if has_baseline:
        parser.add_argument(
            "--yardstick", type=Path, metavar="FOLDER", help="compare with the yardstick of this folder"
        )
    options = vars(parser.parse_args(arguments))
    as_json = options.pop("json")
    try:
        report = measure(**options)
    except BaselineFailed as error:
        print(f"bench {name}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if as_json else render(report))
    return 0
