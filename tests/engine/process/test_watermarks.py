"""Watermarks: what a folder of them says, what a damaged one says, and a writer that no disk ends."""

from __future__ import annotations

import argparse
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core import Core
from engine.journal import BEGINNING, GENESIS_HEAD, ChainBroken, EntryId, EventReader, Producer, Store, StoreSource
from engine.process import watermarks
from engine.process.watermarks import (
    FOLDER_NAME,
    BadWatermark,
    Watermark,
    WatermarkWriter,
    begin_watermarks,
    check_begun,
    check_reached,
    heads_of,
    known_heads,
    path_of,
    read_watermarks,
    write_watermark,
)
from engine.records import BatchBuilder
from engine.service.engine import EngineService
from engine.service.process import open_engine
from tests.worlds.processes import wait_until

HEAD, OTHER = b"\x07" * 32, b"\x08" * 32


# -- files


def test_each_process_has_a_file_of_its_own_for_its_user_alone(tmp_path: Path) -> None:
    assert read_watermarks(tmp_path) == []
    umask = os.umask(0o277)
    try:
        write_watermark(tmp_path, "engine", EntryId(1, 5), HEAD)
        write_watermark(tmp_path, "gateway-16", EntryId(1, 7), OTHER)
        write_watermark(tmp_path, "engine", EntryId(1, 6), HEAD)
    finally:
        os.umask(umask)
    assert read_watermarks(tmp_path) == [("engine", (1, 6), HEAD), ("gateway-16", (1, 7), OTHER)]
    assert (tmp_path / FOLDER_NAME).stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / FOLDER_NAME).iterdir()} == {0o600}
    begin_watermarks(tmp_path)
    assert read_watermarks(tmp_path) == [("up", BEGINNING, GENESIS_HEAD)]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"id": "1-2"}', '{"id": "x", "head": ""}', "\udcff", "1", '"1-2"', "[" * 100_000]
)
def test_a_file_that_is_no_watermark_is_refused_by_name(tmp_path: Path, text: str) -> None:
    write_watermark(tmp_path, "engine", EntryId(1, 5), HEAD)
    path = path_of(tmp_path, "settlement")
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(BadWatermark, match=f"{path} is not a watermark.*restore it.*or remove it"):
        read_watermarks(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadWatermark, match=f"{path} cannot be read"):
        read_watermarks(tmp_path)


def test_half_a_file_is_refused_and_a_draft_is_passed_over(tmp_path: Path) -> None:
    write_watermark(tmp_path, "engine", EntryId(1, 5), HEAD)
    path = path_of(tmp_path, "engine")
    text = path.read_text()
    path.with_suffix(".new").write_text(text[:10])
    assert len(read_watermarks(tmp_path)) == 1
    path.write_text(text[:-9])
    with pytest.raises(BadWatermark):
        read_watermarks(tmp_path)


# -- what they say of a store


def marks(**ids: int) -> list[Watermark]:
    return [Watermark(process, EntryId(1, sequence), HEAD) for process, sequence in ids.items()]


def test_the_largest_counts(tmp_path: Path) -> None:
    check_reached(marks(engine=5, settlement=3), EntryId(1, 5))
    with pytest.raises(
        ChainBroken, match=r"ends at 1-5, but the settlement had verified 1-6.*old copy.*accept-store-end"
    ):
        check_reached(marks(engine=5, settlement=6, up=0), EntryId(1, 5))


def test_a_store_with_entries_has_marks(tmp_path: Path) -> None:
    check_begun([], tmp_path, BEGINNING)
    check_begun(marks(up=0), tmp_path, EntryId(1, 0))
    with pytest.raises(BadWatermark, match=f"up to 1-0, but {tmp_path}/watermarks has no watermark.*accept-store-end"):
        check_begun([], tmp_path, EntryId(1, 0))


def test_two_heads_of_one_entry_are_refused() -> None:
    assert heads_of([*marks(engine=5, settlement=5, up=6), Watermark("x", BEGINNING, GENESIS_HEAD)]) == {
        (1, 5): HEAD,
        (1, 6): HEAD,
    }
    with pytest.raises(BadWatermark, match="different heads of the chain at 1-5"):
        heads_of([*marks(engine=5), Watermark("settlement", EntryId(1, 5), OTHER)])


@pytest.fixture
def service(client: Store, tmp_path: Path) -> EngineService:
    """An engine that has published 1-0 to 1-5."""
    service, producer = EngineService(client, Core(), tmp_path), Producer(client)
    for _ in range(5):
        producer.append(BatchBuilder())
    while service.step(block_ms=None):
        pass
    return service


def test_every_head_that_a_mark_names_is_compared(service: EngineService, client: Store, tmp_path: Path) -> None:
    write_watermark(tmp_path, "engine", service.published, service.published_head)
    [engine] = read_watermarks(tmp_path)
    assert EngineService(client, Core(), tmp_path).recover() == 6
    for sequence in range(5):
        write_watermark(tmp_path, "gateway-16", EntryId(1, sequence), HEAD)
        with pytest.raises(ChainBroken, match=f"the chain at 1-{sequence} is not the one"):
            EngineService(client, Core(), tmp_path).recover()
        reader = EventReader(known=known_heads(tmp_path, service.source))
        with pytest.raises(ChainBroken, match=f"the chain at 1-{sequence} is not the one"):
            reader.read(service.source, count=64)
    assert engine.id == EntryId(1, 5)


