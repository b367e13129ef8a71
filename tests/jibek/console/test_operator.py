"""Who runs a command: a name that they give, and a user that the system gives."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from jibek.console import operator
from jibek.console.operator import operator_name, system_user


def test_the_operator_is_named_by_the_environment_or_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JIBEK_OPERATOR", "aigerim")
    assert operator_name() == "aigerim"
    monkeypatch.delenv("JIBEK_OPERATOR")
    assert operator_name()


def test_the_operator_has_a_name_on_a_system_without_users(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_user() -> str:
        raise KeyError("uid not found")

    monkeypatch.delenv("JIBEK_OPERATOR", raising=False)
    monkeypatch.setattr("getpass.getuser", no_user)
    assert operator_name() == "operator"


@pytest.mark.parametrize(
    ("uid", "login", "sudo", "expected"),
    [
        (1000, None, None, "alice/1000"),
        (1000, "1000", None, "alice/1000"),
        (1000, "4294967295", None, "alice/1000"),
        (0, "4294967295", None, "root/0"),
        (0, "4294967295", "alice", "root/0 (sudo alice/1000)"),
        (0, "1000", "bob", "root/0 (login alice/1000)"),
        (998, "1000", None, "?/998 (login alice/1000)"),
        (1000, None, "bob", "alice/1000"),
        (0, None, "nobody there", "root/0"),
        (0, None, "root", "root/0"),
    ],
)
def test_the_system_user_is_the_one_who_runs_the_command(
    uid: int, login: str | None, sudo: str | None, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Somebody who is not root cannot add a caller to their own name."""
    users = {
        name: pwd.struct_passwd((name, "x", number, number, "", "/", "/bin/sh"))
        for name, number in (("root", 0), ("alice", 1000), ("bob", 1001))
    }
    monkeypatch.setattr(pwd, "getpwnam", users.__getitem__)
    monkeypatch.setattr(pwd, "getpwuid", {user.pw_uid: user for user in users.values()}.__getitem__)
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(operator, "LOGIN_FILE", tmp_path / "loginuid")
    if login is not None:
        (tmp_path / "loginuid").write_text(login)
    monkeypatch.delenv("SUDO_USER", raising=False)
    if sudo is not None:
        monkeypatch.setenv("SUDO_USER", sudo)
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    assert system_user() == expected
