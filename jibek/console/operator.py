"""Who runs this command: the name that operators give, and the user of the operating system, whom they cannot choose."""

from __future__ import annotations

import getpass
import os
import pwd
from pathlib import Path

OPERATOR_VARIABLE = "JIBEK_OPERATOR"
LOGIN_FILE = Path("/proc/self/loginuid")
"""The uid that logged on, which neither su nor sudo changes; Linux alone has it."""
NO_LOGIN = (1 << 32) - 1
"""What it holds in a process that no login has begun."""


def operator_name() -> str:
    """The operator as the journal records them: `$JIBEK_OPERATOR`, else the login name."""
    try:
        return os.environ.get(OPERATOR_VARIABLE) or getpass.getuser()
    except (KeyError, OSError):
        return "operator"


def system_user() -> str:
    """The real user of this process, as `alice/1000`; with the user who logged on or called sudo if that is another one:
    `root/0 (login alice/1000)`, `root/0 (sudo alice/1000)`. Nothing of it comes from an option."""
    uid = os.getuid()
    login = _login_uid()
    if login is not None and login != uid:
        return f"{_user(uid)} (login {_user(login)})"
    # A variable can be set by anybody. Of root's it is believed, since root could write into the journal as well.
    caller = os.environ.get("SUDO_USER", "") if uid == 0 and login is None else ""
    try:
        caller_uid = pwd.getpwnam(caller).pw_uid if caller else uid
    except (KeyError, ValueError):
        caller_uid = uid
    return _user(uid) if caller_uid == uid else f"{_user(uid)} (sudo {_user(caller_uid)})"


def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name}/{uid}"
    except KeyError:
        return f"?/{uid}"


def _login_uid() -> int | None:
    try:
        uid = int(LOGIN_FILE.read_text())
    except (OSError, ValueError):
        return None
    return None if uid == NO_LOGIN else uid
