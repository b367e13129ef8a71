"""`.ci/redis` finds or installs a Redis for the tests, and never fails: without one they are skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "redis"
NEW = "echo 'Redis server v=7.0.15 sha=0'"
OLD = "echo 'Redis server v=6.0.16 sha=0'"
TOOLS = ("sh", "mkdir", "ln", "timeout")


def printed(folder: Path, *, user: int = 0, **programs: str) -> str:
    """What the script prints where these shell scripts are all programs, but for a few of the system's."""
    tools = folder / "bin"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(str(shutil.which(name)))
    for name, script in {"id": f"echo {user}", **programs}.items():
        path = tools / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    done = subprocess.run(
        [tools / "sh", SCRIPT, folder / "out"],
        env={**os.environ, "PATH": str(tools)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_recent_server_is_found(tmp_path: Path) -> None:
    assert printed(tmp_path, redis_server=NEW) == str(tmp_path / "bin" / "redis-server")


@pytest.mark.parametrize("user", [0, 1000])
def test_an_old_one_is_left_alone(tmp_path: Path, user: int) -> None:
    assert printed(tmp_path, user=user, redis_server=OLD, apt_get="exit 1") == ""


def test_without_root_or_apt_there_is_none(tmp_path: Path) -> None:
    assert printed(tmp_path) == ""


def test_another_user_installs_nothing(tmp_path: Path) -> None:
    assert printed(tmp_path, user=1000, apt_get=f"echo >{tmp_path}/called", redis_check_rdb=NEW) == ""
    assert not (tmp_path / "called").exists()


def test_root_gets_one_without_a_service(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    assert printed(tmp_path, apt_get=f"echo $* >>{calls}", redis_check_rdb=NEW) == str(
        tmp_path / "out" / "redis-server"
    )
    assert calls.read_text() == "install --yes --no-install-recommends redis-tools\n"


def test_an_apt_that_fails_is_asked_once_more_and_forgiven(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    assert printed(tmp_path, apt_get=f'echo $1 >>{calls}; [ "$1" = update ]') == ""
    assert calls.read_text().split() == ["install", "update", "install"]
