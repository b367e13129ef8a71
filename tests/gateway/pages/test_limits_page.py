from __future__ import annotations

import re

from gateway.pages.limits_page import PAGE, page
from gateway.service import parse_arguments


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run python -m gateway.pages.limits_page"


def test_its_options_are_those_of_the_service_with_these_defaults() -> None:
    arguments = vars(parse_arguments(["--store", "x", "--data", "x"]))
    for bound, option in re.findall(r"\| ([^|]*) \| [^|]* \| `--([a-z0-9-]+)` \|", page()):
        default = arguments[option.replace("-", "_")]
        assert bound.removesuffix(" s").replace(",", "") == f"{default:.0f}"
