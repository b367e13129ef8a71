"""What may happen to the data folder of a venue that is down: each kind of damage, done to a copy of the folder.

A damage is drawn by its seed alone: the seed gives the kind, and with the bytes of the folder the place. Consecutive seeds
take the kinds in turn. `damage_scenes` has the kinds that take a running venue.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.faults.damage_aof import BASE, GROWING, MANIFEST, Place, Span, Value, parts, places

CUT_BYTES_MAX = 1 << 16
GARBAGE_BYTES_MAX = 64
BLOCK_BYTES = 512

Harm = Callable[[Path, random.Random], str]
"""Damages a data folder and returns what was done where, in a few words. Raises `NothingThere`."""


class NothingThere(Exception):
    """The folder has nothing that this kind could damage; the text names it."""


class Kind(NamedTuple):
    """A kind of damage."""

    group: str
    """A row of the table of results."""
    name: str
    harm: Harm


# -- files

_LOG, _KEPT_APART = "the store's files", ("lock", "logs/*", "venue.json*", "store/*")
FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "growing part of the log": (_LOG, (f"store/appendonlydir/{GROWING}",)),
    "base of the log": (_LOG, (f"store/appendonlydir/{BASE}",)),
    "manifest of the log": (_LOG, (f"store/appendonlydir/{MANIFEST}",)),
    "watermark": ("watermarks", ("watermark.json", "watermarks/*.json")),
    "secret.key": ("secret.key", ("secret.key",)),
    "directory.cache": ("directory.cache", ("directory.cache",)),
    "another file of the folder": ("other files", ("*", "refusals/*")),
}
"""File -> its row in the table, and where it is. Not every venue has all of them; what an earlier pattern names is no other."""


def files_of(data: Path, name: str) -> list[Path]:
    """The files of this name that are there.

    Raises:
        NothingThere: there are none.
    """
    taken: set[Path] = {path for pattern in _KEPT_APART for path in data.glob(pattern)}
    for other, (_, patterns) in FILES.items():
        found = sorted({path for pattern in patterns for path in data.glob(pattern) if path.is_file()} - taken)
        if other == name and found:
            return found
        taken |= set(found)
    raise NothingThere(name)


def turn_a_bit(name: str, data: Path, draw: random.Random) -> str:
    path = draw.choice([path for path in files_of(data, name) if path.stat().st_size])
    return _turn(path, draw.randrange(path.stat().st_size), draw.randrange(8))


def empty(name: str, data: Path, draw: random.Random) -> str:
    path = draw.choice(files_of(data, name))
    path.write_bytes(b"")
    return f"{path.name} emptied"


def remove(name: str, data: Path, draw: random.Random) -> str:
    path = draw.choice(files_of(data, name))
    path.unlink()
    return f"{path.name} removed"


def remove_all(name: str, data: Path, draw: random.Random) -> str:
    paths = files_of(data, name)
    for path in paths:
        path.unlink()
    return f"{', '.join(path.name for path in paths)} removed"


def cut(name: str, data: Path, draw: random.Random) -> str:
    """Short ends are as likely as long ones: a torn write is a few bytes, a lost block thousands."""
    path = draw.choice(files_of(data, name))
    size = path.stat().st_size
    count = min(size, int(2 ** draw.uniform(0, CUT_BYTES_MAX.bit_length() - 1)))
    with path.open("r+b") as file:
        file.truncate(size - count)
    return f"{path.name}, {count} bytes cut off its end"


def append_garbage(name: str, data: Path, draw: random.Random) -> str:
    path = draw.choice(files_of(data, name))
    with path.open("ab") as file:
        file.write(draw.randbytes(draw.randint(1, GARBAGE_BYTES_MAX)))
    return f"{path.name}, bytes added at its end"


def lose_a_block(name: str, data: Path, draw: random.Random) -> str:
    """A block of the disk comes back as zeros."""
    path = draw.choice([path for path in files_of(data, name) if path.stat().st_size])
    offset = draw.randrange(path.stat().st_size) // BLOCK_BYTES * BLOCK_BYTES
    content = path.read_bytes()
    path.write_bytes(
        content[:offset] + bytes(len(content[offset : offset + BLOCK_BYTES])) + content[offset + BLOCK_BYTES :]
    )
    return f"{path.name}, zeros from byte {offset}"


def cut_and_forget(data: Path, draw: random.Random) -> str:
    """The end of the log is lost, and so is everything that knows that there was more."""
    return f"{cut('growing part of the log', data, draw)}; {remove_all('watermark', data, draw)}"


def _turn(path: Path, offset: int, bit: int) -> str:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))
    return f"{path.name}, byte {offset}, bit {bit}"


# -- values

_JOURNAL, _BOOKS, _OTHERS = "journal and events", "the ledger", "secrets, marks, producers"
GROUP_OF_VALUE = {
    **dict.fromkeys((Value.BATCH, Value.STAMP, Value.EVENTS, Value.EVENT_NUMBERS, Value.HEAD, Value.DIGEST, Value.PUBLISHED), _JOURNAL),
    **dict.fromkeys((Value.BALANCE, Value.TRANSFERS, Value.CURSOR, Value.INDEX), _BOOKS),
    **dict.fromkeys((Value.SECRET, Value.MARK, Value.PRODUCERS), _OTHERS),
}  # fmt: skip
SINGLE = (Value.PUBLISHED, Value.CURSOR, Value.PRODUCERS, Value.MARK)
"""Values of which there is one, or all are alike: there are no two to be swapped."""
MOSTLY_LOW_BITS = 3
"""Half of the bits turned in a number are of its lowest ones: they make it another number that somebody has."""


def _log_and_places(data: Path, value: Value) -> tuple[Path, bytes, list[Place]]:
    """The last growing part of the log, and where it has such values.

    Raises:
        NothingThere: it has none.
    """
    for path in reversed(parts(data / "store", GROWING)):
        log = path.read_bytes()
        if found := places(log).get(value):
            return path, log, found
    raise NothingThere(value)


def turn_a_bit_of(value: Value, data: Path, draw: random.Random) -> str:
    path, _, found = _log_and_places(data, value)
    place = draw.choice([place for place in found if place.value.start < place.value.end])
    if value == Value.EVENT_NUMBERS and draw.random() < 0.5:
        return f"{place.name}: {_turn(path, place.value.start, draw.randrange(MOSTLY_LOW_BITS))}"
    offset = draw.randrange(place.value.start, place.value.end)
    return f"{place.name}: {_turn(path, offset, draw.randrange(8))}"


def swap(value: Value, data: Path, draw: random.Random) -> str:
    """Two values of the same length each get the place of the other, as by a write that went astray."""
    path, log, found = _log_and_places(data, value)
    first = draw.choice(found)
    others = [place for place in found if _fits(log, first.value, place.value)]
    if not others:
        raise NothingThere(f"two of the same length: {value}")
    second = draw.choice(others)
    content = bytearray(log)
    content[first.value.start : first.value.end] = log[second.value.start : second.value.end]
    content[second.value.start : second.value.end] = log[first.value.start : first.value.end]
    path.write_bytes(content)
    return f"{path.name}, {first.name} and {second.name} swapped"


def _fits(log: bytes, one: Span, other: Span) -> bool:
    same_length = one.end - one.start == other.end - other.start
    return same_length and log[one.start : one.end] != log[other.start : other.end]


def lose(value: Value, data: Path, draw: random.Random) -> str:
    """The command that wrote the value is taken out, as if the write had never reached the disk."""
    path, log, found = _log_and_places(data, value)
    place = draw.choice(found)
    path.write_bytes(log[: place.command.start] + log[place.command.end :])
    return f"{path.name}, {place.name} never written"


# -- all kinds


def _kinds() -> list[Kind]:
    kinds = []
    for name, (group, _) in FILES.items():
        for text, harm in (("one bit", turn_a_bit), ("emptied", empty), ("removed", remove), ("end cut off", cut)):
            kinds.append(Kind(group, f"{name}: {text}", partial(harm, name)))
    for name in ("growing part of the log", "directory.cache"):
        kinds.append(Kind(FILES[name][0], f"{name}: garbage at its end", partial(append_garbage, name)))
    for name in ("growing part of the log", "base of the log", "directory.cache"):
        kinds.append(Kind(FILES[name][0], f"{name}: a block of zeros", partial(lose_a_block, name)))
    kinds.append(Kind(_LOG, "growing part of the log: end cut off, watermarks removed", cut_and_forget))
    kinds.append(Kind("watermarks", "watermarks: all removed", partial(remove_all, "watermark")))
    for value, group in GROUP_OF_VALUE.items():
        for text, harm_value in (("one bit", turn_a_bit_of), ("two swapped", swap), ("never written", lose)):
            if harm_value == swap and value in SINGLE:
                continue
            kinds.append(Kind(group, f"{value}: {text}", partial(harm_value, value)))
    # A head, a digest or a stamp goes with the entry that it is in, and a bit is turned in what matters most more often.
    return kinds + [kind for kind in kinds if kind.name == f"{Value.EVENT_NUMBERS}: one bit"] * 2


KINDS = _kinds()
