from __future__ import annotations

import re

import pytest

from engine.records import DEFAULT_LIMITS, LIMIT_NAMES
from gateway.arguments import parse_arguments
from gateway.pages.limits_page import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run python -m gateway.pages.limits_page"


def test_its_options_are_those_of_the_service_with_these_defaults() -> None:
    arguments = parse_arguments(["--store", "x", "--data", "x"])
    parts = (arguments, arguments.pipeline_limits, arguments.connection_limits, arguments.bans)
    chosen = {name: value for part in parts for name, value in part._asdict().items()}
    rows = re.findall(r"\| ([^|]*) \| [^|]* \| `--([a-z0-9-]+)` \|", page())
    assert len(rows) >= 5
    for bound, option in rows:
        assert bound.removesuffix(" s").replace(",", "") == f"{chosen[option.replace('-', '_')]:.0f}"


def test_each_option_sets_its_bound() -> None:
    """So that no two of them are mixed up."""
    options = re.findall(r"`(--[a-z0-9-]+)`", page())
    values = {option: index for index, option in enumerate(dict.fromkeys(options), start=11)}
    line = [word for option, value in values.items() for word in (option, str(value))]
    arguments = parse_arguments(["--store", "x", "--data", "x", *line])
    parts = (arguments, arguments.pipeline_limits, arguments.connection_limits, arguments.bans)
    chosen = {name: value for part in parts for name, value in part._asdict().items()}
    assert {option: chosen[option[2:].replace("-", "_")] for option in values} == values


@pytest.mark.parametrize("name", [name for name in LIMIT_NAMES if name != "refusals_per_10_s"])
def test_each_number_of_a_tier_has_a_row_with_its_default(name: str) -> None:
    [bound] = re.findall(rf"\| ([^|]*) \| [^|]* \| limits: `{name}` \|", page())
    assert bound == f"{getattr(DEFAULT_LIMITS, name):,}"
