"""The report of a load test: rates and costs follow from the counts."""

from __future__ import annotations

from collections import Counter

import pytest

from jibek.load.histogram import Histogram
from jibek.load.report import BUSY_SHARE, LoadReport, load_report_json, print_load_report, progress_line
from jibek.load.run import LoadResult


def result(**changes: object) -> LoadResult:
    latencies = Histogram()
    for latency_us in (1_000, 2_000, 200_000):
        latencies.record(latency_us)
    values = {
        "seconds": 2.0, "generator_cpu_s": 0.5, "orders": 3_000, "cancels": 1_000, "latencies": latencies,
        "orders_accepted": 2_800, "cancels_accepted": 900, "refusals": Counter({"No. (-2010)": 300}),
    }  # fmt: skip
    return LoadResult(**values | changes)  # type: ignore[arg-type]


def report(**changes: object) -> LoadReport:
    return LoadReport(4, 32, None, "BTCKZT", result(**changes), 120, {"engine": 0.2})


def test_rates_count_accepted_orders_and_cost_counts_requests() -> None:
    found = load_report_json(report())
    assert (found["orders_per_second"], found["requests_per_second"]) == (1_400, 2_000)
    assert (found["orders"], found["orders_accepted"], found["cancels"], found["cancels_accepted"]) == (
        3_000,
        2_800,
        1_000,
        900,
    )
    assert found["cpu_us_per_request"] == {"engine": 50.0, "generator": 125.0}
    assert found["latency"]["max_us"] == 200_000
    assert 2_000 <= found["latency"]["p50_us"] <= 2_016
    assert (found["fills"], found["refusals"], found["unknown"]) == (120, {"No. (-2010)": 300}, 0)


def test_a_load_that_never_began_divides_by_nothing() -> None:
    found = load_report_json(report(seconds=0.0, orders=0, cancels=0, orders_accepted=0, cancels_accepted=0))
    assert (found["orders_per_second"], found["requests_per_second"]) == (0, 0)
    assert found["generator_is_the_limit"] is False


@pytest.mark.parametrize(("share", "is_busy"), [(BUSY_SHARE - 0.01, False), (BUSY_SHARE + 0.01, True)])
def test_a_generator_that_is_the_limit_says_so(capsys: pytest.CaptureFixture[str], share: float, is_busy: bool) -> None:
    busy = report(generator_cpu_s=2.0 * share)
    assert load_report_json(busy)["generator_is_the_limit"] == is_busy
    print_load_report(busy)
    assert ("run a second one" in capsys.readouterr().err) == is_busy


def test_what_is_unknown_is_said_to_be_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    print_load_report(LoadReport(1, None, 5.0, "BTCKZT", result(unknown=2), None, {}))
    printed = capsys.readouterr().out
    assert "fills: unknown" in printed
    assert "2 requests never got a reply: their outcome is unknown." in printed


def test_the_headline_counts_what_was_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    print_load_report(report())
    assert capsys.readouterr().out.splitlines()[:2] == [
        "2,800 orders and 900 cancels accepted in 2.00 s on BTCKZT: 1,400 orders a second; fills: 120.",
        "300 requests of 4,000 were refused.",
    ]


def test_progress_is_one_line() -> None:
    line = progress_line(result())
    assert line.startswith("2 s: 2,800 orders, 1,400 a second; 900 cancels; 300 refused; p50 2.0")
    assert "\n" not in line
