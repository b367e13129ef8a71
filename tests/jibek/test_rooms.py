"""The rooms of the package: each imports only the floors below. `tests/test_imports.py` keeps all circles out."""

from __future__ import annotations

from pathlib import Path

from tests.import_graph import ImportGraph

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
    "main": {"console"},
    "__main__": {"main"},
}

GRAPH = ImportGraph(Path(__file__).parents[2], ("jibek",))


def room_of(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


def test_each_room_imports_only_the_floors_below() -> None:
    modules = [module for module in GRAPH.modules_in("jibek") if room_of(module)]
    assert {room_of(module) for module in modules} == ROOMS.keys()
    for module in modules:
        for imported in GRAPH.inner[module] - {"jibek"}:
            below = {room_of(module), *ROOMS[room_of(module)]}
            assert room_of(imported) in below, f"{module} imports {imported}"


def test_no_command_imports_another() -> None:
    commands = GRAPH.modules_in("jibek.commands")
    assert len(commands) > 5
    for module in commands:
        others = {imported for imported in GRAPH.inner[module] if imported.startswith("jibek.commands.")}
        assert not others, f"{module} imports {others}"
