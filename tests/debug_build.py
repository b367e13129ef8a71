"""The debug build: the engine compiled with assertions, bounds checks and sanitizers, in a copy of the sources.

    python -m tests.debug_build                                  builds it, or what has changed of it
    python -m tests.debug_build tests/engine/test_twin.py        builds it and runs pytest on it

The copy is in build/debug, so the ordinary build stays as it is. Only what was changed is copied and compiled again, by the
Cython and setuptools of the environment, which requirements.lock pins.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPY = ROOT / "build" / "debug"
FOLDERS = ("bench", "docs", "engine", "examples", "gateway", "jibek", "ledger", "tests")
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.so", "*.c", "*.html")
COMPILERS = 2
PYTEST = ["-m", "pytest", "--capture=sys"]
"""What a process says as it ends is lost if pytest keeps more than what Python itself prints."""


def find_sanitizer() -> str | None:
    """The library that must be loaded before all others; None if gcc has none or is missing."""
    compiler = shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    printed = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    # gcc prints the name alone of a library that it does not have.
    return printed if os.path.isabs(printed) else None


def build() -> None:
    """Brings the copy and what is compiled in it up to date.

    Raises:
        subprocess.CalledProcessError: it does not compile; `stderr` says why.
    """
    copy_sources(COPY)
    compile_extensions(COPY, JIBEK_DEBUG="1", CC="gcc")


def compile_extensions(copy: Path, **variables: str) -> None:
    """Compiles the extensions of a copy in their places, with these variables in the environment.

    Raises:
        subprocess.CalledProcessError: it does not compile; `stderr` says why.
    """
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace", f"-j{COMPILERS}"],
        cwd=copy,
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    )


def copy_sources(copy: Path) -> None:
    """Copies files with their times, by which the compiler sees what has changed, and removes those whose source is gone."""
    setup = copy / "setup.py"
    if setup.exists() and setup.read_bytes() != (ROOT / "setup.py").read_bytes():
        # The flags may be others, and the compiler looks at the times of the sources only.
        shutil.rmtree(copy)
    copy.mkdir(parents=True, exist_ok=True)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy / name)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=NOT_COPIED, dirs_exist_ok=True)
        for path in (copy / folder).rglob("*"):
            if path.suffix in (".py", ".pyx", ".pxd", ".pyi") and not (ROOT / path.relative_to(copy)).exists():
                path.unlink()


def environment(sanitizer: str) -> dict[str, str]:
    """What a process needs in its environment to load the debug build."""
    return {
        **os.environ,
        "LD_PRELOAD": sanitizer,
        "PYTHONPATH": str(COPY),
        # Each object by malloc itself, so that the sanitizer sees where it ends.
        "PYTHONMALLOC": "malloc",
        # Python itself keeps memory until its process ends.
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }


def main(arguments: list[str]) -> int:
    sanitizer = find_sanitizer()
    if sanitizer is None:
        print("the debug build needs Linux and gcc with libasan", file=sys.stderr)
        return 1
    try:
        build()
    except subprocess.CalledProcessError as error:
        print(error.stderr, file=sys.stderr)
        return 1
    if not arguments:
        print("run a test on it: .venv/bin/python -m tests.debug_build tests/engine/test_twin.py")
        return 0
    return subprocess.call([sys.executable, *PYTEST, *arguments], cwd=COPY, env=environment(sanitizer))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
