"""One contract, three stores: in memory, a folder, and a bucket of a real S3-compatible server."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.support.memory_file_store import MemoryStore
from tests.support.object_server import ACCESS_KEY, SECRET_KEY, object_server

from agentroute.start_checks import check_files
from core.config import FileSettings, Settings
from core.errors import ConfigurationError, FilesUnavailable
from core.files.folder import FolderStore
from core.files.opening import open_store
from core.files.store import CHUNK_BYTES, FileMissing, FileStore, new_name

LARGE = 12 * CHUNK_BYTES + 17
"""More than two parts of an upload in parts."""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileSettings]:
    """The settings of a bucket on a server of this file."""
    with object_server(tmp_path_factory.mktemp("objects")) as url:
        yield FileSettings(
            url=SecretStr("s3://files/of/tests"),
            endpoint=url,
            access_key=SecretStr(ACCESS_KEY),
            secret_key=SecretStr(SECRET_KEY),
        )


@pytest.fixture(params=["memory", "folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    match request.param:
        case "memory":
            return MemoryStore()
        case "folder":
            found = open_store(FileSettings(url=SecretStr((tmp_path / "a b").as_uri())))
        case _:
            found = open_store(request.getfixturevalue("bucket"))
    assert found is not None
    return found


async def pieces(content: bytes, *, breaks: bool = False) -> AsyncIterator[bytes]:
    for place in range(0, len(content), CHUNK_BYTES):
        yield content[place : place + CHUNK_BYTES]
    if breaks:
        raise EOFError


async def read(store: FileStore, name: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(name, start, end)])


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, LARGE])
async def test_what_was_put_can_be_read_in_any_part_until_it_is_deleted(store: FileStore, size: int) -> None:
    name, content = new_name("owner"), os.urandom(size)

    await store.put(name, pieces(content))

    assert await read(store, name) == content
    for start, end in ((0, 1), (size // 2, None), (size // 3, size // 2), (size - 1, size), (size, size)):
        assert await read(store, name, start, end) == content[start:end]
    await store.delete(name)
    await store.delete(name)
    with pytest.raises(FileMissing):
        await read(store, name)


@pytest.mark.parametrize("size", [1, LARGE])
async def test_an_upload_that_breaks_leaves_nothing(store: FileStore, size: int) -> None:
    name = new_name("owner")

    with pytest.raises(EOFError):
        await store.put(name, pieces(bytes(size), breaks=True))

    with pytest.raises(FileMissing):
        await read(store, name)


async def test_a_store_that_works_says_so(store: FileStore) -> None:
    await store.check()


async def test_a_check_that_fails_in_the_middle_leaves_nothing() -> None:
    class Unreadable(MemoryStore):
        async def read(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
            if name in self.content:
                raise FilesUnavailable("down")
            yield b""

    store = Unreadable()

    with pytest.raises(FilesUnavailable):
        await store.check()

    assert store.content == {}


@pytest.mark.parametrize("kept", [None, b"agent other"], ids=["nothing", "other bytes"])
async def test_a_store_that_does_not_give_back_what_it_took_is_unavailable(kept: bytes | None) -> None:
    class Losing(MemoryStore):
        async def put(self, name: str, chunks: AsyncIterator[bytes]) -> None:
            if kept is not None:
                self.content[name] = kept

    with pytest.raises(FilesUnavailable, match="The store"):
        await Losing().check()


async def test_many_at_once(store: FileStore) -> None:
    contents = {new_name("owner"): os.urandom(1000 + number) for number in range(16)}

    await asyncio.gather(*(store.put(name, pieces(content)) for name, content in contents.items()))

    assert await asyncio.gather(*(read(store, name) for name in contents)) == list(contents.values())


# --- the folder ---


async def test_a_folder_holds_whole_files_alone_and_tidies_what_dead_processes_left(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "files")
    name = new_name("owner")
    with pytest.raises(EOFError):
        await store.put(name, pieces(b"x", breaks=True))
    await store.put(name, pieces(b"x"))
    left = tmp_path / "files" / "uploads" / "left"
    left.write_bytes(b"half")
    fresh = tmp_path / "files" / "uploads" / "fresh"
    fresh.write_bytes(b"half")
    os.utime(left, (time.time() - 100, time.time() - 100))

    await store.tidy(50)

    files = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert sorted(files) == sorted([fresh, tmp_path / "files" / name])
    assert (tmp_path / "files").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("place", ["file", "/proc/none/files"])
async def test_a_folder_that_cannot_be_used_is_told_in_our_words(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    settings = Settings.model_validate({"files": {"url": (tmp_path / place).as_uri()}})
    store = open_store(settings.files)
    assert store is not None

    with pytest.raises(FilesUnavailable):
        await store.put(new_name("owner"), pieces(b"x"))

    result = await check_files(settings)
    assert not result.ok
    assert "AGENT_FILES__URL" in result.fix


async def test_an_upload_that_ends_while_the_folder_is_tidied_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, parts = FolderStore(tmp_path), tmp_path / "uploads"
    parts.mkdir()
    for name in ("1", "2", "3"):
        (parts / name).write_bytes(b"half")
    listed = Path.iterdir

    def ending(folder: Path) -> Iterator[Path]:
        for number, path in enumerate(sorted(listed(folder))):
            if number == 0:
                path.unlink()
            yield path

    monkeypatch.setattr(Path, "iterdir", ending)

    await store.tidy(-100)

    assert list(listed(parts)) == []


async def test_a_folder_that_goes_during_an_upload_is_unavailable(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "files")

    async def moved() -> AsyncIterator[bytes]:
        yield b"x"
        (tmp_path / "files").rename(tmp_path / "elsewhere")

    with pytest.raises(FilesUnavailable):
        await store.put(new_name("owner"), moved())


@pytest.mark.parametrize("is_empty", [True, False])
async def test_no_file_of_a_folder_that_is_not_there_counts_as_missing_or_removed(
    tmp_path: Path, is_empty: bool
) -> None:
    store, name = FolderStore(tmp_path / "files"), new_name("owner")
    await store.put(name, pieces(b"x"))
    (tmp_path / "files").rename(tmp_path / "elsewhere")
    if is_empty:
        # The place of the mount, without what belongs there.
        (tmp_path / "files").mkdir()

    with pytest.raises(FilesUnavailable):
        await read(store, name)
    with pytest.raises(FilesUnavailable):
        await store.delete(name)


# --- the bucket ---


async def test_a_wrong_key_is_found_at_the_start_and_not_shown(bucket: FileSettings) -> None:
    wrong = bucket.model_copy(update={"secret_key": SecretStr("not-the-secret")})

    result = await check_files(Settings(files=wrong))

    assert not result.ok
    assert "not-the-secret" not in result.line
    assert (await check_files(Settings(files=bucket))).ok


async def test_a_server_that_is_gone_is_unavailable() -> None:
    gone = FileSettings(
        url=SecretStr("s3://files"),
        endpoint="http://127.0.0.1:9",
        access_key=SecretStr("a"),
        secret_key=SecretStr("b"),
    )
    store = open_store(gone)
    assert store is not None

    with pytest.raises(FilesUnavailable):
        await read(store, "a")


@pytest.mark.parametrize(
    "members",
    [
        {"url": "files"},
        {"url": "ftp://host/x"},
        {"url": "file://host/x"},
        {"url": "s3://"},
        {"url": "s3://bucket", "access_key": "a"},
    ],
    ids=str,
)
def test_settings_that_cannot_mean_a_store_are_refused(members: dict[str, str]) -> None:
    with pytest.raises((ValueError, ConfigurationError)):
        open_store(FileSettings.model_validate(members))
