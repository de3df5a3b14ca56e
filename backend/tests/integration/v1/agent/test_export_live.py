"""A user's data goes out as lines of JSON and comes back as it was, or not at all."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.support.limits import HUNG_SECONDS
from tests.support.release_dump import filled
from tests.support.stack import OpenStack, Stack, eventually
from tests.support.whole_service import sections_for_everything

from core.connections.store import ConnectionStore
from core.files.library import FileLibrary
from core.identity import Principal
from core.user_data.erasures import Erasures
from core.user_data.import_file import NotAnExport, check_export
from core.user_data.importer import _INSERT, Importer, LinesLost, UserNotEmpty

ADA, EVE = Principal("default", "ada"), Principal("default", "eve")
SECRET = "a-token-that-is-in-no-export"
DAILY = {"type": "interval", "everySeconds": 86_400}
BODY = bytes(range(256)) * 2000  # several pieces


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A service in which a user has something of everything."""
    folder = tmp_path_factory.mktemp("files")
    async with open_stack(**sections_for_everything(folder)) as stack:
        async with filled(stack):
            pass
        await eventually(lambda: _all_ended(stack))
        await stack.request("POST", "/files", files={"file": ("größe.bin", BODY)})
        stored = await stack.request("POST", "/files", files={"file": ("note.txt", b"a note")})
        part = {"type": "document", "source": {"type": "file", "value": stored.json["fileId"]}}
        message = {
            "id": "with-file",
            "role": "user",
            "content": [part, {"type": "text", "text": "\u2028 ü \\"}],
        }
        said = await stack.stream_run(thread="with-file", messages=[message], state={"n": 1e20, "s": "ü"})
        assert said.end["outcome"] == {"type": "success"}, said.body
        connections: ConnectionStore = container(stack).connections.store
        await connections.save(ADA, "mail", "", "user-token", SECRET)
        await _scheduled(stack)
        yield stack


async def _scheduled(stack: Stack) -> None:
    """An active schedule that has fired, one that its owner has paused, and one that has ended."""
    for name, members in (("daily", {"threadId": "with-file"}), ("paused", {"enabled": False}), ("over", {})):
        body = {"scheduleId": name, "trigger": DAILY, "message": f"größer, {name}?", **members}
        made = await stack.request("POST", "/schedules", json=body)
        assert made.status == 201, made.body
    fired = await stack.request("POST", "/schedules/daily/trigger", headers={"Idempotency-Key": "once"})
    assert fired.status == 202, fired.body
    await stack.ended("with-file")
    await stack.fetch(
        "UPDATE agent_schedule SET next_at = NULL, ended_at = now(), fires = 3 WHERE schedule_id = 'over'"
    )
    # Still to be tried: it stays behind.
    await stack.fetch(
        """INSERT INTO agent_schedule_fire (schedule_pk, fire_key, fire_at, give_up_at, next_try_at)
        SELECT id, 'to-try', now(), now() + interval '1 day', now() + interval '1 day'
        FROM agent_schedule WHERE schedule_id = 'paused'"""
    )


async def _all_ended(stack: Stack) -> bool:
    live = await stack.fetch("""SELECT r.run_id, r.user_id, s.thread_id FROM agent_run AS r
        JOIN agent_chat_session AS s ON s.id = r.session_id WHERE r.ended_at IS NULL""")
    for row in live:
        await stack.cancel(row["thread_id"], row["run_id"], user=row["user_id"])
    return not live


def container(stack: Stack) -> Any:
    return stack.apis[0].app.state.container


def importer(stack: Stack) -> Importer:
    files: FileLibrary = container(stack).files
    return Importer(container(stack).exports.engine, files)


async def exported(stack: Stack, user: str) -> bytes:
    reply = await stack.request("GET", "/export", user=user)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson"), reply.body
    return reply.body


def lines(body: bytes) -> list[dict[str, Any]]:
    assert body.endswith(b"\n")
    return [orjson.loads(line) for line in body.splitlines()]


