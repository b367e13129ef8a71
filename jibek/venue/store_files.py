"""The files of the embedded store, as they must be before a server starts on them.

    store/appendonlydir/appendonly.aof.manifest       file appendonly.aof.2.base.rdb seq 2 type b
                        appendonly.aof.2.base.rdb     …
                        appendonly.aof.2.incr.aof

A server that finds no manifest begins a new, empty log, over the files that are there. So they are judged before it starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from jibek.venue.store_binary import StoreUnavailable

AOF_FOLDER = "appendonlydir"
MANIFEST = "appendonly.aof.manifest"

_DATA_FILE = re.compile(r"appendonly\.aof\.(\d+)\.(base|incr)\.(aof|rdb)")
_ROW = re.compile(r"file (\S+) seq (\d+) type ([bih])( .*)?")
_NAMES_SHOWN = 3
_EMPTY_BASE_BYTES_MAX = 256
"""Of the base that a new store writes before its first manifest; a server that was killed then leaves it."""
_FROM_BACKUP = " from a backup. Nothing was started or written."


def check_store_files(store: Path) -> None:
    """Checks that the manifest names all that is there, and that all that it names is there. Reads only; a folder without any
    files is that of a new store. Cost: some 50 µs.

    Raises:
        StoreUnavailable: a server that started now would leave files of the store out, or write over them.
    """
    folder = store / AOF_FOLDER
    manifest = folder / MANIFEST
    try:
        files = _data_files(folder)
        if not manifest.exists():
            if any(size > _EMPTY_BASE_BYTES_MAX or (".incr." in name and size) for name, size in files.items()):
                raise StoreUnavailable(f"{folder} has files of the store but no {MANIFEST}: put it back{_FROM_BACKUP}")
            return
        rows = [row for line in manifest.read_text().splitlines() if (row := _ROW.fullmatch(line.strip()))]
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailable(f"{folder} cannot be read ({error}): put it back{_FROM_BACKUP}") from None
    # What is history (h) is about to be deleted.
    missing = [row[1] for row in rows if row[3] != "h" and row[1] not in files]
    if missing or not rows:
        what = f"names {_shown(missing)}, which is missing" if missing else "names no file"
        raise StoreUnavailable(f"{manifest} {what}: put the folder back{_FROM_BACKUP}")
    if newer := _newer_files(files, {row[1] for row in rows}):
        raise StoreUnavailable(
            f"{manifest} is older than {_shown(newer)}, which it does not name: put the folder back{_FROM_BACKUP}"
        )


def _data_files(folder: Path) -> dict[str, int]:
    """The files with data in the folder, and the bytes of each; none if there is no folder."""
    if not folder.exists():
        return {}
    paths = (path for path in folder.iterdir() if path.suffix in (".aof", ".rdb") and not path.name.startswith("temp-"))
    return {path.name: path.stat().st_size for path in paths}


def _newer_files(files: dict[str, int], named: set[str]) -> list[str]:
    """The files with acknowledged writes that the manifest does not name though they are newer than what it names.

    A killed server may have left an empty file, or the new base of a rewrite whose log the manifest names: they hold nothing
    that is not elsewhere.
    """
    newest = max(
        (int(found[1]) for name in named if (found := _DATA_FILE.fullmatch(name)) and found[2] == "incr"), default=0
    )
    return sorted(
        name
        for name, size in files.items()
        if name not in named
        and size
        and (found := _DATA_FILE.fullmatch(name))
        and found[2] == "incr"
        and int(found[1]) > newest
    )


def _shown(names: Iterable[str]) -> str:
    names = sorted(names)
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
