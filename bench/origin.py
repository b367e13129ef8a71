"""Where a result comes from: each report that a benchmark prints as JSON begins with this."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def origin(benchmark: str, arguments: list[str]) -> dict[str, Any]:
    """The command that was given, the commit that was measured, and the machine.

    Args:
        benchmark: its name, as in `jibek bench NAME`.
        arguments: those behind the name.
    """
    return {
        "command": shlex.join(["jibek", "bench", benchmark, *arguments]),
        "commit": commit(),
        "machine": machine(),
    }


def commit() -> str:
    """The commit of the repository, marked where files differ from it; outside a repository the package's version."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        found = _output("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD")
        if found:
            is_changed = _output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
            return f"{found} with changes" if is_changed else found
    try:
        return f"version {version('jibek')}"
    except PackageNotFoundError:
        return "not recorded"


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, Python, and gcc; None for a gcc that is not there."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "python": platform.python_version(),
        "gcc": _output("gcc", "-dumpfullversion") or None if shutil.which("gcc") else None,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return named[1] if named else platform.processor() or platform.machine()


def _output(*command: str) -> str:
    """What a command prints; nothing where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
