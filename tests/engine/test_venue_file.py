"""venue.toml: what is accepted, what is refused and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.records import DEFAULT_LIMITS, TierLimits
from engine.venue_file import VenueDefinition, VenueError, load_venue

MARKET = """
[assets]
KZT = { scale = 2 }
BTC = { scale = 8 }
[markets.BTCKZT]
base = "BTC"
quote = "KZT"
tick = "1000"
lot = "0.00001"
price_max = "1000000000"
quantity_max = "1000"
notional_max = "100000000000"
"""


def load(tmp_path: Path, text: str) -> VenueDefinition:
    path = tmp_path / "venue.toml"
    path.write_text(text)
    return load_venue(path)


def test_the_default_venue_lists_four_markets() -> None:
    assert [symbol for symbol, _ in load_venue().markets] == ["BTCKZT", "ETHKZT", "USDTKZT", "BTCUSDT"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('tick = "1000"', 'tick = "100"', "not a whole number of the smallest unit of KZT"),
        ('tick = "1000"', 'tick = "0"', "markets.BTCKZT.tick: must be positive"),
        ('tick = "1000"', 'tick = "1e3"', "not a plain decimal"),
        ('tick = "1000"', "", "tick is missing"),
        ('lot = "0.00001"', 'lot = "0.000000001"', "more than 8 decimals"),
        ('price_max = "1000000000"', 'price_max = "1000000500"', "in steps of 1000"),
        ('base = "BTC"', 'base = "DOGE"', "base is not an asset"),
        ('quote = "KZT"', 'quote = "BTC"', "the same asset"),
        ('quantity_max = "1000"', 'quantity_max = "1000"\nnotional_min = "0.5"', "below 100 smallest units"),
        ('quantity_max = "1000"', 'quantity_max = "100000000000"', "below 2^62"),
        ('quantity_max = "1000"', 'quantity_max = "1000"\nmaker_fee_ppm = 100001', "whole number from 0 to 100000"),
        (
            'quantity_max = "1000"',
            'quantity_max = "1000"\ncolour = 1',
            "colour is not known; the known names are base, ",
        ),
        ("scale = 2", "scale = 9", "scale must be a whole number"),
        ("scale = 2", "scale = true", "scale must be a whole number"),
        ("[markets.BTCKZT]", "[markets.btckzt]", "1 to 20 characters A-Z 0-9"),
        ("[assets]", "[[assets", "venue.toml"),
        ("[assets]", "[limits.Maker]\n[assets]", "limits.Maker: a name has 1 to 20 characters a-z 0-9 _"),
        ("[assets]", "[limits]\nmaker = 5\n[assets]", "limits.maker: must be a table"),
        ("[assets]", "limits = 5\n[assets]", "limits: must be a table"),
        ("[assets]", "[[limits]]\norders_per_day = 5\n[assets]", "limits: must be a table"),
        ('base = "BTC"', 'base = ["BTC"]', "base is not an asset"),
        ('tick = "1000"', f"tick = {'9' * 5000}", "limit"),
        ("[assets]", f"deep = {'[' * 5000}{']' * 5000}\n[assets]", "it is nested too deep"),
        (
            "[assets]",
            "[limits.maker]\norders = 5\n[assets]",
            "limits.maker: orders is not known; the known names are orders_per_10_s, orders_per_day, refusals_per_10_s, "
            "subscriptions_max, weight_per_minute$",
        ),
        (
            "[assets]",
            "[limits.maker]\norders_per_day = 0\n[assets]",
            "limits.maker.orders_per_day: must be a whole number",
        ),
        (
            "[assets]",
            '[limits.maker]\norders_per_day = "5"\n[assets]',
            "limits.maker.orders_per_day: must be a whole number",
        ),
        (
            "[assets]",
            "[limits.default]\norders_per_day = 1_000_000_001\n[assets]",
            "a whole number from 1 to 1000000000",
        ),
        (
            "[assets]",
            "[limits.maker]\nconnections_per_5_min = 5\n[assets]",
            "limits.maker.connections_per_5_min counts before anybody",
        ),
        ("[assets]", "".join(f"[limits.tier{n}]\n" for n in range(64)) + "[assets]", "more than 64 tiers"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in MARKET
    with pytest.raises(VenueError, match=says.replace("^", r"\^")) as refused:
        load(tmp_path, MARKET.replace(old, new, 1))
    assert str(refused.value).startswith(f"{tmp_path / 'venue.toml'}: ")


def test_an_unknown_table_is_refused_with_the_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(VenueError) as refused:
        load(tmp_path, f"{MARKET}\n[fees]\nmaker = 1")
    path = tmp_path / "venue.toml"
    assert (
        str(refused.value) == f"{path}: the top level: fees is not known; the known names are assets, limits, markets"
    )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VenueError) as refused:
        load_venue(tmp_path / "none.toml")
    assert str(refused.value) == f"There is no file {tmp_path / 'none.toml'}."


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(VenueError) as refused:
        load_venue(tmp_path)
    assert str(refused.value) == f"{tmp_path} cannot be read: Is a directory."


def test_a_tier_has_its_own_numbers_and_default_has_all(tmp_path: Path) -> None:
    tiers = "[limits.default]\norders_per_10_s = 70\n[limits.maker]\norders_per_day = 5_000_000\n"
    assert load(tmp_path, tiers + MARKET).limits == [
        ("default", DEFAULT_LIMITS._replace(orders_per_10_s=70)),
        ("maker", TierLimits(orders_per_day=5_000_000)),
    ]
    assert load(tmp_path, MARKET).limits == []


def test_the_example_has_tiers() -> None:
    example = load_venue(Path(__file__).parents[2] / "examples" / "venue.toml")
    assert [tier for tier, _ in example.limits] == ["default", "market_maker"]
