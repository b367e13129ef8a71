"""`make damage-test N=60 SEED=7`: a venue's data is damaged again and again, and what the venue makes of it.

python -m tests.faults.damage_run --damages 60 --seed 7 --json figures.json

One sound venue is built and stopped. Each damage is done to a copy of its data folder, on which the venue is then started.
Four outcomes are good: the start is refused, what is served is the truth, the venue says that it does not serve something, or
`jibek ledger reconcile` finds the fault. A venue that serves anything else without a word is WRONG.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import redis
from websockets.exceptions import WebSocketException

from engine.journal import socket_of
from jibek.venue import store_server
from jibek.venue.launch import LaunchFailed
from jibek.venue.services import PROCESS_NAMES
from tests.faults.damage import KINDS, Kind, NothingThere
from tests.faults.damage_scenes import SCENES, Scene, Skipped, Unnoticed, unmount
from tests.faults.damage_venue import NOT_SERVED, Trader, View, build, look
from tests.worlds.venue import VenueProcess

DAMAGES = 60
SEED_MAX = 10**6
START_S_MAX = 30.0
"""A start that has neither succeeded nor been refused by then hangs."""


class Outcome(StrEnum):
    """What the venue made of a damage."""

    REFUSED = "refused at start"
    TRUTH = "truth served"
    SAID = "said in service"
    RECONCILED = "found by reconcile"
    WRONG = "WRONG"
    SKIPPED = "skipped"


FOUND = (Outcome.REFUSED, Outcome.SAID, Outcome.RECONCILED)


class Result(NamedTuple):
    """One damage and its outcome."""

    seed: int
    group: str
    kind: str
    where: str
    outcome: Outcome
    by: str = ""
    """Who has found it."""
    text: str = ""
    """With which words; where it is wrong, what was served instead of what."""
    seconds: float = 0.0
    """From the start of the venue until it was found."""


def command(seed: int) -> str:
    """What repeats a damage. Its kind is the same then; the bytes of the venue, and so its place, may differ."""
    return f"make damage-test N=1 SEED={seed}"


# -- the order of the kinds

ALL_KINDS: list[Kind | Scene] = [*KINDS, *SCENES]


def in_turn() -> list[Kind | Scene]:
    """All kinds, each once, in a fixed order that takes from every group as evenly as its size allows."""
    groups: dict[str, list[Kind | Scene]] = defaultdict(list)
    for kind in ALL_KINDS:
        groups[kind.group].append(kind)
    placed: list[tuple[float, str, Kind | Scene]] = []
    for group, kinds in groups.items():
        draw = random.Random(group)
        first = draw.random()
        for index, kind in enumerate(draw.sample(kinds, len(kinds))):
            placed.append(((index + first) / len(kinds), group, kind))
    return [kind for _, _, kind in sorted(placed, key=lambda item: item[:2])]


IN_TURN = in_turn()


def kind_of(seed: int) -> Kind | Scene:
    """The kind of the damage that a seed gives: consecutive seeds take all kinds in turn."""
    return IN_TURN[seed % len(IN_TURN)]


# -- judging


def differences(truth: View, view: View, *, changed: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """What is shown otherwise than in truth, and what is not shown: the names of what was asked for.

    Args:
        changed: the ends of names that need not be as in truth.
    """
    wrong: list[str] = []
    denied: list[str] = []
    for name in sorted(truth.shown.keys() | view.shown.keys()):
        told, seen = truth.shown.get(name, "nothing"), view.shown.get(name, "nothing")
        if seen == told or (changed and name.endswith(changed)):
            continue
        (denied if seen.startswith(NOT_SERVED) else wrong).append(name)
    return wrong, denied


def judge(truth: View, view: View, word: str, changed: tuple[str, ...] = ()) -> tuple[Outcome, str, str]:
    """The outcome of a venue that serves: who has found something, and with which words.

    Clients are never served anything but the truth. The books may be wrong until somebody looks, if the
    reconciliation finds it.

    Args:
        word: what the venue has said by itself; empty if nothing.
        changed: as in `differences`.
    """
    wrong, denied = differences(truth, view, changed=changed)
    books = [name for name in wrong if name.startswith("ledger")]
    if len(books) < len(wrong) or (wrong and not view.found):
        return Outcome.WRONG, "", _instead(truth, view, [name for name in wrong if name not in books] or wrong)
    if view.found:
        return Outcome.RECONCILED, "jibek ledger reconcile", view.found
    if word:
        by, _, text = word.partition(": ")
        return Outcome.SAID, by, text
    if denied:
        return Outcome.SAID, "gateway", f"{denied[0]}: {view.shown[denied[0]]}"
    return Outcome.TRUTH, "", ""


def _instead(truth: View, view: View, names: list[str]) -> str:
    name = names[0]
    told, seen = (each.shown.get(name, "nothing") for each in (truth, view))
    at = next((index for index, pair in enumerate(zip(told, seen, strict=False)) if pair[0] != pair[1]), 0)
    begin = max(0, at - 40)
    return f"{name} ({len(names)} in all): …{seen[begin : at + 60]}… instead of …{told[begin : at + 60]}…"


def refused_by(text: str) -> tuple[str, str]:
    """Which process has refused the start, and its words without time and process.

    >>> refused_by("The venue did not start: the engine ended with exit code 1. Its log says:\\nengine[7] ERROR broken at 1-7")
    ('engine', 'broken at 1-7')
    """
    found = re.match(r"The venue did not start: the (\w+) ", text)
    by = found[1] if found and found[1] in PROCESS_NAMES else "up"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return by, re.sub(r"^.*?\b(?:ERROR|CRITICAL) ", "", lines[-1])[:200]


def _last_lines_of(error: Exception) -> str:
    frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return f"{error!r} in {' > '.join(frames[-3:])}"


# -- the run


class DamageRun:
    """Builds the sound venue once, and tries one damage after the other.

    Args:
        folder: an empty folder for everything that is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sound = VenueProcess(folder / "sound")
        self.data = folder / "venue" / "data"
        """Where each copy is."""
        self.truth: View
        self.clients: list[Trader]

    def prepare(self) -> None:
        """Builds the sound venue, and sees what it serves."""
        self.build()
        with self.running_copy() as venue:
            self.see_truth(venue)

    def build(self) -> None:
        """Builds the sound venue and stops it. Its log ends with the last order: what it serves is looked at on a copy."""
        self.sound.start()
        try:
            self.clients = build(self.sound)
        finally:
            self.sound.end()

    def see_truth(self, venue: VenueProcess) -> None:
        """Takes what a sound copy serves for the truth."""
        self.truth = look(venue, self.clients)
        assert not self.truth.found, self.truth.found

    @contextmanager
    def running_copy(self) -> Iterator[VenueProcess]:
        """A venue that runs on an undamaged copy as long as the block."""
        self._copy()
        venue = self._venue()
        try:
            yield venue.start()
        finally:
            self._kill(venue)

    def try_damage(self, seed: int) -> Result:
        """Does the damage of this seed to a copy of the data, and returns its outcome."""
        return self.try_kind(kind_of(seed), seed)

    def try_kind(self, kind: Kind | Scene, seed: int) -> Result:
        """Does a damage of this kind, at the place that the seed gives."""
        self._copy()
        venue = self._venue()
        try:
            where = "" if isinstance(kind, Scene) else kind.harm(self.data, random.Random(seed))
        except NothingThere as nothing:
            return Result(seed, kind.group, kind.name, "", Outcome.SKIPPED, text=f"there is no {nothing}")
        began_s = time.monotonic()
        try:
            outcome, by, text = self._serve(venue, kind)
        finally:
            self._kill(venue)
        return Result(seed, kind.group, kind.name, where, outcome, by, text, time.monotonic() - began_s)

    def _venue(self) -> VenueProcess:
        """The venue on the copy."""
        return VenueProcess(self.data, venue=self.sound.options.venue, crashes_max=2)

    def _copy(self) -> None:
        shutil.rmtree(self.data.parent, ignore_errors=True)
        self.data.parent.mkdir(mode=0o700)
        shutil.copytree(self.sound.data, self.data, symlinks=True)

    def _serve(self, venue: VenueProcess, kind: Kind | Scene) -> tuple[Outcome, str, str]:
        """Starts the venue and looks at what it serves."""
        watchdog = threading.Timer(START_S_MAX, self._kill, [venue])
        word, changed = "", tuple[str, ...]()
        try:
            if isinstance(kind, Scene):
                word, changed = kind.play(venue, self.clients, self.folder / "scene"), kind.changed
            else:
                watchdog.start()
                venue.start()
                watchdog.cancel()
            return judge(self.truth, look(venue, self.clients), word, changed)
        except LaunchFailed as failed:
            if "has died" in str(failed):
                return Outcome.WRONG, "", f"neither started nor refused within {START_S_MAX:.0f} s, or died: {failed}"
            return Outcome.REFUSED, *refused_by(str(failed))
        except Skipped as skipped:
            return Outcome.SKIPPED, "", str(skipped)
        except Unnoticed as unnoticed:
            return Outcome.WRONG, "", str(unnoticed)
        except (OSError, TimeoutError, redis.RedisError, WebSocketException) as error:
            return self._stopped(venue, error)
        except Exception as error:
            # A reader of what is stored expects that it is damaged, and says so in a sentence.
            return Outcome.WRONG, "", f"a traceback: {_last_lines_of(error)}"
        finally:
            watchdog.cancel()

    def _stopped(self, venue: VenueProcess, error: Exception) -> tuple[Outcome, str, str]:
        """A venue that ceased to answer: whether it says why."""
        done = venue.jibek("status")
        if done.returncode == 0:
            return Outcome.WRONG, "", f"`jibek status` says that all is well, and a client got {error!r}"
        lines = [line for line in venue.said().splitlines() if line.strip()]
        return Outcome.SAID, "up", lines[-1]

    def _kill(self, venue: VenueProcess) -> None:
        if venue.launched is not None and venue.launched.process.poll() is None:
            venue.launched.process.kill()
            venue.wait()
            forget_socket(venue)
        unmount(self.data)


