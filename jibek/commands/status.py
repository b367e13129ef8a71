"""`jibek status`: the state of a venue as a table or as JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from engine.process import EXIT_REFUSED
from jibek.console.failure import MORE_MEMORY, store_errors
from jibek.console.options import data_option, json_option
from jibek.console.output import Column, print_json, print_line, print_table
from jibek.console.suggestion import with_folder
from jibek.console.text import megabytes
from jibek.venue.address import running_venue

STORE_STATES = {
    "filling": f"It is filling: new orders are refused. {MORE_MEMORY}",
    "full": (
        "It is full: only cancels, halts and resumes, freezes and unfreezes, key revocations, deposits and withdrawals pass. "
        f"{MORE_MEMORY}"
    ),
    "silent": "It does not answer: orders wait, and are refused after some seconds.",
}
DISK_STATES = {
    "low": "It is low: make room, or a rewrite of the store's log may not fit any more.",
    "full": "It is full: new orders are refused until you make room.",
    "read-only": "It is read-only: nothing can be written until you mount it for writing.",
}


@click.command()
@data_option
@json_option
@click.option("--verbose", is_flag=True, help="Show also the path and the SHA-256 digest of the store's program.")
def status(data_dir: Path, as_json: bool, verbose: bool) -> None:
    """Show the venue's processes, how far each part has come, and its memory.

    From 80 % of its memory limit the store is filling, and new orders are refused; when it is full, only cancels and what
    an operator must do pass. docs/operations.md has every state, what it means and what to do.

    Exit codes: 0 every process is ready and the store has room, 1 a process is not ready or has trouble, or the store is
    filling, full or silent, 3 no venue runs there.

    \b
      jibek status
      jibek status --json
    """
    from jibek.venue.status import is_good, read_status

    address = running_venue(data_dir)
    with store_errors():
        found = read_status(address)
    if as_json:
        print_json(found)
    else:
        _print_status(found, verbose=verbose)
    if not is_good(found):
        sys.exit(EXIT_REFUSED)


def _print_status(found: dict[str, Any], *, verbose: bool) -> None:
    columns = [
        Column("process"), Column("pid", right=True), Column("memory", right=True), Column("restarts", right=True),
        Column("state"),
    ]  # fmt: skip
    rows = [
        [each["name"], str(each["pid"] or "-"), megabytes(each["memory_bytes"]), str(each["restarts"]),
         with_folder(each["state"])]
        for each in found["processes"]
    ]  # fmt: skip
    print_table(columns, rows, title=f"Venue on {found['data']}, {found['engine']} engine, {found['urls']['ws_api']}")
    if found["offsets"]:
        print_line()
        columns = [Column("part"), Column("last entry", right=True), Column("entries behind", right=True)]
        print_table(columns, [[each["name"], each["id"], str(each["lag_entries"])] for each in found["offsets"]])
    print_line()
    store, disk, binary = found["store"], found["disk"], found["store"]["binary"]
    rows = [["store", _used(store), with_folder(STORE_STATES.get(store["state"], store["state"]))]]
    if disk is not None:
        rows.append(
            [
                "disk",
                f"{_share(disk['free_bytes'], disk['size_bytes'])} free",
                DISK_STATES.get(disk["state"], disk["state"]),
            ]
        )
    if binary is not None:
        rows.append(["program", f"{binary['name']} {binary['version']}", f"from {binary['origin']}"])
        if verbose:
            rows += [["path", binary["path"], ""], ["SHA-256", binary["sha256"], ""]]
    print_table([Column(""), Column(""), Column("state")], rows)


def _used(store: dict[str, Any]) -> str:
    used_bytes, largest_bytes = store["memory_bytes"], store["memory_bytes_max"]
    if used_bytes is None:
        return "unknown"
    return f"{_share(used_bytes, largest_bytes)} used" if largest_bytes else f"{megabytes(used_bytes)} used, no limit"


def _share(part_bytes: int, whole_bytes: int) -> str:
    """A part of a size, in one unit.

    >>> _share(64_000_000, 8_000_000_000), _share(2_500_000, 64_000_000)
    ('0.06 of 8.00 GB', '2.5 of 64.0 MB')
    """
    if whole_bytes < 10**9:
        return f"{part_bytes / 1e6:,.1f} of {whole_bytes / 1e6:,.1f} MB"
    return f"{part_bytes / 1e9:,.2f} of {whole_bytes / 1e9:,.2f} GB"