async def test_an_export_is_whole_and_says_so(stack: Stack) -> None:
    body = await exported(stack, "ada")
    first, *middle, last = lines(body)

    assert (first["type"], first["format"], first["version"]) == ("manifest", "agentroute-export", 2)
    by_type: dict[str, int] = {}
    for line in middle:
        by_type[line["type"]] = by_type.get(line["type"], 0) + 1
    assert {kind: by_type.get(kind, 0) for kind in first["counts"]} == first["counts"]
    assert min(first["counts"].values()) > 0, first["counts"]
    before_the_end = body[: body.rstrip(b"\n").rindex(b"\n") + 1]
    assert last == {
        "type": "end",
        "lines": len(middle) + 1,
        "sha256": hashlib.sha256(before_the_end).hexdigest(),
    }
    pieces = [line for line in middle if line["type"] == "file-bytes"]
    file = next(line for line in middle if line["type"] == "file" and line["name"] == "größe.bin")
    data = b"".join(base64.b64decode(line["data"]) for line in pieces if line["fileId"] == file["fileId"])
    assert data == BODY
    assert SECRET.encode() not in body
    assert b"sealed" not in body
    # The same again, but for the time.
    assert lines(await exported(stack, "ada"))[1:-1] == middle


async def test_what_was_exported_and_imported_is_exported_as_it_was(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "ada.ndjson"
    path.write_bytes(await exported(stack, "ada"))

    counts = await importer(stack).load(check_export(path), EVE)

    assert counts["message"] > 0
    assert comparable(await exported(stack, "eve")) == comparable(path.read_bytes())
    # Bytes and totals are the user's own.
    listed = (await stack.request("GET", "/files", user="eve")).json["files"]
    big = next(file for file in listed if file["name"] == "größe.bin")
    assert (await stack.request("GET", f"/files/{big['fileId']}", user="eve")).body == BODY
    assert await stack.fetch("SELECT * FROM agent_stored_drift()") == []
    await schedules_wait_for_their_owner(stack)
    # A conversation goes on with what was said.
    reply = await stack.stream_run("and then?", thread="with-file", user="eve")
    assert reply.end["outcome"] == {"type": "success"}
    asked = [body["messages"] for body in stack.demo.requests if "messages" in body]
    (said,) = [each for each in asked if each[-1]["content"] == "and then?"]
    # The one before the last is what the schedule has asked.
    roles = ["system", "user", "assistant", "user", "assistant", "user"]
    assert [message["role"] for message in said] == roles, said
    with pytest.raises(UserNotEmpty):
        await importer(stack).load(check_export(path), EVE)


async def schedules_wait_for_their_owner(stack: Stack) -> None:
    listed = (await stack.request("GET", "/schedules", user="eve")).json["schedules"]
    known = {each["scheduleId"]: each for each in listed}
    codes = {name: each.get("paused", {}).get("code") for name, each in known.items()}
    assert codes == {"daily": "imported", "paused": "by-owner", "over": None}
    assert (known["over"]["state"], known["over"]["fires"]) == ("ended", 3)
    daily = (await stack.request("GET", "/schedules/daily", user="eve")).json
    assert (daily["state"], daily.get("nextFireAt"), daily.get("authorizedUntil")) == ("paused", None, None)
    assert "Enable it" in daily["paused"]["detail"]
    [fire] = daily["lastFires"]
    assert (fire["state"], fire["manual"], fire["threadId"]) == ("accepted", True, "with-file")
    # The right of where it came from is not there: not in the export, and not here.
    [row] = await stack.fetch(
        "SELECT scopes, groups, claims, key_id, next_at FROM agent_schedule WHERE user_id = 'eve' AND schedule_id = 'daily'"
    )
    assert tuple(row.values()) == ([], [], "{}", None, None)
    # The same body means the same schedule, as before.
    again = {"scheduleId": "paused", "trigger": DAILY, "message": "größer, paused?", "enabled": False}
    assert (await stack.request("POST", "/schedules", json=again, user="eve")).status == 200
    enabled = await stack.request("PATCH", "/schedules/daily", json={"enabled": True}, user="eve")
    assert (enabled.status, enabled.json["state"]) == (200, "active"), enabled.body
    assert enabled.json["authorizedUntil"]
    assert enabled.json["nextFireAt"]


async def test_an_export_of_before_schedules_is_imported(stack: Stack, tmp_path: Path) -> None:
    def of_before(found: list[dict[str, Any]]) -> None:
        manifest = found[0]
        manifest["version"] = 1
        for kind in ("schedule", "schedule-fire"):
            del manifest["counts"][kind]
        found[:] = [line for line in found if not line["type"].startswith("schedule")]

    path = tmp_path / "ada.ndjson"
    path.write_bytes(resealed(await exported(stack, "ada"), of_before))

    await importer(stack).load(check_export(path), Principal("default", "old"))

    assert (await stack.request("GET", "/schedules", user="old")).json["schedules"] == []
    assert len((await stack.request("GET", "/threads", user="old")).json["threads"]) > 0


def comparable(body: bytes) -> list[dict[str, Any]]:
    """Leave out what an import changes: tokens come from nowhere, nothing waits and nothing is asked."""
    found: list[dict[str, Any]] = []
    for line in lines(body)[1:-1]:
        if line["type"] == "connection" or line.get("status") == "waiting":
            continue
        if line["type"] == "interrupt" and line["status"] in {"open", "cancelled"}:
            line |= {"status": "cancelled", "resolvedAt": None}
        if line["type"] == "run" and line["status"] in {"queued", "running", "cancelled"}:
            line |= {"status": "cancelled", "endedAt": None}
        found.append(line)
    return found


def cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


def without_last_line(body: bytes) -> bytes:
    return body[: body.rstrip(b"\n").rindex(b"\n") + 1]


def changed(body: bytes) -> bytes:
    return body.replace(b'"role":"user"', b'"role":"evil"', 1)


def foreign(_: bytes) -> bytes:
    return b'{"type": "something"}\n{"a": 1}\n'


def newer(body: bytes) -> bytes:
    return body.replace(b'"version":2', b'"version":9', 1)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut, "cut off"),
        (without_last_line, "cut off"),
        (changed, "changed or damaged"),
        (foreign, "no export of AgentRoute"),
        (lambda _: b"", "cut off"),
        (lambda _: b"\x00\xff" * 100, "no export of AgentRoute"),
        (newer, "version 9"),
        (lambda body: body + b"{}\n", "behind the last line"),
    ],
    ids=["cut", "without its end", "changed", "foreign", "empty", "binary", "newer", "longer"],
)
async def test_a_file_that_is_not_whole_is_refused(
    stack: Stack, tmp_path: Path, spoil: Callable[[bytes], bytes], words: str
) -> None:
    path = tmp_path / "spoiled.ndjson"
    path.write_bytes(spoil(await exported(stack, "ada")))

    with pytest.raises(NotAnExport, match=words):
        check_export(path)


