"""The package: what a wheel and a source distribution contain, and that an installed wheel works on its own.

The wheel is installed into an empty environment, which gets the dependencies that the wheel declares and nothing else.
Everything there runs in a folder far from the repository.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("bench", "engine", "gateway", "jibek", "ledger")
COMMAND_SECONDS_MAX = 600

CONTENTS = """
    in the repository            wheel  source
    tests/*                      no     no
    */__pycache__/*              no     no
    *.c                          no     no
    *.html                       no     no
    *.so                         yes    no
    *.pyx                        no     yes
    *.pxd                        no     yes
    *.pxi                        no     yes
    setup.py                     no     yes
    docs/*                       no     yes
    examples/*                   no     yes
    bench/README.md              no     yes
    bench/results/*              no     yes
    *.md                         no     yes
    LICENSE                      no     yes
    pyproject.toml               no     yes
    MANIFEST.in                  no     yes
    *.py                         yes    yes
    *.pyi                        yes    yes
    engine/py.typed              yes    yes
    engine/default_venue.toml    yes    yes
    engine/journal/journal.lua   yes    yes
    ledger/store.lua             yes    yes
    bench/price_index.cpp        yes    yes
"""
"""The first line whose pattern fits counts. A file that none fits must not be there until somebody decides."""

MADE_BY_SETUPTOOLS = ("PKG-INFO", "setup.cfg", "jibek.egg-info/*", "*.dist-info/*")


class Row(NamedTuple):
    pattern: str
    wheel: str
    source: str


ROWS = [Row(*line.split()) for line in CONTENTS.strip().splitlines()[1:]]


class Built(NamedTuple):
    """The two distributions, and the files of the tree that they were built from."""

    files: list[str]
    wheel: Path
    source: Path


# -- building


@pytest.fixture(scope="module")
def built(shared: Path) -> Built:
    """Built once, from a copy of the repository with what was compiled in it, by what pyproject.toml names."""
    tree, dist = shared / "tree", shared / "dist"
    with locked(shared):
        if not dist.exists():
            copy_repository(tree)
            backend = f"import {PROJECT['build-system']['build-backend']} as backend"
            hooks = f"backend.build_sdist({str(dist)!r}); backend.build_wheel({str(dist)!r})"
            checked([sys.executable, "-c", f"{backend}; {hooks}"], tree)
    return Built(files_of(ROOT), *dist.glob("*.whl"), *dist.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all processes of a test run share, so that one of them builds for all."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent
    (folder / "package").mkdir(exist_ok=True)
    return folder / "package"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time work in a folder."""
    with open(folder / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def copy_repository(tree: Path) -> None:
    """A copy with the times of the files, by which the build sees what is compiled already.

    The C that Cython made comes along, and must not get into a distribution. The extensions go where setuptools would
    put them.
    """
    for name in files_of(ROOT):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    compiled = tree / "build" / f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    for path in [path for package in PACKAGES for path in (tree / package).rglob("*.so")]:
        place = compiled / path.relative_to(tree)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)


def files_of(root: Path) -> list[str]:
    """The files of a tree that may belong to the package, built ones too, as paths with slashes."""
    folders = (*PACKAGES, "docs", "examples", "tests")
    paths = [*root.glob("*.*"), root / "LICENSE", *(path for folder in folders for path in (root / folder).rglob("*"))]
    names = [path.relative_to(root).as_posix() for path in paths if path.is_file()]
    return [name for name in names if not name.startswith(".") and name != "requirements.lock"]


def checked(command: list[str | Path], folder: Path, **variables: str) -> str:
    """What a command prints. Its environment has these variables, and nothing that leads to the repository."""
    done = run(command, folder, **variables)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def run(command: list[str | Path], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8", **variables}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
    )


# -- contents


def test_the_wheel_has_what_runs_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    assert own(names) == wanted(built.files, "wheel")
    assert re.search(r"-linux_|-macosx_", built.wheel.name), "what is compiled belongs to one system"


def test_the_source_distribution_has_what_builds_and_nothing_that_was_built(built: Built) -> None:
    with tarfile.open(built.source) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert own(names) == wanted(built.files, "source")


def own(names: set[str]) -> list[str]:
    return sorted(name for name in names if not any(fnmatch(name, pattern) for pattern in MADE_BY_SETUPTOOLS))


def wanted(files: list[str], distribution: str) -> list[str]:
    return sorted(name for name in files if (row := row_of(name)) and getattr(row, distribution) == "yes")


def row_of(name: str) -> Row | None:
    return next((row for row in ROWS if fnmatch(name, row.pattern)), None)


LEFT_BY_OTHER_BUILDS = ("*.html", "*/__pycache__/*")


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.pattern not in LEFT_BY_OTHER_BUILDS], ids=lambda row: row.pattern
)
def test_each_line_of_the_table_is_needed(row: Row) -> None:
    assert any(row_of(name) is row for name in files_of(ROOT))


# -- an environment with nothing but the wheel


class Environment:
    """A virtual environment with the wheel and what it declares, and an empty folder to work in."""

    def __init__(self, place: Path) -> None:
        self.bin, self.folder = place / "venv" / "bin", place / "empty"

    def make(self, wheel: Path, *extras: str) -> None:
        """Installs the wheel. What it needs with these extras is lent by the environment of the tests."""
        self.folder.mkdir(parents=True)
        checked([sys.executable, "-m", "venv", "--without-pip", self.bin.parent], self.folder)
        pip: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.bin / "python",
            "--disable-pip-version-check",
            "--quiet",
        ]
        checked([*pip, "install", "--no-index", "--no-deps", wheel], self.folder)
        packages = self.packages()
        installed = next(iter(distributions(name="jibek", path=[str(packages)])))
        for name in needed(installed, extras) - {"jibek"}:
            lent = distribution(name)
            for top in {file.parts[0] for file in lent.files or []} - {"..", "__pycache__"}:
                (packages / top).symlink_to(str(lent.locate_file(top)))

    def packages(self) -> Path:
        return Path(self.checked("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())

    def files(self) -> dict[str, int]:
        """The files of the package, with the times of their last change in nanoseconds."""
        paths = [path for package in PACKAGES for path in (self.packages() / package).rglob("*")]
        return {str(path): path.stat().st_mtime_ns for path in paths if path.is_file()}

    def checked(self, program: str, *arguments: str, folder: Path | None = None) -> str:
        return checked([self.bin / program, *arguments], folder or self.folder)

    def run(self, program: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return run([self.bin / program, *arguments], folder or self.folder)


def needed(package: Distribution, extras: Iterable[str]) -> set[str]:
    """The names of a distribution and of all that it needs with these extras."""
    names = {package.name}
    for requirement in map(Requirement, package.requires or []):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            names |= needed(distribution(requirement.name), requirement.extras)
    return names


@pytest.fixture(scope="module")
def plain(built: Built, shared: Path) -> Environment:
    return environment(shared, "plain", built.wheel)


@pytest.fixture(scope="module")
def with_numpy(built: Built, shared: Path) -> Environment:
    return environment(shared, "with-numpy", built.wheel, "bench")


def environment(shared: Path, name: str, wheel: Path, *extras: str) -> Environment:
    """Makes an environment once for all processes of a test run."""
    found = Environment(shared / name)
    with locked(shared):
        if not (shared / name).exists():
            found.make(wheel, *extras)
    return found


def test_the_command_runs(plain: Environment) -> None:
    assert plain.checked("jibek", "--version") == f"jibek, version {PROJECT['project']['version']}\n"
    assert "reconcile" in plain.checked("jibek", "--help")


def test_the_demo_runs_in_any_folder_and_writes_nothing_into_the_package(plain: Environment, tmp_path: Path) -> None:
    """A user may keep an engine.py of his own where he starts a venue."""
    for name in (*PACKAGES, "click", "redis"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the folder was taken for the package')")
    before = plain.files()
    assert "Trial balance" in plain.checked("jibek", "demo", "--seconds", "3", folder=tmp_path)
    assert plain.files() == before


# -- the library


RUN_PAGE = """
import doctest, sys
failed, attempted = doctest.testfile(sys.argv[1], module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
sys.exit(failed or not attempted)
"""


def test_the_example_of_the_readme_runs(plain: Environment) -> None:
    blocks = re.findall(
        r"^```python\n(from engine .*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert blocks
    for block in blocks:
        assert "TRADE" in plain.checked("python", "-c", block)


@pytest.mark.parametrize("page", ["book.md", "engine.md"])
def test_the_examples_of_a_page_run(page: str, plain: Environment, with_numpy: Environment, tmp_path: Path) -> None:
    """Up to the first one that imports NumPy without it, and all of them with it."""
    text = (ROOT / "docs" / page).read_text()
    start = tmp_path / page
    start.write_text(text.partition(">>> import numpy")[0])
    plain.checked("python", "-c", RUN_PAGE, str(start))
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with_numpy.checked("python", "-c", RUN_PAGE, str(ROOT / "docs" / page), folder=tmp_path)


@pytest.mark.parametrize(
    "call",
    [
        "engine.Book().apply([])",
        "engine.book.operation_dtype()",
        "engine.library_values.command_dtype()",
        "engine.library_values.event_dtype()",
        "engine.Engine().apply([])",
    ],
)
def test_what_needs_numpy_says_how_to_install_it(call: str, plain: Environment) -> None:
    done = plain.run("python", "-c", f"import engine.book, engine.library_values\n{call}")
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: arrays need NumPy: run `make build` in a clone, elsewhere `pip install numpy`"
    )


# -- extras


def test_a_benchmark_without_numpy_says_how_to_install_it(plain: Environment) -> None:
    done = plain.run("jibek", "bench", "book", "--smoke")
    assert done.returncode in (1, 2) and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "pip install numpy" in done.stderr


def test_a_benchmark_with_its_extra_runs(with_numpy: Environment, tmp_path: Path) -> None:
    (tmp_path / "bench.py").write_text("raise SystemExit('a file of the folder was taken for the package')")
    report = json.loads(with_numpy.checked("jibek", "bench", "growth", "--smoke", "--json", folder=tmp_path))
    assert report["commit"] == f"version {PROJECT['project']['version']}"


# -- the whole way, with downloads


@pytest.mark.long
def test_a_source_distribution_builds_and_installs_from_nothing(built: Built, tmp_path: Path) -> None:
    """pip brings the tools, compiles, and downloads the dependencies."""
    checked([sys.executable, "-m", "venv", tmp_path / "venv"], tmp_path)
    programs = tmp_path / "venv" / "bin"
    pip_settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    checked(
        [programs / "pip", "install", "--quiet", f"jibek[bench] @ {built.source.as_uri()}"], tmp_path, **pip_settings
    )
    checked([programs / "jibek", "demo", "--seconds", "3"], tmp_path)
    checked([programs / "jibek", "bench", "price-index", "--smoke"], tmp_path)


# -- what was built goes


def test_clean_removes_what_was_built_at_any_depth(tmp_path: Path) -> None:
    shutil.copy2(ROOT / "Makefile", tmp_path)
    for package in PACKAGES:
        (tmp_path / package / "a" / "b" / "__pycache__").mkdir(parents=True)
        for place in ("", "a", "a/b"):
            for name in ("made.c", "made.so", "made.html", "kept.pyx", "kept.py"):
                (tmp_path / package / place / name).touch()
    (tmp_path / "build" / "lib").mkdir(parents=True)
    checked(["make", "clean"], tmp_path)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"Makefile", "kept.pyx", "kept.py"}
    assert not [*tmp_path.rglob("__pycache__"), *tmp_path.glob("build")]
