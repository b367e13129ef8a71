"""Style, types and stubs are tests: the same checks as `make style`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMPILED = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for pattern in ("*/*.pyx", "*/*/*.pyx")
    for path in sorted(ROOT.glob(pattern))
]
# What Cython adds of its own: a stub cannot say it.
STUB_ALLOWED = r"[\w.]+\.\w+\.__(init|contains|getitem|buffer|reduce_cython|setstate_cython)__"


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        [
            "mypy.stubtest",
            *COMPILED,
            "--concise",
            "--ignore-missing-stub",
            "--ignore-disjoint-bases",
            "--mypy-config-file",
            "pyproject.toml",
        ],
    ],
    ids=lambda command: command[0],
)
def test_style(command: list[str], tmp_path: Path) -> None:
    if command[0] == "mypy.stubtest":
        allowed = tmp_path / "allowed"
        allowed.write_text(STUB_ALLOWED)
        command = [*command, "--allowlist", str(allowed), "--ignore-unused-allowlist"]
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