async def test_an_import_that_fails_in_its_middle_leaves_nothing(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ada.ndjson"
    path.write_bytes(await exported(stack, "ada"))
    stored = files_in(stack)
    broken = {**_INSERT, "memory": text("SELECT 1 / 0")}
    monkeypatch.setattr("core.user_data.importer._INSERT", broken)
    with pytest.raises(DBAPIError, match="division by zero"):
        await importer(stack).load(check_export(path), Principal("default", "zoe"))

    assert await stack.fetch("SELECT FROM agent_chat_session WHERE user_id = 'zoe'") == []
    assert await stack.fetch("SELECT FROM agent_file WHERE user_id = 'zoe'") == []
    assert files_in(stack) == stored


def resealed(body: bytes, change: Callable[[list[dict[str, Any]]], None]) -> bytes:
    """Return an export whose lines were changed, with the digest that belongs to them."""
    *found, _ = lines(body)
    change(found)
    changed = b"".join(orjson.dumps(line) + b"\n" for line in found)
    end = {"type": "end", "lines": len(found), "sha256": hashlib.sha256(changed).hexdigest()}
    return changed + orjson.dumps(end) + b"\n"


def of_a_lost_thread(found: list[dict[str, Any]]) -> None:
    next(line for line in found if line["type"] == "message")["threadId"] = "no-such-thread"


async def test_an_import_that_would_lose_a_line_fails_as_a_whole(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "ada.ndjson"
    path.write_bytes(resealed(await exported(stack, "ada"), of_a_lost_thread))

    with pytest.raises(LinesLost, match="1 lines 'message' belong to nothing"):
        await importer(stack).load(check_export(path), Principal("default", "zoe"))

    assert await stack.fetch("SELECT FROM agent_chat_session WHERE user_id = 'zoe'") == []


async def test_an_import_that_would_lose_a_file_fails_as_a_whole(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ada.ndjson"
    path.write_bytes(await exported(stack, "ada"))
    # As if the chore of files had taken the uploads for forgotten ones.
    gone = text("UPDATE agent_file SET state = 'ready' WHERE false")
    monkeypatch.setattr("core.user_data.importer._INSERT", {**_INSERT, "file": gone})

    with pytest.raises(LinesLost, match="files were not taken over"):
        await importer(stack).load(check_export(path), Principal("default", "zoe"))

    assert await stack.fetch("SELECT FROM agent_file WHERE user_id = 'zoe'") == []


async def test_rows_behind_the_bytes_of_files_are_refused(stack: Stack, tmp_path: Path) -> None:
    def move(found: list[dict[str, Any]]) -> None:
        found.append(found.pop(next(at for at, line in enumerate(found) if line["type"] == "memory")))

    path = tmp_path / "ada.ndjson"
    path.write_bytes(resealed(await exported(stack, "ada"), move))

    with pytest.raises(NotAnExport, match="a line 'memory' behind the bytes"):
        check_export(path)


async def test_whoever_has_schedules_is_not_empty_and_nobody_is_no_user(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "ada.ndjson"
    path.write_bytes(await exported(stack, "ada"))
    planned = {"trigger": {"type": "interval", "everySeconds": 86_400}, "message": "hello"}
    made = await stack.request("POST", "/schedules", user="zed", json={"scheduleId": "s", **planned})
    assert made.status == 201, made.body

    with pytest.raises(UserNotEmpty, match="agent_schedule"):
        await importer(stack).load(check_export(path), Principal("default", "zed"))
    for nobody in (Principal("default", ""), Principal("", "ada")):
        with pytest.raises(ValueError, match="not empty"):
            await importer(stack).load(check_export(path), nobody)
        with pytest.raises(ValueError, match="not empty"):
            await Erasures(container(stack).exports.engine).begin(nobody, "operator")
    assert (await stack.fetch("SELECT count(*) AS n FROM agent_erasure"))[0]["n"] == 0


async def test_a_reader_who_takes_nothing_is_cut_off_and_gives_the_place_back(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("v1.agent.export_response.SEND_SECONDS", 0.05)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    await ask_unread(stack, receive, send)

    assert sent == ["http.response.start", "http.response.body"]
    assert container(stack).exports._places._taken == {}
    await exported(stack, "ada")


async def ask_unread(stack: Stack, receive: Any, send: Any) -> None:
    """Ask for an export as a server does whose client does not read."""
    headers = stack.apis[0].client("ada").headers.raw
    scope = {
        **{"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1"},
        **{
            "method": "GET",
            "scheme": "http",
            "path": "/api/v1/agent/export",
            "raw_path": b"",
            "query_string": b"",
        },
        **{"root_path": "", "headers": [(b"host", b"127.0.0.1"), *((k.lower(), v) for k, v in headers)]},
        **{"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)},
    }
    await asyncio.wait_for(stack.apis[0].app(scope, receive, send), HUNG_SECONDS)


def files_in(stack: Stack) -> set[Path]:
    folder = Path(stack.settings.files.url.get_secret_value().removeprefix("file://"))
    return {path for path in folder.rglob("*") if path.is_file()}
