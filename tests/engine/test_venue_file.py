"""venue.toml: what is accepted, what is refused and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.venue_file import VenueError, load_venue

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


def load(tmp_path: Path, text: str) -> object:
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
    assert str(refused.value) == f"{path}: the top level: fees is not known; the known names are assets, markets"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VenueError, match="No such file"):
        load_venue(tmp_path / "none.toml")
