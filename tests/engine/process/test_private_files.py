"""Nothing in a data folder is opened by its name alone: what another user may have put there is refused by name."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.process.private_files import (
    NotJson,
    UnsafePath,
    check_parents,
    check_private_folder,
    make_private_folder,
    open_private,
    open_private_folder,
    read_private,
    read_private_json,
    replace_private,
)

FOREIGN_UID = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def a_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("theirs")
    path.symlink_to(target)


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_file_for_all(path: Path) -> None:
    path.write_text("theirs")
    path.chmod(0o666)


def a_foreign_file(path: Path) -> None:
    path.write_text("theirs")
    os.chown(path, FOREIGN_UID, FOREIGN_UID)


FILES = [
    (a_link, "is a link"),
    (a_dangling_link, "is a link"),
    (a_folder, "is not a regular file"),
    (a_pipe, "is not a regular file"),
    (a_file_for_all, "is writable by other users.*chmod go-w"),
    pytest.param(a_foreign_file, "belongs to .*, and this process runs as .*chown", marks=needs_root),
]


@pytest.mark.parametrize(("plant", "says"), FILES)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREAT | os.O_TRUNC])
def test_a_planted_file_is_refused(tmp_path: Path, plant: Callable[[Path], None], says: str, flags: int) -> None:
    plant(tmp_path / "planted")
    with pytest.raises(UnsafePath, match=f"{tmp_path}/planted {says}"):
        os.close(open_private(tmp_path / "planted", flags))
    if plant in (a_file_for_all, a_foreign_file):
        assert (tmp_path / "planted").read_text() == "theirs", "what is refused is not cut off first"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("plant", "says"), FILES)
def test_a_planted_draft_is_never_written_through(tmp_path: Path, plant: Callable[[Path], None], says: str) -> None:
    if plant is a_folder:
        pytest.skip("a folder cannot be replaced by a file, and nothing is written through it")
    plant(tmp_path / "facts.json.new")
    replace_private(tmp_path / "facts.json", b"mine")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "target") == ["facts.json"]
    assert read_private(tmp_path / "facts.json") == b"mine"
    assert not (tmp_path / "target").exists() or (tmp_path / "target").read_text() == "theirs"


def test_a_new_file_is_for_this_user_alone_whatever_the_mask(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        os.close(open_private(tmp_path / "new", os.O_WRONLY | os.O_CREAT))
        replace_private(tmp_path / "replaced", b"", on_disk=True)
        make_private_folder(tmp_path / "folder")
    finally:
        os.umask(mask)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "new": 0o600, "replaced": 0o600, "folder": 0o700,
    }  # fmt: skip


def test_a_file_that_cannot_be_replaced_keeps_its_content(tmp_path: Path) -> None:
    replace_private(tmp_path / "facts", b"old")
    (tmp_path / "facts.new").mkdir()
    with pytest.raises(OSError, match=r"facts\.new"):
        replace_private(tmp_path / "facts", b"new")
    assert read_private(tmp_path / "facts") == b"old"


def a_file(path: Path) -> None:
    path.write_text("")


def a_folder_for_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def a_folder_for_the_group(path: Path) -> None:
    path.mkdir()
    path.chmod(0o770)


def a_foreign_folder(path: Path) -> None:
    path.mkdir()
    os.chown(path, FOREIGN_UID, FOREIGN_UID)


def a_link_to_a_folder(path: Path) -> None:
    path.with_name("target").mkdir()
    path.symlink_to(path.with_name("target"))


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (a_file, "is not a folder"),
        (a_link_to_a_folder, "is a link: name the folder that it leads to, .*/target"),
        (a_folder_for_all, "is writable by other users"),
        (a_folder_for_the_group, "is writable by other users"),
        pytest.param(a_foreign_folder, "belongs to", marks=needs_root),
    ],
)
@pytest.mark.parametrize("use", [make_private_folder, check_private_folder, open_private_folder])
def test_a_planted_folder_is_refused(
    tmp_path: Path, plant: Callable[[Path], None], says: str, use: Callable[[Path], object]
) -> None:
    plant(tmp_path / "planted")
    with pytest.raises(UnsafePath, match=f"{tmp_path}/planted {says}"):
        use(tmp_path / "planted")


def test_a_place_where_anybody_can_rename_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    check_parents(tmp_path / "open" / "data")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(UnsafePath, match=r"open is writable by every user.*chmod o-w"):
        check_parents(tmp_path / "open" / "data")


OWN_GID, OTHER_GID = 4001, 4002
ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(
    ("mode", "gid", "members", "user_of_gid", "is_refused"),
    [
        (0o775, 0, ["others"], 4003, False),  # root's
        (0o775, OWN_GID, [], 4003, False),
        (0o775, OWN_GID, [ME], 4003, False),
        (0o775, OWN_GID, [ME, "other"], 4003, True),
        (0o775, OWN_GID, [], OWN_GID, True),
        (0o775, OTHER_GID, [], 4003, True),
        (0o775, 4999, [], 4003, True),  # a group without a name
        (0o1775, OTHER_GID, ["other"], 4003, False),
        (0o755, OTHER_GID, ["other"], 4003, False),
    ],
)
def test_a_place_where_a_group_can_rename_folders_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    mode: int, gid: int, members: list[str], user_of_gid: int, is_refused: bool,
) -> None:  # fmt: skip
    """Unless the group is root's, or only this user is in it."""
    me = pwd.struct_passwd((ME, "x", os.geteuid(), OWN_GID, "", "/", ""))
    other = pwd.struct_passwd(("other", "x", os.geteuid() + 5000, user_of_gid, "", "/", ""))
    groups = {OWN_GID: ME, OTHER_GID: "staff"}

    def group_of(number: int) -> grp.struct_group:
        return grp.struct_group((groups[number], "x", number, members))

    def found(path: Path) -> os.stat_result:
        values = list(os.lstat("/"))
        if path == Path("/shared"):
            values[0], values[4], values[5] = stat.S_IFDIR | mode, os.geteuid(), gid
        return os.stat_result(values)

    monkeypatch.setattr(pwd, "getpwuid", lambda uid: me)
    monkeypatch.setattr(pwd, "getpwall", lambda: [me, other])
    monkeypatch.setattr(grp, "getgrgid", group_of)
    monkeypatch.setattr(Path, "lstat", found)
    if is_refused:
        with pytest.raises(UnsafePath, match=r"/shared is writable by its group.*chmod g-w"):
            check_parents(Path("/shared/data"))
    else:
        check_parents(Path("/shared/data"))


