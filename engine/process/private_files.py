"""Files and folders that belong to this user alone: how everything in a data folder is opened.

A user who can put a file, a folder or a link into the data folder before the venue does can say which key seals the
secrets, and where the venue writes. So nothing is opened there by its name alone: no link is followed, and what is found must be a
regular file (or a real folder) of this user that no other user may write to.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

PRIVATE_UMASK = 0o077
"""The file mode creation mask of every process of the venue: what it makes, only its user may read or write."""

JSON_BYTES_MAX = 1 << 20
"""More than any JSON file of a data folder has: a larger one is not read."""

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UnsafePath(OSError):
    """What is at a path is not this user's alone; the text names the path, what is wrong, and the cure."""

    def __init__(self, path: Path, fault: str, cure: str) -> None:
        super().__init__(errno.EPERM, f"{path} {fault}: {cure}", str(path))
        self.fault = fault
        """What is wrong, as the end of a sentence that begins with the path."""

    def __str__(self) -> str:
        return str(self.strerror)


class NotJson(ValueError):
    """A file holds no JSON object of a reasonable size and depth."""


# -- folders


def make_private_folder(path: Path) -> None:
    """Makes a folder of mode 0700 if there is none, and checks it.

    Raises:
        UnsafePath: what is there is no folder of this user alone.
        OSError: it cannot be made; a parent is missing, for example.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        check_private_folder(path)


def check_private_folder(path: Path) -> None:
    """
    Raises:
        UnsafePath: it is no real folder, it belongs to another user, or others may write to it.
        FileNotFoundError: there is none.
    """
    _check_folder(path, path.lstat())


def open_private_folder(path: Path) -> int:
    """A file descriptor of the folder, not inherited by default.

    Raises:
        UnsafePath: see `check_private_folder`.
        FileNotFoundError: there is none.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            check_private_folder(path)
        raise
    try:
        _check_folder(path, os.fstat(fd))
    except UnsafePath:
        os.close(fd)
        raise
    return fd


def check_parents(path: Path) -> None:
    """Checks that no other user can put something else in the place of `path`.

    Raises:
        UnsafePath: a folder above it belongs to another user (not root), or others may rename what is in it.
    """
    # Those by which it is named, too: one of them may be a link.
    for parent in dict.fromkeys([*path.absolute().parents, *path.resolve().parents]):
        found = parent.lstat()
        if found.st_uid not in (0, os.geteuid()):
            raise UnsafePath(
                parent,
                f"belongs to {user_name(found.st_uid)}, who can put another folder in the place of {path}",
                "choose a place below folders of yours or of root",
            )
        if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
            continue
        if found.st_mode & stat.S_IWOTH:
            raise UnsafePath(
                parent,
                f"is writable by every user, so anybody can put another folder in the place of {path}",
                f"choose another place, or run `chmod o-w {parent}`",
            )
        if found.st_mode & stat.S_IWGRP and not _has_no_other_member(found.st_gid):
            raise UnsafePath(
                parent,
                f"is writable by its group ({_group_name(found.st_gid)}), whose members can put another folder in the place of {path}",
                f"choose another place, or run `chmod g-w {parent}`",
            )


def _has_no_other_member(gid: int) -> bool:
    """Whether a group is root's, or the private one of this user: many systems give each user a group of his name, and let
    it write to what he makes (umask 002)."""
    import grp
    import pwd

    if gid == 0:
        return True
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    is_private = user.pw_gid == gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    return is_private and all(other.pw_gid != gid or other.pw_uid == user.pw_uid for other in pwd.getpwall())


def _group_name(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _check_folder(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise UnsafePath(path, "is a link", f"name the folder that it leads to, {os.path.realpath(path)}, or remove it")
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafePath(path, "is not a folder", "choose another name, or move it away")
    _check_owner(path, found)


# -- files


def check_private_file(path: Path) -> None:
    """
    Raises:
        UnsafePath: it is a link or no regular file, it belongs to another user, or others may write to it.
        FileNotFoundError: there is none.
    """
    _check_file(path, path.lstat())


def open_private(path: Path, flags: int) -> int:
    """A file descriptor of a regular file of this user, not inherited by default.

    Args:
        flags: of `os.open`; with `O_CREAT`, a new file has mode 0600.

    Raises:
        UnsafePath: see `check_private_file`.
        OSError: as `os.open` does.
    """
    try:
        # O_NONBLOCK: opening a pipe that somebody has put there would wait for its other end. Files do not know it.
        fd = os.open(path, (flags & ~os.O_TRUNC) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            check_private_file(path)
        raise
    try:
        _check_file(path, os.fstat(fd))
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def read_private(path: Path) -> bytes:
    """
    Raises:
        UnsafePath: see `check_private_file`.
        OSError: it cannot be read.
    """
    with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
        return file.read()


def read_private_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, at most `JSON_BYTES_MAX` long.

    Raises:
        NotJson: it holds something else.
        UnsafePath: see `check_private_file`.
        OSError: it cannot be read.
    """
    with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
        content = file.read(JSON_BYTES_MAX + 1)
    if len(content) > JSON_BYTES_MAX:
        raise NotJson("it is too large")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):  # The second for thousands of brackets in one another.
        raise NotJson("it is not JSON") from None
    if not isinstance(document, dict):
        raise NotJson("it is no JSON object")
    return document


def replace_private(path: Path, content: bytes, *, on_disk: bool = False) -> None:
    """Gives the file a new content in one step, so that a reader sees the old or the new one, whole.

    Args:
        on_disk: whether content and name are on disk on return. Cost: two fsyncs.

    Raises:
        OSError: it cannot be written, and names the path; the old content is still there, and no draft.
    """
    draft = path.with_name(path.name + ".new")
    try:
        # A draft that a killed process has left, or a link that somebody has put there.
        draft.unlink(missing_ok=True)
        with os.fdopen(open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(content)
            file.flush()
            if on_disk:
                os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        if error.filename is None:
            error.filename = str(path)
        raise
    if on_disk:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """The names in the folder are on disk on return. Cost: one fsync.

    Raises:
        OSError: the disk does not take them.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_file(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise UnsafePath(path, "is a link", "put the file itself there, or remove the link")
    if not stat.S_ISREG(found.st_mode):
        raise UnsafePath(path, "is not a regular file", "remove it")
    _check_owner(path, found)


# -- owner and mode


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise UnsafePath(
            path,
            f"belongs to {user_name(found.st_uid)}, and this process runs as {user_name(os.geteuid())}",
            f"run it as {user_name(found.st_uid)}, or, if you trust what is in it, let root run "
            f"`chown -R {user_name(os.geteuid())} {path}`",
        )
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise UnsafePath(path, "is writable by other users", f"if you trust what is in it, run `chmod go-w {path}`")


def user_name(uid: int) -> str:
    """The name of a user, or `user 1234` where the system has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
