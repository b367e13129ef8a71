"""`jibek clock …`: compare the clocks of the venue, and accept them as they are when its clock guard has halted it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from engine.process import EXIT_REFUSED
from engine.process.wall_clock import time_text
from engine.records import BatchBuilder, Command, CommandKind, MarketState
from engine.service.clocks import DIFFERENCE_US_MAX, ahead_or_behind
from jibek.console.changes import execute_batch, signature
from jibek.console.failure import fail
from jibek.console.options import data_option, json_option, who_and_why
from jibek.console.output import Column, print_json, print_line, print_table
from jibek.venue.clocks import VenueClocks, halt_json, read_clocks, venue_state_text
from jibek.venue.directory import Directory, open_directory


@click.group()
def clock() -> None:
    """Compare the venue's clocks, and accept them as they are after a halt.

    \b
      jibek clock show
      jibek clock accept --why "the clock of the machine was set right"
    """


# -- show


@clock.command(short_help="Show the clocks, and the venue's time.")
@data_option
@json_option
def show(data_dir: Path, as_json: bool) -> None:
    """Show the clocks of the machine and the store, and the venue's time.

    The venue's time is that of its last entry. It never goes back, so on a quiet venue it is behind the clocks, and after a
    clock stood ahead it is ahead of them.

    Exit codes: 0 the clocks agree, 1 they part beyond what was accepted, or the clock guard has halted the venue.

    \b
      jibek clock show
      jibek clock show --json
    """
    _, client, directory = open_directory(data_dir)
    clocks = read_clocks(client, directory)
    if as_json:
        print_json(clocks_json(clocks, directory))
    else:
        _print_clocks(clocks, directory)
    if clocks.faults or clocks.is_halted_by_guard:
        sys.exit(EXIT_REFUSED)


def clocks_json(clocks: VenueClocks, directory: Directory) -> dict[str, Any]:
    """The clocks as JSON. Differences are microseconds."""
    look, accepted = clocks.look, clocks.accepted
    return {
        "machine_time": time_text(look.wall_us),
        "store_time": time_text(look.store_us),
        "venue_time": time_text(clocks.venue_time_us),
        "store_minus_machine_us": look.difference_us,
        "venue_minus_store_us": clocks.venue_time_us - look.store_us,
        "accepted": {
            "store_minus_machine_us": accepted.difference_us,
            "store_time": time_text(accepted.store_us) if accepted.time_us else None,
            "venue_time": time_text(accepted.time_us) if accepted.time_us else None,
        },
        "agree": not clocks.faults,
        "faults": [fault.text for fault in clocks.faults],
        "venue_state": directory.listing.venue_state.name.lower(),
        "venue_halt": halt_json(clocks.halt),
    }


def _print_clocks(clocks: VenueClocks, directory: Directory) -> None:
    look, accepted = clocks.look, clocks.accepted
    rows = [
        ["machine", time_text(look.wall_us), ""],
        ["store", time_text(look.store_us), f"{ahead_or_behind(look.difference_us)} the machine's clock"],
        [
            "venue",
            time_text(clocks.venue_time_us),
            f"{ahead_or_behind(clocks.venue_time_us - look.store_us)} the store's clock",
        ],
    ]
    print_table([Column("clock"), Column("time"), Column("")], rows)
    if accepted.time_us:
        print_line(
            f"Accepted: the venue's time up to {time_text(accepted.time_us)}{_difference_text(accepted.difference_us)}."
        )
    if clocks.faults:
        print_line(f"The clocks part: {'; '.join(fault.text for fault in clocks.faults)}.")
    else:
        print_line("The clocks agree, but for what was accepted." if accepted.time_us else "The clocks agree.")
    print_line(venue_state_text(directory.listing))
    if clocks.is_halted_by_guard:
        print_line("Set the clocks right; then `jibek clock accept --why …` lets the venue go on.")


def _difference_text(difference_us: int) -> str:
    """The end of a sentence about what is accepted; empty if the clocks must agree."""
    return f", and a store's clock {ahead_or_behind(difference_us)} the machine's" if difference_us else ""


# -- accept


@clock.command(short_help="Accept the clocks as they are, and resume.")
@click.option("--keep-halted", is_flag=True, help="Accept the clocks, and leave the venue halted.")
@data_option
@json_option
@who_and_why(why_required=True)
def accept(keep_halted: bool, data_dir: Path, as_json: bool, who: str, why: str) -> None:
    """Take the venue's clocks as they are for right, and resume a venue that the clock guard has halted.

    Set the clocks of the machines right first. Three things are accepted, for every engine and every start from now on: the
    difference between the clocks of store and machine, if there is one, what the store's clock shows, before which it must not
    go back, and the venue's time. If that is ahead of the clocks, it stays as it is until they have reached it: everything
    that happens until then has the same time.

    Signed requests with a time before this moment are refused from then on: one that was taken under a clock that stood ahead
    is not taken again.

    A halt by an operator stays; `jibek market resume --all` ends that.

    \b
      jibek clock accept --why "NTP stepped the clock, it is right now"
      jibek clock accept --why "looked at it" --keep-halted
    """
    _, client, directory = open_directory(data_dir)
    clocks = read_clocks(client, directory)
    check_something_is_to_accept(clocks)
    # Clocks that agree well enough are accepted as clocks that agree.
    difference_us = clocks.look.difference_us if abs(clocks.look.difference_us) > DIFFERENCE_US_MAX else 0
    # The store's clock may be ahead by a little, and what is signed from now on must pass.
    store_us = min(clocks.look.store_us, clocks.look.wall_us + difference_us)
    resumes = not keep_halted and clocks.operator_halt is None
    builder = BatchBuilder()
    builder.add(Command(kind=CommandKind.TIME_ACCEPT, amount=difference_us, expiry_us=store_us), *signature(who, why))
    if resumes:
        builder.add(Command(kind=CommandKind.MARKET_STATE_SET, state=MarketState.TRADING), *signature(who, why))
    _, answer = execute_batch(client, builder)
    venue_time_us = answer.header.time_us
    is_ahead = venue_time_us > clocks.look.store_us + DIFFERENCE_US_MAX
    until = time_text(venue_time_us - difference_us) if is_ahead else None
    signed_from = time_text(max(0, store_us - difference_us))
    is_halted = clocks.halt is not None and not resumes
    if as_json:
        accepted = {
            "store_minus_machine_us": difference_us,
            "store_time": time_text(store_us),
            "venue_time": time_text(venue_time_us),
            "signed_from": signed_from,
        }
        state = (MarketState.HALTED if is_halted else MarketState.TRADING).name.lower()
        print_json({"accepted": accepted, "stays_until": until, "venue_state": state})
        return
    print_line(f"Accepted: the venue's time up to {time_text(venue_time_us)}{_difference_text(difference_us)}.")
    if until is not None:
        print_line(f"The venue's time stays as it is until the machine's clock reaches {until}.")
    print_line(f"Requests that were signed before {signed_from} are refused from now on (-1021).")
    by = "" if keep_halted else ", because an operator has halted it"
    lets = ": `jibek market resume --all` lets it trade"
    print_line(f"The venue stays halted{by}{lets}." if is_halted else "The venue is trading.")


def check_something_is_to_accept(clocks: VenueClocks) -> None:
    """
    Raises:
        Failure: exit code 1: the clocks agree, and the clock guard has not halted the venue.
    """
    if clocks.faults or clocks.is_halted_by_guard:
        return
    rest = (
        "" if clocks.halt is None else f" {clocks.halt.operator} has halted it; `jibek market resume --all` ends that."
    )
    fail(
        EXIT_REFUSED,
        f"There is nothing to accept: the clocks agree, and the clock guard has not halted the venue.{rest}",
    )
