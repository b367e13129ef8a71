"""The gateway gets as many descriptors as its bounds need, or lets in as many connections as it has descriptors for."""

from __future__ import annotations

import logging
import resource

import pytest

from gateway.descriptors import fit_descriptors
from gateway.limits import DESCRIPTORS_SPARE, TURNED_AWAY_MAX

MORE = DESCRIPTORS_SPARE + TURNED_AWAY_MAX
INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "soft_after", "connections"),
    [
        (1024, 1 << 20, 10_000 + MORE, 10_000),
        (1024, INFINITY, 10_000 + MORE, 10_000),
        (1 << 20, 1 << 20, 1 << 20, 10_000),
        (INFINITY, INFINITY, INFINITY, 10_000),
        (1024, 4096, 4096, 4096 - MORE),
        (1024, 1024, 1024, 1024 - MORE),
        (64, 64, 64, 1),
    ],
)
def test_the_soft_limit_is_raised_and_the_hard_one_is_obeyed(
    soft: int,
    hard: int,
    soft_after: int,
    connections: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, values: limits.append(values))
    assert fit_descriptors(10_000, logging.getLogger("test")) == connections
    assert limits[-1] == (soft_after, hard)
    assert ("LimitNOFILE" in caplog.text) == (connections < 10_000)