def test_the_process_of_the_engine_refuses_a_folder_without_marks(
    service: EngineService, client: Store, tmp_path: Path
) -> None:
    options = argparse.Namespace(engine="compiled", data=tmp_path)
    with pytest.raises(BadWatermark, match="has no watermark"):
        open_engine(client, options)
    begin_watermarks(tmp_path)
    assert open_engine(client, options).verified == (service.published, service.published_head)


def test_events_that_end_before_a_mark_are_refused(service: EngineService, tmp_path: Path) -> None:
    write_watermark(tmp_path, "settlement", EntryId(1, 6), HEAD)
    with pytest.raises(ChainBroken, match="settlement had verified 1-6"):
        known_heads(tmp_path, StoreSource(service.client))


# -- the writer


def test_it_writes_what_was_noted_last_and_never_goes_back(tmp_path: Path) -> None:
    writer = WatermarkWriter(tmp_path, "engine")
    writer.note(EntryId(1, 3), OTHER)
    writer.note(EntryId(1, 4), HEAD)
    writer.close()
    again = WatermarkWriter(tmp_path, "engine")
    again.note(EntryId(1, 2), OTHER)
    again.close()
    assert read_watermarks(tmp_path) == marks(engine=4)


def test_a_disk_that_takes_nothing_does_not_end_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / FOLDER_NAME).write_text("a file where the folder should be")
    writer = WatermarkWriter(data, "engine")
    assert writer.fault == ""
    writer.note(EntryId(1, 4), HEAD)
    wait_until(lambda: writer.fault, "it says what is wrong")
    assert writer.fault.startswith(f"the watermark {path_of(data, 'engine')} cannot be written: ")
    (data / FOLDER_NAME).unlink()
    wait_until(lambda: not writer.fault, "it goes on by itself")
    assert read_watermarks(data) == marks(engine=4)
    shutil.rmtree(data)
    writer.note(EntryId(1, 5), HEAD)
    wait_until(lambda: writer.fault, "it says what is wrong")
    writer.close()


def turn_a_bit(path: Path) -> None:
    found = path.stat()
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def put_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def put_pipes(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)
    os.mkfifo(path.with_suffix(".new"))


@pytest.mark.parametrize("damage", [Path.unlink, turn_a_bit, put_link, put_pipes])
def test_a_mark_that_is_damaged_while_nothing_comes_is_written_anew(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    writer = WatermarkWriter(tmp_path, "engine")
    path = path_of(tmp_path, "engine")
    writer.note(EntryId(1, 4), HEAD)
    wait_until(path.exists, "it is written")
    damage(path)
    wait_until(lambda: is_sound(path), "it is written anew")
    assert path.stat(follow_symlinks=False).st_nlink == 1 and not path.is_symlink()
    writer.close()
    # One that has left a mark before, and has noted nothing yet, keeps it as well.
    writer = WatermarkWriter(tmp_path, "engine")
    path.write_text("junk")
    wait_until(lambda: is_sound(path), "it is written anew")
    writer.close()
    assert writer.fault == ""


def is_sound(path: Path) -> bool:
    try:
        return read_watermarks(path.parent.parent) == marks(engine=4)
    except BadWatermark:
        return False


def test_no_link_in_the_place_of_the_folder_is_followed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    writer = WatermarkWriter(data, "engine")
    writer.note(EntryId(1, 4), HEAD)
    wait_until(path_of(data, "engine").exists, "it is written")
    (data / FOLDER_NAME).rename(tmp_path / "moved")
    (data / FOLDER_NAME).symlink_to(tmp_path / "moved")
    wait_until(lambda: "is a link" in writer.fault, "it says what is wrong")
    before = (tmp_path / "moved" / "engine.json").read_bytes()
    writer.note(EntryId(1, 5), HEAD)
    with pytest.raises(BadWatermark, match="watermarks is a link"):
        read_watermarks(data)
    (data / FOLDER_NAME).unlink()
    wait_until(lambda: not writer.fault, "it writes into a new folder")
    writer.close()
    assert read_watermarks(data) == marks(engine=5)
    assert (tmp_path / "moved" / "engine.json").read_bytes() == before


def test_one_whose_own_mark_is_damaged_writes_it_anew(tmp_path: Path) -> None:
    write_watermark(tmp_path, "engine", EntryId(1, 3), HEAD)
    path_of(tmp_path, "engine").write_text("[" * 100_000)
    writer = WatermarkWriter(tmp_path, "engine")
    writer.note(EntryId(1, 4), HEAD)
    writer.close()
    assert read_watermarks(tmp_path) == marks(engine=4)


def test_a_process_that_starts_again_passes_over_a_damaged_mark_if_another_has_the_end(
    service: EngineService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_watermark(tmp_path, "engine", service.published, service.published_head)
    write_watermark(tmp_path, "settlement", EntryId(1, 4), HEAD)
    path_of(tmp_path, "settlement").write_text("[" * 100_000)
    assert known_heads(tmp_path, service.source) == {service.published: service.published_head}
    assert "settlement.json is not a watermark" in caplog.text
    write_watermark(tmp_path, "engine", EntryId(1, 4), HEAD)
    with pytest.raises(BadWatermark, match="settlement"):
        known_heads(tmp_path, service.source)


def test_a_disk_that_is_silent_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(watermarks, "FAULT_S", 0.0)
    monkeypatch.setattr(watermarks, "write_watermark", lambda *_: goes_on.wait())
    writer = WatermarkWriter(tmp_path, "engine")
    writer.note(EntryId(1, 4), HEAD)
    wait_until(lambda: "waiting for the disk" in writer.fault, "it says what it waits for")
    goes_on.set()
    writer.close()
    assert writer.fault == ""
