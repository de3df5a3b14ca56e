"""Files of users over a real Postgres: quotas, races, what dies in the middle, what expires."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.memory_file_store import MemoryStore

from core.config import DatabaseSettings, FileSettings, LimitSettings
from core.database import create_engine
from core.errors import (
    BodyTooLarge,
    FileEmpty,
    FileQuotaExceeded,
    FilesUnavailable,
    NotFound,
    Overloaded,
    RateLimited,
)
from core.files.catalogue import StoredFile, drop_unnamed, leave_thread, name_files
from core.files.contents import FileContents
from core.files.library import FileLibrary
from core.identity import Principal
from core.storage_errors import FileGone

ADA, EVE = Principal("t", "ada"), Principal("t", "eve")
LIMITS = FileSettings(
    max_file_bytes=4096,
    max_user_bytes=10_000,
    max_user_files=8,
    max_uploads_per_user=2,
    max_uploads=3,
    max_downloads_per_user=2,
    max_downloads=3,
    unused_seconds=60,
)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings(url=SecretStr(database_url)), application_name="test")
    yield engine
    await engine.dispose()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def library(engine: AsyncEngine, store: MemoryStore) -> FileLibrary:
    return FileLibrary(engine, store, LIMITS, LimitSettings())


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


async def save(
    library: FileLibrary, content: bytes, user: Principal = ADA, name: str = "a.txt"
) -> StoredFile:
    file, _ = await library.save(user, pieces(content), lambda: (name, "text/plain"))
    return file


async def sql(engine: AsyncEngine, statement: str, **values: Any) -> list[Any]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return list(result.all()) if result.returns_rows else []


async def states(engine: AsyncEngine) -> list[str]:
    return [row.state for row in await sql(engine, "SELECT state FROM agent_file ORDER BY id")]


async def a_thread(engine: AsyncEngine, name: str) -> int:
    (row,) = await sql(
        engine,
        "INSERT INTO agent_chat_session (tenant_id, user_id, thread_id) VALUES ('t', 'ada', :name) RETURNING id",
        name=name,
    )
    return row.id


async def name_in(engine: AsyncEngine, thread: int, *files: StoredFile) -> dict[str, StoredFile]:
    async with engine.begin() as connection:
        return await name_files(connection, ADA, thread, [file.file_id for file in files])


async def age(engine: AsyncEngine) -> None:
    """Make all rows as old as two days."""
    await sql(
        engine,
        "UPDATE agent_file SET created_at = created_at - interval '2 days', unused_since = unused_since - interval '2 days'",
    )


# --- upload ---


async def test_a_file_is_its_bytes_and_its_owners_alone(library: FileLibrary, store: MemoryStore) -> None:
    first, is_new = await library.save(ADA, pieces(b"he", b"llo"), lambda: ("../a.txt", ""))
    again, is_new_again = await library.save(ADA, pieces(b"hello"), lambda: ("b.md", "text/markdown"))
    others = await save(library, b"hello", EVE)

    assert (is_new, is_new_again) == (True, False)
    assert first.file_id == again.file_id == others.file_id == hashlib.sha256(b"hello").hexdigest()
    assert (first.name, first.media_type, first.bytes, again.name) == ("a.txt", "text/plain", 5, "b.md")
    assert len(store.content) == 2
    await library.delete(EVE, others.file_id)
    assert b"".join([chunk async for chunk in await library.open(again)]) == b"hello"
    with pytest.raises(NotFound):
        await library.get(EVE, first.file_id)


@pytest.mark.parametrize("file_id", ["", "x", "A" * 64, "0" * 64, "0" * 63 + "\x00"], ids=ascii)
async def test_an_id_that_names_nothing_is_absent(library: FileLibrary, file_id: str) -> None:
    with pytest.raises(NotFound):
        await library.get(ADA, file_id)
    with pytest.raises(NotFound):
        await library.delete(ADA, file_id)


async def breaking() -> AsyncIterator[bytes]:
    yield b"x" * 100
    raise EOFError


REFUSED = {
    "too large": (lambda: pieces(*[b"x" * 1000] * 5), BodyTooLarge),
    "empty": (lambda: pieces(), FileEmpty),
    "cut off": (breaking, EOFError),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refused_upload_leaves_nothing(
    case: str, library: FileLibrary, store: MemoryStore, engine: AsyncEngine
) -> None:
    chunks, error = REFUSED[case]

    with pytest.raises(error):
        await library.save(ADA, chunks(), lambda: ("a", ""))

    assert (store.content, await states(engine)) == ({}, [])


async def test_a_store_that_is_down_is_told_and_leaves_a_row_for_the_chore(
    library: FileLibrary, store: MemoryStore, engine: AsyncEngine
) -> None:
    kept = await save(library, b"kept")
    store.is_down = True

    with pytest.raises(FilesUnavailable):
        await save(library, b"new")
    with pytest.raises(FilesUnavailable):
        await library.open(kept)
    # Absent for its owner at once, even if the bytes cannot be removed now.
    await library.delete(ADA, kept.file_id)

    assert await states(engine) == ["deleting", "deleting"]
    store.is_down = False
    assert await library.clean_up() == 2
    assert (store.content, await states(engine)) == ({}, [])


# --- quotas ---


async def test_uploads_at_once_cannot_pass_the_quota_together(
    library: FileLibrary, engine: AsyncEngine, store: MemoryStore
) -> None:
    # 4 * 3000 bytes into 10,000, all of them begun before the first one ends.
    begun, go = 0, asyncio.Event()

    async def slowly(number: int) -> AsyncIterator[bytes]:
        nonlocal begun
        yield bytes([number]) * 3000
        begun += 1
        if begun == 4:
            go.set()
        await go.wait()

    results = await asyncio.gather(
        *(library.save(ADA, slowly(number), lambda: ("a", "")) for number in range(4)), return_exceptions=True
    )

    assert sum(isinstance(result, FileQuotaExceeded) for result in results) == 1
    assert await states(engine) == ["ready"] * 3
    assert sum(map(len, store.content.values())) == 9000
    await save(library, b"x" * 3000, EVE)


async def test_what_certainly_has_no_room_is_refused_before_a_byte_is_read(library: FileLibrary) -> None:
    await save(library, b"x" * 3000)
    untouched = pieces(b"y")

    with pytest.raises(FileQuotaExceeded) as refused:
        await library.save(ADA, untouched, lambda: ("a", ""), least_bytes=8000)

    assert refused.value.members == {"maxBytes": 10_000, "usedBytes": 3000}
    assert await anext(untouched) == b"y"


async def test_the_number_of_files_is_limited_and_known_bytes_need_no_room(library: FileLibrary) -> None:
    files = [await save(library, bytes([number + 65])) for number in range(7)]
    await save(library, b"last")

    with pytest.raises(FileQuotaExceeded):
        await save(library, b"one more")

    await library.delete(ADA, files[0].file_id)
    await save(library, b"one more")


@pytest.mark.parametrize("kind", ["admit", "admit_reader"])
async def test_uploads_and_downloads_of_a_user_and_of_all_are_limited(
    library: FileLibrary, kind: str
) -> None:
    admit = getattr(library, kind)
    with admit(ADA), admit(ADA):
        with pytest.raises(RateLimited), admit(ADA):
            pass
        with admit(EVE), pytest.raises(Overloaded), admit(Principal("t", "bob")):
            pass
    with admit(ADA):
        pass


# --- what dies, what expires ---


async def test_what_a_dead_process_left_is_removed_row_and_bytes(
    library: FileLibrary, engine: AsyncEngine, store: MemoryStore
) -> None:
    before_bytes = await library.catalogue.begin(ADA, 0)
    with_bytes = await library.catalogue.begin(ADA, 0)
    await store.put(with_bytes.name_in_store, pieces(b"x"))
    assert await library.clean_up() == 0

    await age(engine)

    assert await library.clean_up() == 2
    assert (store.content, await states(engine)) == ({}, [])
    assert before_bytes.name_in_store != with_bytes.name_in_store


async def test_an_upload_that_the_chore_gave_up_is_no_file(
    library: FileLibrary, engine: AsyncEngine, store: MemoryStore
) -> None:
    async def outlived() -> AsyncIterator[bytes]:
        yield b"x"
        await age(engine)
        await library.clean_up()

    with pytest.raises(FilesUnavailable):
        await library.save(ADA, outlived(), lambda: ("a", ""))

    await library.clean_up()
    assert (store.content, await states(engine)) == ({}, [])


async def test_a_file_that_no_message_names_expires_and_a_new_upload_of_it_begins_anew(
    library: FileLibrary, engine: AsyncEngine
) -> None:
    named, unnamed, again = [await save(library, content) for content in (b"1", b"2", b"3")]
    await name_in(engine, await a_thread(engine, "t-1"), named)
    await age(engine)
    await save(library, b"3")

    assert await library.clean_up() == 1

    found = await library.catalogue.find(ADA, [file.file_id for file in (named, unnamed, again)])
    assert set(found) == {named.file_id, again.file_id}


@pytest.mark.parametrize("state", ["pending", "deleting"])
async def test_only_ready_files_are_unused(library: FileLibrary, engine: AsyncEngine, state: str) -> None:
    values = {"id": (await library.catalogue.begin(ADA, 0)).id, "state": state}
    assert [row.unused_since for row in await sql(engine, "SELECT unused_since FROM agent_file")] == [None]
    long_ago = "SET state = :state, unused_since = now() - interval '2 days'"
    await sql(engine, f"UPDATE agent_file {long_ago} WHERE id = :id", **values)

    assert await library.catalogue.expire() == 0

    assert await states(engine) == [state]


async def test_all_that_expired_goes_in_one_turn(
    library: FileLibrary, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.files.catalogue.BATCH", 1)
    for content in (b"1", b"2", b"3"):
        await save(library, content)
    await age(engine)

    assert await library.clean_up() == 3


async def test_a_store_that_is_down_is_asked_once_a_turn_and_nothing_counts_as_gone(
    library: FileLibrary, engine: AsyncEngine, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.files.catalogue.BATCH", 2)
    for content in (b"1", b"2", b"3", b"4", b"5"):
        await save(library, content)
    await age(engine)
    delete, asked = store.delete, list[str]()

    async def noted(name: str) -> None:
        asked.append(name)
        await delete(name)

    monkeypatch.setattr(store, "delete", noted)
    store.is_down = True
    assert await library.clean_up() == 0
    assert (len(asked), await states(engine)) == (1, ["deleting"] * 5)

    store.is_down = False
    # What failed comes after the others.
    assert [await library.clean_up() for _ in range(2)] == [4, 1]
    assert (store.content, await states(engine)) == ({}, [])


async def test_a_file_that_cannot_be_removed_does_not_keep_the_others(
    library: FileLibrary, engine: AsyncEngine, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, *_ = [await save(library, content) for content in (b"1", b"2", b"3")]
    await age(engine)
    delete = store.delete

    async def refusing(name: str) -> None:
        if name == stuck.name_in_store:
            raise FilesUnavailable("not this one")
        await delete(name)

    monkeypatch.setattr(store, "delete", refusing)

    assert [await library.clean_up() for _ in range(3)] == [0, 2, 0]
    assert list(store.content.values()) == [b"1"]


async def test_a_run_that_is_accepted_in_the_moment_of_expiry_keeps_its_file_or_is_told(
    library: FileLibrary, engine: AsyncEngine
) -> None:
    file = await save(library, b"1")
    thread = await a_thread(engine, "t-1")
    await age(engine)
    # The run is first: the chore passes the file over, and finds it named afterwards.
    async with engine.begin() as accepting:
        assert await name_files(accepting, ADA, thread, [file.file_id])
        assert await library.clean_up() == 0
    assert await library.clean_up() == 0
    await library.get(ADA, file.file_id)

    # The chore is first: the run waits for it, and finds nothing.
    other = await save(library, b"2")
    await age(engine)
    async with engine.begin() as deleting:
        marked = await deleting.execute(
            text("UPDATE agent_file SET state = 'deleting' WHERE sha256 = :id"),
            {"id": bytes.fromhex(other.file_id)},
        )
        assert marked.rowcount == 1
        waiting = asyncio.create_task(name_in(engine, thread, other))
        await _until_blocked(engine)
    assert await waiting == {}


async def _until_blocked(engine: AsyncEngine) -> None:
    blocked = "SELECT count(*) AS n FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
    while (await sql(engine, blocked))[0].n == 0:  # noqa: ASYNC110  Postgres tells nobody
        await asyncio.sleep(0)


# --- threads ---


async def delete_thread(library: FileLibrary, engine: AsyncEngine, thread: int) -> None:
    async with engine.begin() as connection:
        rows = await leave_thread(connection, thread)
        await connection.execute(text("DELETE FROM agent_chat_session WHERE id = :id"), {"id": thread})
        marked = await drop_unnamed(connection, rows)
    await library.remove(marked)


async def test_a_file_goes_with_the_last_thread_that_names_it(
    library: FileLibrary, engine: AsyncEngine, store: MemoryStore
) -> None:
    shared, own = await save(library, b"shared"), await save(library, b"own")
    one, two = await a_thread(engine, "t-1"), await a_thread(engine, "t-2")
    await name_in(engine, one, shared, own)
    await name_in(engine, two, shared)

    await delete_thread(library, engine, one)
    assert set(await library.catalogue.find(ADA, [shared.file_id, own.file_id])) == {shared.file_id}

    await delete_thread(library, engine, two)
    assert (store.content, await states(engine)) == ({}, [])


async def test_a_file_that_was_uploaded_again_outlives_its_last_thread_until_a_message_names_it(
    library: FileLibrary, engine: AsyncEngine
) -> None:
    # The second upload is for a message that is still to come.
    file = await save(library, b"1")
    first, second = await a_thread(engine, "t-1"), await a_thread(engine, "t-2")
    await name_in(engine, first, file)
    await save(library, b"1")

    await delete_thread(library, engine, first)

    assert set(await name_in(engine, second, file)) == {file.file_id}
    # That message has come: the next deletion takes the file along.
    await delete_thread(library, engine, second)
    assert await states(engine) == []


async def test_a_file_that_was_uploaded_again_in_vain_expires(
    library: FileLibrary, engine: AsyncEngine
) -> None:
    file = await save(library, b"1")
    thread = await a_thread(engine, "t-1")
    await name_in(engine, thread, file)
    await save(library, b"1")
    await delete_thread(library, engine, thread)
    assert await library.clean_up() == 0

    await age(engine)

    assert await library.clean_up() == 1


async def delete_thread_as_before_files(engine: AsyncEngine, thread: int) -> None:
    """Delete a thread as a version does that knows no files."""
    await sql(engine, "DELETE FROM agent_chat_session WHERE id = :id", id=thread)


async def test_files_of_a_thread_that_a_version_without_files_deleted_expire(
    library: FileLibrary, engine: AsyncEngine, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.files.catalogue.STEP", 2)
    files = [await save(library, bytes([number + 65])) for number in range(5)]
    gone, kept = await a_thread(engine, "t-1"), await a_thread(engine, "t-2")
    await name_in(engine, gone, *files)
    await name_in(engine, kept, files[1])
    await delete_thread_as_before_files(engine, gone)

    # Three steps of two rows: none of the files is gone yet, each has a day from now on.
    assert [await library.clean_up() for _ in range(3)] == [0, 0, 0]
    await age(engine)

    assert await library.clean_up() == 4
    assert list(store.content.values()) == [b"B"]
    assert set(await library.catalogue.find(ADA, [file.file_id for file in files])) == {files[1].file_id}


async def test_a_file_that_is_named_while_the_chore_looks_stays_in_use(
    library: FileLibrary, engine: AsyncEngine
) -> None:
    file = await save(library, b"1")
    gone, other = await a_thread(engine, "t-1"), await a_thread(engine, "t-2")
    await name_in(engine, gone, file)
    await delete_thread_as_before_files(engine, gone)

    # The run is being accepted: the chore passes the file over, and finds it named afterwards.
    async with engine.begin() as accepting:
        assert await name_files(accepting, ADA, other, [file.file_id])
        assert await library.catalogue.find_unnamed() == 0
    assert await library.catalogue.find_unnamed() == 0

    (row,) = await sql(engine, "SELECT unused_since FROM agent_file")
    assert row.unused_since is None


async def test_threads_that_are_deleted_and_named_at_once_leave_no_file_and_lose_none(
    library: FileLibrary, engine: AsyncEngine, store: MemoryStore
) -> None:
    files = [await save(library, bytes([number + 65])) for number in range(4)]
    threads = [await a_thread(engine, f"t-{number}") for number in range(6)]
    for thread in threads:
        await name_in(engine, thread, *files)
    kept = await a_thread(engine, "kept")

    # The order of the names differs; the order of the locks does not.
    _, *found = await asyncio.gather(
        name_in(engine, kept, *reversed(files[:2])),
        *(delete_thread(library, engine, thread) for thread in threads),
    )

    named = await sql(engine, "SELECT file_id FROM agent_file_use")
    left = await library.catalogue.find(ADA, [file.file_id for file in files])
    assert {row.file_id for row in named} == {file.id for file in left.values()}
    assert set(left) <= {file.file_id for file in files[:2]}
    assert len(store.content) == len(left)
    assert len(found) == len(threads)


# --- kept for a time ---


@pytest.fixture
def for_a_month(engine: AsyncEngine, store: MemoryStore) -> FileLibrary:
    return FileLibrary(engine, store, LIMITS.model_copy(update={"retention_days": 30}), LimitSettings())


async def unused(engine: AsyncEngine, days: int) -> None:
    """Make every file one that nobody has used for so many days."""
    await sql(engine, "UPDATE agent_file SET used_at = now() - :days * interval '1 day'", days=days)


async def test_files_go_after_their_time_with_their_bytes_whoever_names_them(
    for_a_month: FileLibrary,
    library: FileLibrary,
    engine: AsyncEngine,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.files.catalogue.BATCH", 2)
    old, older, sent_again, named_again = [
        await save(library, content) for content in (b"1", b"2", b"3", b"4")
    ]
    others = await save(library, b"1", EVE)
    threads = [await a_thread(engine, name) for name in ("t-1", "t-2")]
    for thread in threads:
        await name_in(engine, thread, old, older, sent_again, named_again)
    await unused(engine, 31)
    await sql(engine, "UPDATE agent_file SET used_at = now() - interval '29 days' WHERE user_id = 'eve'")
    await save(library, b"3")
    await name_in(engine, threads[0], named_again)

    assert await library.clean_up() == 0
    assert await for_a_month.clean_up() == 2

    assert sorted(store.content.values()) == [b"1", b"3", b"4"]
    assert set(
        await library.catalogue.find(ADA, [each.file_id for each in (old, sent_again, named_again)])
    ) == {
        sent_again.file_id,
        named_again.file_id,
    }
    assert (await library.get(EVE, others.file_id)).id == others.id
    for file in (old, older):
        with pytest.raises(FileGone, match="nobody used it for 30 days"):
            await for_a_month.get(ADA, file.file_id)
    with pytest.raises(NotFound) as absent:
        await library.get(EVE, older.file_id)
    assert absent.value.code == "not-found"
    # The last thread takes along what is known of them.
    for thread in threads:
        await delete_thread(library, engine, thread)
    with pytest.raises(NotFound) as forgotten:
        await library.get(ADA, old.file_id)
    assert forgotten.value.code == "not-found"


async def test_a_file_past_its_time_is_gone_at_once_and_its_bytes_when_the_store_answers(
    for_a_month: FileLibrary, engine: AsyncEngine, store: MemoryStore
) -> None:
    file = await save(for_a_month, b"1")
    await name_in(engine, await a_thread(engine, "t-1"), file)
    await unused(engine, 31)
    store.is_down = True
    assert await for_a_month.clean_up() == 0
    with pytest.raises(FileGone):
        await for_a_month.get(ADA, file.file_id)

    # Sent again meanwhile: another row, with bytes of its own.
    store.is_down = False
    again = await save(for_a_month, b"1")
    # What failed comes after the others.
    assert [await for_a_month.clean_up() for _ in range(2)] == [0, 1]
    assert (list(store.content.values()), await states(engine)) == ([b"1"], ["ready"])
    assert (await for_a_month.get(ADA, file.file_id)).id == again.id != file.id


async def test_a_file_that_a_run_names_in_the_same_moment_stays(
    for_a_month: FileLibrary, engine: AsyncEngine
) -> None:
    file = await save(for_a_month, b"1")
    thread = await a_thread(engine, "t-1")
    await name_in(engine, thread, file)
    await unused(engine, 31)

    async with engine.begin() as accepting:
        assert await name_files(accepting, ADA, thread, [file.file_id])
        assert await for_a_month.clean_up() == 0
    assert await for_a_month.clean_up() == 0

    assert await states(engine) == ["ready"]


async def test_a_thread_that_is_deleted_in_the_same_moment_is_not_noted(
    library: FileLibrary, engine: AsyncEngine
) -> None:
    file = await save(library, b"1")
    gone, kept = await a_thread(engine, "t-1"), await a_thread(engine, "t-2")
    for thread in (gone, kept):
        await name_in(engine, thread, file)
    async with engine.begin() as leaving:
        rows = await leave_thread(leaving, gone)
        deleting = asyncio.create_task(library.delete(ADA, file.file_id))
        await _until_blocked(engine)
        await leaving.execute(text("DELETE FROM agent_chat_session WHERE id = :id"), {"id": gone})
        assert await drop_unnamed(leaving, rows) == []
    await deleting

    assert [row.session_id for row in await sql(engine, "SELECT session_id FROM agent_file_gone")] == [kept]
    with pytest.raises(FileGone):
        await library.get(ADA, file.file_id)


# --- data of a request that was refused ---


async def test_what_a_refused_request_stored_is_taken_back_unless_somebody_wants_it(
    library: FileLibrary, engine: AsyncEngine, store: MemoryStore
) -> None:
    unwanted, named, sent_again = [await save(library, content) for content in (b"1", b"2", b"3")]
    await name_in(engine, await a_thread(engine, "t-1"), named)
    await save(library, b"3")

    await library.take_back(ADA, [unwanted, named, sent_again])

    found = await library.catalogue.find(ADA, [file.file_id for file in (unwanted, named, sent_again)])
    assert set(found) == {named.file_id, sent_again.file_id}
    assert len(store.content) == 2


# --- contents for a model ---


async def test_contents_that_are_asked_for_at_once_are_read_once(
    library: FileLibrary, store: MemoryStore
) -> None:
    file = await save(library, b"x" * 50)
    go, reads = asyncio.Event(), 0

    class Slow(MemoryStore):
        async def read(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
            nonlocal reads
            reads += 1
            await go.wait()
            async for chunk in store.read(name, start, end):
                yield chunk

    contents = FileContents(library.catalogue, Slow(), max_bytes=100)
    asking = [asyncio.create_task(contents.load(ADA, [file.file_id]))]
    while not reads:  # noqa: ASYNC110  the store is asked after a statement
        await asyncio.sleep(0)
    asking += [asyncio.create_task(contents.load(ADA, [file.file_id])) for _ in range(3)]
    # The run that was first is stopped.
    asking[0].cancel()
    go.set()
    found = await asyncio.gather(*asking, return_exceptions=True)

    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [{file.file_id: b"x" * 50}] * 3
    assert reads == 1


async def test_contents_are_read_once_while_they_exist_and_have_room(
    library: FileLibrary, store: MemoryStore
) -> None:
    files = [await save(library, content) for content in (b"x" * 50, b"y" * 60, b"z" * 40)]
    ids = [file.file_id for file in files]
    contents = FileContents(library.catalogue, store, max_bytes=100)

    assert await contents.load(ADA, ids) == {ids[0]: b"x" * 50, ids[1]: None, ids[2]: b"z" * 40}
    assert await contents.load(EVE, ids) == {}
    store.is_down = True
    assert await contents.load(ADA, ids[:1]) == {ids[0]: b"x" * 50}
    with pytest.raises(FilesUnavailable):
        await contents.load(ADA, ids[1:2])
    store.is_down = False
    # Deleted: not given to a model any more, though it is in memory. Lost: as if deleted.
    await library.delete(ADA, ids[0])
    store.content.clear()
    assert await contents.load(ADA, ids[:2]) == {}
