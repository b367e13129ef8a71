"""The URL of the store: its password is found in whatever form, and is in no text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import (
    BadStoreUrl,
    check_is_for_all_eyes,
    check_store_url,
    connect,
    has_password,
    place_of,
    read_store_file,
    store_from_environment,
)
from engine.process import EXIT_USAGE
from engine.service.process import ENGINE

# URL, and what may be shown of it.
WITH_PASSWORD = [
    ("redis://:hidden@127.0.0.1:6379/0", "127.0.0.1:6379/0"),
    ("redis://jibek:hidden@127.0.0.1:6379/0", "127.0.0.1:6379/0"),
    ("rediss://jibek:hidden@store.example/1", "store.example/1"),
    ("unix://:hidden@/run/store.sock?db=1", "/run/store.sock"),
    ("redis://10.0.0.1/0?password=hidden", "redis://10.0.0.1/0"),
    ("unix:///run/store.sock?db=0&password=hidden", "unix:///run/store.sock"),
    ("redis://10.0.0.1/0?p%61ssword=hidden", "redis://10.0.0.1/0"),
    ("rediss://10.0.0.1/0?ssl_password=hidden", "rediss://10.0.0.1/0"),
    ("redis://:hid/den@10.0.0.1/0", "redis://…"),
    ("redis://:hid?den@10.0.0.1/0", "redis://…"),
    ("redis://:hid#den@10.0.0.1/0", "redis://…"),
    ("redis://:hid@den@10.0.0.1/0", "10.0.0.1/0"),
    ("redis://10.0.0.1/0?password=hid@den", "redis://…"),
    ("jibek:hidden@10.0.0.1", "10.0.0.1"),
]
WITHOUT = [
    ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
    ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
    ("redis://jibek@127.0.0.1:6379/0", "127.0.0.1:6379/0"),
    ("unix:///run/a:b@c.sock", "unix:///run/a:b@c.sock"),
    ("unix:///run/store.sock?db=1", "unix:///run/store.sock"),
    ("nonsense", "nonsense"),
    ("", ""),
]


@pytest.mark.parametrize(("url", "shown"), WITH_PASSWORD, ids=[row[0] for row in WITH_PASSWORD])
def test_a_password_is_found_and_is_not_shown(url: str, shown: str) -> None:
    assert has_password(url)
    assert place_of(url) == shown
    with pytest.raises(BadStoreUrl, match=r"JIBEK_STORE in the environment, .*--store-file") as refused:
        check_is_for_all_eyes(url)
    assert "hid" not in str(refused.value)


@pytest.mark.parametrize(("url", "shown"), WITHOUT, ids=[row[0] for row in WITHOUT])
def test_a_url_without_one_may_be_on_a_command_line(url: str, shown: str) -> None:
    check_is_for_all_eyes(url)
    assert place_of(url) == shown


SECRETS = st.text(st.sampled_from("Xx@:/?#%&=[]é \\"), max_size=12).map(lambda text: f"SECRET{text}SECRET")
FORMS = [
    "redis://:{}@host:1/0",
    "redis://u:{}@host",
    "unix://:{}@/s",
    "redis://h/0?password={}",
    "redis://h?a=b&password={}",
]


@given(SECRETS, st.sampled_from(FORMS))
def test_no_text_of_a_url_holds_a_part_of_its_password(secret: str, form: str) -> None:
    url = form.format(secret)
    assert has_password(url)
    assert "SECRET" not in place_of(url)
    try:
        connect(url)
    except BadStoreUrl as error:
        assert "SECRET" not in str(error) and error.__suppress_context__


BAD = [
    "nonsense", "", "redis://h:port/0", "http://h/", "redis://h/0?socket_timeout=x", "redis://h/0?unknown=x", "redis://[::1/0",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_url_of_a_store_is_one_error(url: str) -> None:
    with pytest.raises(BadStoreUrl, match="is no URL of a store: it is redis://host:port/0"):
        check_store_url(url)


def test_a_file_that_is_private_holds_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "store"
    file.touch(mode=0o600)
    file.write_text("redis://:hidden@127.0.0.1:6379/0\n")
    assert read_store_file(file) == "redis://:hidden@127.0.0.1:6379/0"
    monkeypatch.delenv("JIBEK_STORE", raising=False)
    assert store_from_environment() is None
    monkeypatch.setenv("JIBEK_STORE_FILE", str(file))
    assert store_from_environment() == "redis://:hidden@127.0.0.1:6379/0"
    monkeypatch.setenv("JIBEK_STORE", "redis://10.0.0.1/0")
    assert store_from_environment() == "redis://10.0.0.1/0"


@pytest.mark.parametrize(
    ("mode", "owner", "text", "says"),
    [
        (0o644, None, "redis://:hidden@h/0", "chmod 600"),
        (0o620, None, "redis://:hidden@h/0", "chmod 600"),
        (0o600, 65534, "redis://:hidden@h/0", "belongs to another user"),
        (0o600, None, "", "one line"),
        (0o600, None, "redis://:hidden@h/0\nredis://:hidden@g/0\n", "one line"),
    ],
)
def test_a_file_that_is_not_is_refused(tmp_path: Path, mode: int, owner: int | None, text: str, says: str) -> None:
    file = tmp_path / "store"
    file.write_text(text)
    file.chmod(mode)
    if owner is not None:
        if os.geteuid() != 0:
            pytest.skip("only root can give a file to another user")
        os.chown(file, owner, owner)
    with pytest.raises(BadStoreUrl, match=says) as refused:
        read_store_file(file)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "says"), [("missing", "cannot be read"), ("pipe", "not a regular file"), (".", "Is a directory")]
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, says: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadStoreUrl, match=says):
        read_store_file(tmp_path / name)


def test_a_service_takes_no_password_from_its_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JIBEK_STORE", raising=False)
    with pytest.raises(SystemExit) as ended:
        ENGINE.parse(["--data", "x", "--store", "redis://:hidden@127.0.0.1/0"])
    assert ended.value.code == EXIT_USAGE
    error = capsys.readouterr().err
    assert "hidden" not in error and "JIBEK_STORE" in error
    file = tmp_path / "store"
    file.touch(mode=0o600)
    file.write_text("redis://:hidden@127.0.0.1/0")
    assert ENGINE.parse(["--data", "x", "--store-file", str(file)]).store == "redis://:hidden@127.0.0.1/0"
    monkeypatch.setenv("JIBEK_STORE", "redis://:other@127.0.0.1/0")
    assert ENGINE.parse(["--data", "x"]).store == "redis://:other@127.0.0.1/0"
