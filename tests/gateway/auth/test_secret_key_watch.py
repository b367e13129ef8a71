from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.auth.secret_key_watch import LOST, SecretKeyWatch
from gateway.auth.secrets import SECRET_KEY_FILE, create_secret_key


def write_another(path: Path) -> None:
    path.write_bytes(bytes(32))


def put_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def put_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "change", [Path.unlink, write_another, put_pipe, put_link, lambda path: path.chmod(0o644)],
    ids=["removed", "another key", "a pipe", "a link", "readable by others"],
)  # fmt: skip
def test_a_key_that_is_lost_is_a_fault_until_it_is_back(tmp_path: Path, change: Callable[[Path], None]) -> None:
    key = create_secret_key(tmp_path)
    path = tmp_path / SECRET_KEY_FILE
    watch = SecretKeyWatch(tmp_path, key)
    watch.look()
    watch.look()
    assert not watch.fault
    change(path)
    watch.look()
    assert watch.fault.startswith(LOST)
    watch.look()
    assert watch.fault.startswith(LOST)
    path.unlink(missing_ok=True)
    path.write_bytes(key)
    path.chmod(0o600)
    watch.look()
    assert not watch.fault