def forget_socket(venue: VenueProcess) -> None:
    """Removes the folder of the store's socket, which a killed venue leaves behind."""
    with suppress(FileNotFoundError):
        socket = socket_of(venue.facts()["store"])
        assert socket is not None
        store_server.forget_runtime_folder(socket)


# -- the table


def table(results: Sequence[Result]) -> str:
    """What was damaged, how often, what came of it, who has found it and how fast: a table for docs/reliability.md."""
    lines = [
        "| damaged | times | refused at start | said in service | found by reconcile | truth served | WRONG | found by | p50 | max |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups = dict.fromkeys(kind.group for kind in ALL_KINDS)
    for group in groups:
        lines += _rows(group, [result for result in results if result.group == group])
    return "\n".join([*lines, *_rows("all", results)])


def _rows(name: str, results: Sequence[Result]) -> list[str]:
    counts = Counter(result.outcome for result in results)
    done = sum(counts.values()) - counts[Outcome.SKIPPED]
    if not done:
        return []
    finders = Counter(result.by for result in results if result.outcome in FOUND)
    by = ", ".join(f"{finder} {count}" for finder, count in finders.most_common())
    times_s = [result.seconds for result in results if result.outcome in FOUND]
    speed = [f"{statistics.median(times_s):.1f} s", f"{max(times_s):.1f} s"] if times_s else ["", ""]
    columns = (Outcome.REFUSED, Outcome.SAID, Outcome.RECONCILED, Outcome.TRUTH, Outcome.WRONG)
    return [f"| {' | '.join([name, str(done), *(str(counts[each]) for each in columns), by, *speed])} |"]


def on_terminal(lines: str) -> str:
    """A table of Markdown as aligned columns.

    >>> print(on_terminal("| a | times |\\n|---|---|\\n| bit | 12 |"))
    a    times
    bit  12
    """
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines() if "|---" not in line]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def verdict(results: Sequence[Result]) -> str:
    """The last line of a run."""
    counts = Counter(result.outcome for result in results)
    done = len(results) - counts[Outcome.SKIPPED]
    skipped = f" Skipped: {counts[Outcome.SKIPPED]}." if counts[Outcome.SKIPPED] else ""
    return (
        f"WRONG means that the venue served something else than the truth, or failed, without saying so.{skipped}\n"
        f"{counts[Outcome.WRONG]} of {done} damages led to a wrong answer."
    )


