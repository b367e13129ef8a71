"""The rooms of the package: who may import whom, and no module in a circle."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest

from tests.test_imports import imported_modules, module_of, sources

# Each room with those that it may import, from the lowest floor up. Only `main` knows the commands, and imports one when
# it runs.
ROOMS: dict[str, set[str]] = {
    "console": set(),
    "client": {"console"},
    "venue": {"console"},
    "demo": {"client", "console", "venue"},
    "load": {"client", "console", "venue"},
    "replay": {"client", "console", "venue"},
    "commands": {"client", "console", "venue", "demo", "load", "replay"},
    "main": set(),
    "__main__": {"main"},
}


def test_each_room_imports_only_the_floors_below() -> None:
    seen = set()
    for path in sources("jibek"):
        _, *place = module_of(path).split(".")
        if not place:
            continue
        seen.add(place[0])
        for module in imported_modules(path):
            package, *target = module.split(".")
            if package == "jibek" and target and target[0] != place[0]:
                assert target[0] in ROOMS[place[0]], f"{path} imports {module}"
    assert seen == ROOMS.keys()


def test_no_module_is_imported_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in sources("jibek"):
        module = module_of(path)
        graph[module] = {each for each in imported_modules(path) if each.startswith("jibek.")} - {module}
    assert len(graph) > 40 and sum(map(len, graph.values())) > 100, "the files are read"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_no_command_imports_another() -> None:
    for path in sources("jibek/commands"):
        others = {module for module in imported_modules(path) if module.startswith("jibek.commands.")}
        assert not others, f"{path} imports {others}"
