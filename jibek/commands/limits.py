"""`jibek limits …`: list, show and set the tiers, which say how much an account may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine.definitions import TIER_NAME, limits_faults
from engine.process import EXIT_REFUSED
from engine.reasons import Reason
from engine.records import DEFAULT_TIER, LIMIT_MAX, LIMIT_NAMES, TierLimits
from jibek.console.changes import reason_text
from jibek.console.failure import fail
from jibek.console.options import data_option, json_option, who_and_why
from jibek.console.output import Column, print_json, print_table
from jibek.console.text import counted
from jibek.venue.directory import Directory, open_directory
from jibek.venue.tiers import check_tier, numbers_of, set_limits

HELP = {
    "weight_per_minute": "Request weight of an address a minute.",
    "orders_per_10_s": "New unfilled orders of an account in ten seconds.",
    "orders_per_day": "New unfilled orders of an account in a day.",
    "refusals_per_10_s": "Refused commands of an account that reach the journal, in ten seconds.",
    "subscriptions_max": "User data subscriptions of an account over all connections.",
    "connections_per_5_min": "New connections of an address in five minutes; default alone.",
    "stream_messages_per_s": "Requests on a stream connection a second; default alone.",
}
assert tuple(HELP) == LIMIT_NAMES, "every number of a tier has an option"


@click.group()
def limits() -> None:
    """List, show and set the tiers, which say how much an account may ask for.

    \b
      jibek limits list
      jibek limits set market_maker --orders-per-10-s 1000
    """


# -- list and show


@limits.command("list")
@data_option
@json_option
def list_tiers(data_dir: Path, as_json: bool) -> None:
    """List all tiers with the limits that hold in them.

    \b
      jibek limits list
      jibek limits list --json
    """
    _, _, directory = open_directory(data_dir)
    found = [summary(directory, tier) for tier in directory.listing.tiers]
    if as_json:
        print_json(found)
        return
    columns = [Column("limit"), *(Column(each["tier"], right=True) for each in found)]
    rows = [[name, *(f"{each['limits'][name]:,}" for each in found)] for name in LIMIT_NAMES]
    rows.append(["accounts", *(f"{each['accounts']:,}" for each in found)])
    print_table(columns, rows, footer=counted(len(found), "tier"))


def summary(directory: Directory, tier: str) -> dict[str, Any]:
    """A tier as JSON shows it: the limits that hold, and which of them are its own."""
    listing = directory.listing
    return {
        "tier": tier,
        "limits": numbers_of(listing.effective_limits(tier)),
        "own": [name for name, number in numbers_of(listing.tiers[tier]).items() if number],
        "accounts": sum(account.tier == tier for account in directory.accounts.values()),
    }


@limits.command(short_help="Show the limits of one tier.")
@click.argument("tier")
@data_option
@json_option
def show(tier: str, data_dir: Path, as_json: bool) -> None:
    """Show the limits of one tier, and which of them come from the tier `default`.

    \b
      jibek limits show market_maker
    """
    _, _, directory = open_directory(data_dir)
    check_tier(directory.listing, tier)
    _print_tier(summary(directory, tier), as_json)


def _print_tier(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    columns = [Column("limit"), Column(found["tier"], right=True), Column("from")]
    rows = [
        [name, f"{number:,}", found["tier"] if name in found["own"] else "default"]
        for name, number in found["limits"].items()
    ]
    print_table(columns, rows, footer=f"{counted(found['accounts'], 'account')} in this tier")


# -- set


def _number_options(command: Any) -> Any:
    """Adds an option for each number of a tier; the command receives them by their names, None where not given."""
    for name in reversed(LIMIT_NAMES):
        option = "--" + name.replace("_", "-")
        command = click.option(option, name, type=click.IntRange(0, LIMIT_MAX), metavar="N", help=HELP[name])(command)
    return command


@limits.command("set")
@click.argument("tier")
@_number_options
@data_option
@json_option
@who_and_why(why_required=False)
def set_tier(tier: str, data_dir: Path, as_json: bool, who: str, why: str, **numbers: int | None) -> None:
    """Change the limits of a tier, or define a new tier.

    A limit that you do not name stays as it is; with 0 a tier takes it from the tier `default` again. The change holds at
    once, in every gateway.

    \b
      jibek limits set market_maker --orders-per-10-s 1000
      jibek limits set default --connections-per-5-min 900 --why "more clients"
    """
    given = {name: number for name, number in numbers.items() if number is not None}
    _, client, directory = open_directory(data_dir)
    present = directory.listing.tiers.get(tier, TierLimits())
    if not given and tier in directory.listing.tiers:
        raise click.UsageError("give at least one limit to change.")
    if tier == DEFAULT_TIER.decode() and 0 in given.values():
        raise click.UsageError("the tier default needs a number above 0 for every limit.")
    if tier != DEFAULT_TIER.decode() and (faults := limits_faults(tier.encode(), present._replace(**given))):
        raise click.UsageError(f"{faults[0]}.")
    if TIER_NAME.fullmatch(tier.encode()) is None:
        fail(EXIT_REFUSED, reason_text(Reason.INVALID_LIMITS))
    set_limits(client, tier, present._replace(**given), who=who, why=why)
    directory.listing.tiers[tier] = present._replace(**given)
    _print_tier(summary(directory, tier), as_json)