def line_of(number: int, count: int, result: Result) -> str:
    """The line of progress."""
    found = ": ".join(filter(None, (result.by, result.text)))
    what = f"{result.kind}{f' ({result.where})' if result.where else ''}"
    return f"{number}/{count} seed {result.seed}, {result.seconds:.1f} s, {what}: {result.outcome}{f', {found}' if found else ''}"


def run(folder: Path, seed: int, count: int) -> list[Result]:
    """`count` damages from this seed on; prints each as it is done."""
    damages = DamageRun(folder)
    damages.prepare()
    results = []
    for number in range(count):
        results.append(damages.try_damage(seed + number))
        print(line_of(number + 1, count, results[-1]), flush=True)
        if results[-1].outcome == Outcome.WRONG:
            print(f"  This repeats it: {command(seed + number)}", flush=True)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.damage_run", description=__doc__)
    parser.add_argument("--damages", type=int, default=DAMAGES)
    parser.add_argument("--seed", type=int, help="of the first damage; each after it has the next  [default: drawn]")
    parser.add_argument("--json", type=Path, help="write each damage and its outcome here, too")
    options = parser.parse_args()
    seed = random.randrange(SEED_MAX) if options.seed is None else options.seed
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="jibek-damage-") as folder:
        results = run(Path(folder), seed, options.damages)
    shown = on_terminal(table(results)) if sys.stdout.isatty() else table(results)
    print(f"\n{shown}\n\nSeed {seed}, {len(results)} damages, {time.monotonic() - began_s:.0f} s.\n")
    for result in results:
        if result.outcome in (Outcome.WRONG, Outcome.SKIPPED):
            print(f"{result.outcome}: {result.kind}: {result.text} [{command(result.seed)}]")
    if options.json is not None:
        options.json.write_text(json.dumps([result._asdict() for result in results], indent=1) + "\n")
    print(verdict(results))
    return 1 if any(result.outcome == Outcome.WRONG for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
