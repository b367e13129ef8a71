"""What the supervisor makes of the end of a child."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from jibek.venue import store_server
from jibek.venue.launch import VenueOptions
from jibek.venue.supervisor import Supervisor

# exit code         the store serves   the store was started after the child   whether it is a crash of the child
ENDS = (
    (EXIT_UNREACHABLE, True,           False,                                  True),
    (EXIT_UNREACHABLE, False,          False,                                  False),
    (EXIT_UNREACHABLE, True,           True,                                   False),
    (EXIT_REFUSED,     False,          True,                                   True),
    (-9,               True,           True,                                   True),
)  # fmt: skip


@pytest.mark.parametrize(("code", "is_serving", "store_is_newer", "is_crash"), ENDS)
def test_a_child_that_lost_its_store_has_not_crashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, is_serving: bool, store_is_newer: bool, is_crash: bool
) -> None:
    monkeypatch.setattr(store_server, "is_serving", lambda url: is_serving)
    supervisor = Supervisor(VenueOptions(tmp_path), lambda line: None)
    supervisor.folder.create()
    store, engine = supervisor._add("store", []), supervisor._add("engine", [])
    store.started_s, engine.started_s = (2.0, 1.0) if store_is_newer else (1.0, 2.0)
    supervisor._serving = True
    supervisor._child_ended(engine, code)
    assert engine.restarts == is_crash
