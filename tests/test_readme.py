"""What the README shows is what happens: its session is run, its Python is run, its client is the one in examples/."""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jibek.venue.temporary_venue import free_port

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T[\d:.]+Z)?")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def session() -> list[tuple[str, str]]:
    """(command, expected output) of every console block, in order."""
    steps = []
    for block in blocks("console"):
        for step in block.split("$ ")[1:]:
            command, _, output = step.partition("\n")
            steps.append((command.partition("  #")[0].strip(), output.strip()))
    return steps


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    words = command.split()
    program = {"jibek": [sys.executable, "-m", "jibek"], "python": [sys.executable]}[words[0]]
    if words[0] == "python":
        words[1] = str(ROOT / words[1])
    done = subprocess.run(
        [*program, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def same(expected: str, actual: str) -> bool:
    """Equal, where `...` stands for anything and moments are of no account."""
    normal = [
        MOMENT.sub("MOMENT", "\n".join(line.rstrip() for line in text.strip().splitlines()))
        for text in (expected, actual)
    ]
    return doctest.OutputChecker().check_output(normal[0], normal[1], doctest.ELLIPSIS)


def test_the_session(tmp_path: Path) -> None:
    port = str(free_port())
    url = f"ws://127.0.0.1:{port}/ws-api/v3"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JIBEK_URL": url}
    compared = 0
    try:
        for command, expected in session():
            if command.startswith((".", "export")):
                continue
            if command.startswith("jibek account key"):
                key = json.loads(run(command + " --json", tmp_path, environment))
                environment |= {"JIBEK_KEY": key["key"], "JIBEK_SECRET": key["secret"]}
                continue
            actual = command.replace("jibek up", f"jibek up --port {port}")
            output = run(actual, tmp_path, environment).replace(port, "9443")
            if expected:
                assert same(expected, output), f"$ {command}\n{output}\ninstead of\n{expected}"
                compared += 1
    finally:
        subprocess.run([sys.executable, "-m", "jibek", "down"], cwd=tmp_path, env=environment, check=False)
    assert compared >= 3, "the README shows what its commands print"


def test_the_client_is_the_one_in_examples() -> None:
    assert (ROOT / "examples" / "place_order.py").read_text() in blocks("python")


@pytest.mark.parametrize("block", [block for block in blocks("python") if block.startswith("from engine")])
def test_the_python_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "README.md", "exec"), {})
    assert "TRADE" in capsys.readouterr().out


def test_the_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target
