"""What README.md and docs/session.md show is what happens: their commands, their Python and their client are run."""

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
SESSION = (ROOT / "docs" / "session.md").read_text()
MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T[\d:.]+Z)?")
NUMBER = re.compile(r" *\d[\d,.]*")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def session(page: str) -> list[tuple[str, str]]:
    """(command, expected output) of every console block, in order."""
    steps = []
    for block in blocks(page, "console"):
        for step in block.split("$ ")[1:]:
            command, _, output = step.partition("\n")
            steps.append((command.partition("  #")[0].strip(), output.strip()))
    return steps


def same(expected: str, actual: str) -> bool:
    """Equal, where `...` in what is expected matches anything and moments do not count."""
    normal = [
        MOMENT.sub("MOMENT", "\n".join(line.rstrip() for line in text.strip().splitlines()))
        for text in (expected, actual)
    ]
    return doctest.OutputChecker().check_output(normal[0], normal[1], doctest.ELLIPSIS)


def assert_readme_shows_demo(output: str) -> None:
    """The output of `jibek demo` is the one in the README but for its numbers. The test of the demo calls this, so that
    the demo runs once."""
    [shown] = blocks(README, "text")
    expected, actual = (NUMBER.sub(" N", text) for text in (shown, output))
    assert same("...\n" + expected, "\n" + actual), f"README.md shows\n{shown}\nand the demo prints\n{output}"


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


def test_the_session(tmp_path: Path) -> None:
    port = str(free_port())
    url = f"ws://127.0.0.1:{port}/ws-api/v3"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JIBEK_URL": url}
    compared = 0
    try:
        for command, expected in session(SESSION):
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
    assert compared >= 5, "the page shows what its commands print"


def test_the_readme_shows_a_part_of_that_session() -> None:
    whole = iter(session(SESSION))
    assert session(README)
    for command, expected in session(README):
        output = next((output for each, output in whole if each == command), None)
        assert output is not None, f"$ {command} is not in docs/session.md, or stands in another place"
        assert same(expected, output) or not expected, f"$ {command}\n{output}\ninstead of\n{expected}"


def test_the_client_is_the_one_in_examples() -> None:
    assert (ROOT / "examples" / "place_order.py").read_text() in blocks(SESSION, "python")


@pytest.mark.parametrize("block", blocks(README, "python"))
def test_the_python_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "README.md", "exec"), {})
    assert "TRADE" in capsys.readouterr().out


def test_its_counts_are_right() -> None:
    [checks] = re.findall(r"(\d+) checks in `jibek ledger reconcile`", README)
    assert len(re.findall(r" \d+  pass$", SESSION, re.MULTILINE)) == int(checks)
    [lines] = re.findall(r"The rules are ([\d,]+) lines of plain Python", README)
    count = sum(len(path.read_text().splitlines()) for path in (ROOT / "engine" / "reference").glob("*.py"))
    assert abs(count - int(lines.replace(",", ""))) < 100, f"engine/reference has {count} lines"


@pytest.mark.parametrize(
    "page", ["README.md", "ARCHITECTURE.md", *(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md")))]
)
def test_the_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", path.read_text()):
        file = path.parent / target if target else path
        assert file.exists(), f"{page} links to {target}"
        assert not anchor or anchor in anchors(file.read_text()), f"{page} links to #{anchor} of {file.name}"


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
