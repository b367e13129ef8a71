"""Files of the embedded store that no server may start on, since it would leave some out or write over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jibek.venue.store_binary import StoreUnavailable
from jibek.venue.store_files import AOF_FOLDER, MANIFEST, check_store_files
from tests.worlds.venue import VenueProcess

BASE, LOG = "appendonly.aof.2.base.rdb", "appendonly.aof.3.incr.aof"
NAMED = f"file {BASE} seq 2 type b\nfile {LOG} seq 3 type i\n"

# The manifest (None: it is gone), the files with data next to it, and the fault.
FOLDERS = {
    "new": (None, {}, ""),
    "whole": (NAMED, {BASE: 9, LOG: 9}, ""),
    "a log that has its end": (NAMED.replace("type i", "type i startoffset 0 endoffset 9"), {BASE: 9, LOG: 9}, ""),
    "history is deleted": (NAMED + "file appendonly.aof.1.incr.aof seq 1 type h\n", {BASE: 9, LOG: 9}, ""),
    "an older one is left": (NAMED, {BASE: 9, LOG: 9, "appendonly.aof.1.incr.aof": 9}, ""),
    "killed before it named an empty log": (NAMED, {BASE: 9, LOG: 9, "appendonly.aof.4.incr.aof": 0}, ""),
    "killed before it named a base": (NAMED, {BASE: 9, LOG: 9, "appendonly.aof.3.base.rdb": 9}, ""),
    "killed at its first start": (None, {"appendonly.aof.1.base.rdb": 88, "appendonly.aof.1.incr.aof": 0}, ""),
    "no manifest, one base": (None, {BASE: 999}, "has files of the store but no"),
    "no manifest": (None, {BASE: 9, LOG: 9}, f"has files of the store but no {MANIFEST}: put it back from a backup"),
    "no manifest, one log": (None, {LOG: 9}, "has files of the store but no"),
    "an empty manifest": ("", {BASE: 9, LOG: 9}, "names no file"),
    "no base": (NAMED, {LOG: 9}, f"names {BASE}, which is missing"),
    "no log": (NAMED, {BASE: 9}, f"names {LOG}, which is missing"),
    "an old manifest": (NAMED, {BASE: 9, LOG: 9, "appendonly.aof.4.incr.aof": 9}, "does not name"),
    "a torn manifest": (NAMED.partition("\n")[0] + "\nfile appendo", {BASE: 9, LOG: 9}, f"older than {LOG}"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_files_of_the_store_are_judged_before_it_starts(tmp_path: Path, name: str) -> None:
    manifest, files, fault = FOLDERS[name]
    folder = tmp_path / AOF_FOLDER
    folder.mkdir()
    for file, size in files.items():
        (folder / file).write_bytes(b"x" * size)
    if manifest is not None:
        (folder / MANIFEST).write_text(manifest)
    if not fault:
        check_store_files(tmp_path)
        return
    with pytest.raises(StoreUnavailable, match=fault) as refused:
        check_store_files(tmp_path)
    assert str(refused.value).endswith("Nothing was started or written.")


def test_a_store_without_a_folder_is_new(tmp_path: Path) -> None:
    check_store_files(tmp_path)


def test_a_start_without_the_manifest_changes_no_file(new_venue: Callable[..., VenueProcess]) -> None:
    """Not even with the option that goes on with what the store has: the rest of it is in these files."""
    venue = new_venue()
    venue.start().stop()
    folder = venue.folder.store / AOF_FOLDER
    (folder / MANIFEST).unlink()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    result = venue.jibek("up", "--port", str(venue.options.port), "--accept-store-end")
    assert result.returncode == 1 and f"{folder} has files of the store but no {MANIFEST}" in result.stderr
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