@needs_root
def test_a_place_in_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Its owner may rename what is in it, even where it is sticky."""
    (tmp_path / "theirs" / "mine").mkdir(parents=True)
    (tmp_path / "theirs").chmod(0o1777)
    os.chown(tmp_path / "theirs", FOREIGN_UID, FOREIGN_UID)
    with pytest.raises(UnsafePath, match=r"theirs belongs to .*, who can put another folder in the place of"):
        check_parents(tmp_path / "theirs" / "mine" / "data")


@needs_root
def test_a_place_behind_a_link_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to("mine")
    check_parents(tmp_path / "link" / "data")
    os.chown(tmp_path / "link", FOREIGN_UID, FOREIGN_UID, follow_symlinks=False)
    with pytest.raises(UnsafePath, match="link belongs to"):
        check_parents(tmp_path / "link" / "data")


@pytest.mark.parametrize(
    "content", [b"", b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"\xff", b'{"a": "' + b" " * (1 << 20) + b'"}']
)
def test_json_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    with pytest.raises(NotJson):
        read_private_json(path)
    path.write_bytes(b'{"a": 1}')
    assert read_private_json(path) == {"a": 1}


def test_what_cannot_be_written_names_its_path_and_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "facts"
    replace_private(path, b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        replace_private(path, b"new", on_disk=True)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
