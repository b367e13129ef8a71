"""`jibek audit`: who did what, when and why, from the verified journal."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from engine.journal import StoreSource
from engine.process import EXIT_REFUSED
from engine.process.wall_clock import time_text
from jibek.console.failure import fail, store_errors
from jibek.console.live import progress_shown
from jibek.console.options import data_option, json_option
from jibek.console.output import Column, print_json, print_table
from jibek.console.printable import excerpt
from jibek.console.text import counted
from jibek.venue.address import find_venue, open_store
from jibek.venue.audit import KINDS, Act, Audit
from jibek.venue.directory import check_store
from jibek.venue.log_reader import since_time

ACTS_DEFAULT = 50
ACTS_MAX = 100_000
LONG_ID = re.compile(r"\A[0-9A-Za-z]{9,}")
EPOCH = datetime.fromtimestamp(0, UTC)


def _time(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Microseconds since 1970 UTC of a time as in `jibek logs --since`.

    Raises:
        click.BadParameter: the text is none.
    """
    if text is None:
        return None
    try:
        return (since_time(text, datetime.now(UTC)) - EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"'{excerpt(text)}' is no time: write 2026-11-26 or 2026-11-26T18:00, in UTC, or how long ago, as 10m."
        ) from None


@click.command()
@click.option(
    "--since",
    "since_us",
    metavar="TIME",
    callback=_time,
    help="From then on: how long ago, as 30s, 10m, 2h, 1d, or a time of UTC, as 2026-11-26T18:00.",
)
@click.option("--until", "until_us", metavar="TIME", callback=_time, help="Before this time.")
@click.option("--account", metavar="NAME", help="Only what concerns this account.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind. May be repeated.")
@click.option("--who", metavar="NAME", help="Only this operator, or this user of the system.")
@click.option("--refused", is_flag=True, help="Only what the venue refused.")
@click.option(
    "-n", "--lines", type=click.IntRange(1, ACTS_MAX), default=ACTS_DEFAULT, show_default=True,
    help="Number of rows, the newest.",
)  # fmt: skip
@json_option
@data_option
def audit(
    since_us: int | None,
    until_us: int | None,
    account: str | None,
    kinds: tuple[str, ...],
    who: str | None,
    refused: bool,
    lines: int,
    as_json: bool,
    data_dir: Path,
) -> None:
    """Show who did what, when and why: deposits, withdrawals, halts, freezes, keys, limits, fees, listings.

    It reads the journal and the events from the beginning and verifies each entry, so that what it shows is what the engine
    executed. The user of the system is the one who ran the command, whatever name they gave. The newest row comes last.

    Exit codes: 0 all entries are verified, 1 the chain is broken or there is no such account, 2 wrong usage, 3 the store
    cannot be reached.

    \b
      jibek audit
      jibek audit --account alice --kind deposit --kind withdraw
      jibek audit --since 2026-11-01 --until 2026-12-01 --who aigerim --json
    """

    def is_wanted(act: Act) -> bool:
        return (
            (since_us is None or act.time_us >= since_us)
            and (until_us is None or act.time_us < until_us)
            and (account is None or act.account == account)
            and (not kinds or act.kind in kinds)
            and (who is None or who in (act.operator, act.system_user, act.system_user.partition("/")[0]))
            and (not refused or act.refused != "")
        )

    client = open_store(find_venue(data_dir))
    try:
        with store_errors(), progress_shown("reading the journal") as progress:
            check_store(client, data_dir)
            reader = Audit(StoreSource(client))
            shown, found = newest(reader, is_wanted, lines, progress)
    finally:
        client.close()
    if account is not None and account not in reader.accounts.values():
        fail(EXIT_REFUSED, f"No account is named {excerpt(account)}. See `jibek account list`.")
    if as_json:
        print_json(report(reader, shown, found))
        return
    titles = ("time", "entry", "kind", "account", "what", "result", "who", "system user", "why")
    rows = [
        [time_text(act.time_us), str(act.id), act.kind, act.account, short(act), act.refused or "done", act.operator,
         act.system_user, act.why]
        for act in shown
    ]  # fmt: skip
    left_out = f", the newest {len(shown):,} shown" if found > len(shown) else ""
    print_table(
        [Column(title) for title in titles],
        rows,
        footer=(
            f"{counted(found, 'row')} in {counted(reader.entries, 'entry')}{left_out}; the chain is verified up to "
            f"{reader.verified_to}, head {reader.head.hex()}"
        ),
    )


def short(act: Act) -> str:
    """What an act asks for, with the first 8 characters of the id of a key, as logs have it. JSON has the whole id."""
    if act.kind not in ("key-add", "key-revoke"):
        return act.what
    return LONG_ID.sub(lambda found: f"{found[0][:8]}…", act.what)


def newest(
    reader: Audit, is_wanted: Callable[[Act], bool], count: int, progress: Callable[[int, int], None]
) -> tuple[list[Act], int]:
    """The newest acts that are wanted, at most `count`, and how many there are in all."""
    kept: deque[Act] = deque(maxlen=count)
    found = 0
    for act in filter(is_wanted, reader.acts(progress)):
        kept.append(act)
        found += 1
    return list(kept), found


def report(reader: Audit, shown: list[Act], found: int) -> dict[str, Any]:
    """The audit as JSON."""
    return {
        "entries": reader.entries,
        "verified_to": str(reader.verified_to),
        "head": reader.head.hex(),
        "found": found,
        "acts": [
            {
                "entry": str(act.id),
                "time": time_text(act.time_us),
                "kind": act.kind,
                "account": act.account or None,
                "what": act.what,
                "result": "refused" if act.refused else "done",
                "reason": act.refused or None,
                "who": act.operator,
                "system_user": act.system_user,
                "why": act.why,
            }
            for act in shown
        ],
    }
