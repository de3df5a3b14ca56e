"""The requests of the client, one function a route: what is sent, and how the answer is read. No I/O.

Every one can be sent again. Reads change nothing; a run, an upload and a transcription have an id of their own; what
deletes or renames has the same effect the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from agentroute.client import answers
from agentroute.client.errors import UnexpectedAnswer
from agentroute.client.inputs import Upload, file_content, new_id
from agentroute.client.schedules import Schedule, SchedulePage
from agentroute.client.wire_form import WireFormError, parse, read

T = TypeVar("T")

# A model transcribes ten minutes of speech in less.
_TRANSCRIBE_SECONDS = 300.0
_UPLOAD_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request."""

    method: str
    path: str
    """Below the API's address."""
    read: Callable[[bytes], T]
    """Returns what the body of a success says."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None
    file: tuple[str, bytes] | None = None
    """Name and bytes of the form's file."""
    timeout_seconds: float | None = None
    """How long an answer may take, if it may take longer than others."""
    is_deletion: bool = False
    """When it is sent again after a lost answer, 404 means that the first one succeeded."""


def start_run(body: Mapping[str, Any]) -> Call[answers.Accepted]:
    """``POST /runs``, in its 202 form."""
    return Call(method="POST", path="/runs", json=body, read=_reading(answers.Accepted))


def resume_run(body: Mapping[str, Any]) -> Call[answers.Accepted]:
    """``POST /resume``, in its 202 form."""
    return Call(method="POST", path="/resume", json=body, read=_reading(answers.Accepted))


def cancel(thread_id: str, run_id: str) -> Call[None]:
    """``POST /runs/{runId}/cancel``."""
    return Call(
        method="POST", path=f"/runs/{_part(run_id)}/cancel", json={"threadId": thread_id}, read=_nothing
    )


def run_status(thread_id: str, run_id: str) -> Call[answers.RunStatus]:
    """``GET /runs/{runId}``."""
    query = {"threadId": thread_id}
    return Call(method="GET", path=f"/runs/{_part(run_id)}", query=query, read=_reading(answers.RunStatus))


def why(thread_id: str, run_id: str) -> Call[answers.RunWhy]:
    """``GET /runs/{runId}/why``."""
    query = {"threadId": thread_id}
    return Call(method="GET", path=f"/runs/{_part(run_id)}/why", query=query, read=_reading(answers.RunWhy))


def history(thread_id: str, limit: int, before: str | None) -> Call[answers.History]:
    """``GET /history``."""
    query = _query(threadId=thread_id, limit=limit, before=before)
    return Call(method="GET", path="/history", query=query, read=_reading(answers.History))


def threads(
    query: str | None, agent_id: str | None, limit: int, before: str | None
) -> Call[answers.ThreadPage]:
    """``GET /threads``."""
    asked = _query(q=query, agentId=agent_id, limit=limit, before=before)
    return Call(method="GET", path="/threads", query=asked, read=_reading(answers.ThreadPage))


def thread(thread_id: str) -> Call[answers.ThreadItem]:
    """``GET /threads/{threadId}``."""
    return Call(method="GET", path=f"/threads/{_part(thread_id)}", read=_reading(answers.ThreadItem))


def rename_thread(thread_id: str, title: str) -> Call[answers.ThreadItem]:
    """``PATCH /threads/{threadId}``."""
    path = f"/threads/{_part(thread_id)}"
    return Call(method="PATCH", path=path, json={"title": title}, read=_reading(answers.ThreadItem))


def delete_thread(thread_id: str) -> Call[None]:
    """``DELETE /threads/{threadId}``."""
    return Call(method="DELETE", path=f"/threads/{_part(thread_id)}", read=_nothing, is_deletion=True)


def thread_runs(thread_id: str, limit: int, before: str | None) -> Call[answers.RunPage]:
    """``GET /threads/{threadId}/runs``."""
    query = _query(limit=limit, before=before)
    path = f"/threads/{_part(thread_id)}/runs"
    return Call(method="GET", path=path, query=query, read=_reading(answers.RunPage))


def usage(
    start: date | str | None, end: date | str | None, group_by: str, agent_id: str | None
) -> Call[answers.Usage]:
    """``GET /usage``."""
    query = _query(**{"from": _moment(start), "to": _moment(end)}, groupBy=group_by, agentId=agent_id)
    return Call(method="GET", path="/usage", query=query, read=_reading(answers.Usage))


def transcribe(
    file: Upload, name: str | None, language: str | None, prompt: str | None
) -> Call[answers.Transcription]:
    """``POST /transcribe``, with a key of its own: sent again, it is not paid for twice."""
    return Call(
        method="POST",
        path="/transcribe",
        headers={"Idempotency-Key": new_id("speech")},
        form=_query(language=language, prompt=prompt),
        file=file_content(file, name),
        timeout_seconds=_TRANSCRIBE_SECONDS,
        read=_reading(answers.Transcription),
    )


def upload(file: Upload, name: str | None) -> Call[answers.FileItem]:
    """``POST /files``."""
    return Call(
        method="POST",
        path="/files",
        file=file_content(file, name),
        timeout_seconds=_UPLOAD_SECONDS,
        read=_reading(answers.FileItem),
    )


def download(file_id: str) -> Call[bytes]:
    """``GET /files/{fileId}``."""
    return Call(
        method="GET",
        path=f"/files/{_part(file_id)}",
        headers={"Accept": "*/*"},
        timeout_seconds=_UPLOAD_SECONDS,
        read=bytes,
    )


def files(limit: int, before: str | None) -> Call[answers.FilePage]:
    """``GET /files``."""
    query = _query(limit=limit, before=before)
    return Call(method="GET", path="/files", query=query, read=_reading(answers.FilePage))


def memories(limit: int, before: str | None) -> Call[answers.MemoryPage]:
    """``GET /memory``."""
    query = _query(limit=limit, before=before)
    return Call(method="GET", path="/memory", query=query, read=_reading(answers.MemoryPage))


def delete_memory(memory_id: str) -> Call[None]:
    """``DELETE /memory/{memoryId}``."""
    return Call(method="DELETE", path=f"/memory/{_part(memory_id)}", read=_nothing, is_deletion=True)


def delete_memories() -> Call[None]:
    """``DELETE /memory``."""
    return Call(method="DELETE", path="/memory", read=_nothing, is_deletion=True)


def delete_file(file_id: str) -> Call[None]:
    """``DELETE /files/{fileId}``."""
    return Call(method="DELETE", path=f"/files/{_part(file_id)}", read=_nothing, is_deletion=True)


def agents() -> Call[tuple[answers.AgentItem, ...]]:
    """``GET /agents``."""
    reading = _reading(answers.AgentList)
    return Call(method="GET", path="/agents", read=lambda body: reading(body).agents)


def capabilities(agent_id: str | None) -> Call[dict[str, Any]]:
    """``GET /capabilities``, or that of an agent."""
    path = "/capabilities" if agent_id is None else f"/agents/{_part(agent_id)}/capabilities"
    return Call(method="GET", path=path, read=_object)


def create_schedule(body: Mapping[str, Any]) -> Call[Schedule]:
    """``POST /schedules``: its id is in the body, so it can be sent again."""
    return Call(method="POST", path="/schedules", json=body, read=_reading(Schedule))


def schedules(limit: int, before: str | None) -> Call[SchedulePage]:
    """``GET /schedules``."""
    query = _query(limit=limit, before=before)
    return Call(method="GET", path="/schedules", query=query, read=_reading(SchedulePage))


def schedule(schedule_id: str) -> Call[Schedule]:
    """``GET /schedules/{scheduleId}``."""
    return Call(method="GET", path=f"/schedules/{_part(schedule_id)}", read=_reading(Schedule))


def change_schedule(schedule_id: str, body: Mapping[str, Any]) -> Call[Schedule]:
    """``PATCH /schedules/{scheduleId}``."""
    path = f"/schedules/{_part(schedule_id)}"
    return Call(method="PATCH", path=path, json=body, read=_reading(Schedule))


def delete_schedule(schedule_id: str) -> Call[None]:
    """``DELETE /schedules/{scheduleId}``."""
    return Call(method="DELETE", path=f"/schedules/{_part(schedule_id)}", read=_nothing, is_deletion=True)


def trigger_schedule(schedule_id: str) -> Call[answers.Accepted]:
    """``POST /schedules/{scheduleId}/trigger``, with a key of its own: sent again, it fires once."""
    return Call(
        method="POST",
        path=f"/schedules/{_part(schedule_id)}/trigger",
        headers={"Idempotency-Key": new_id("fire")},
        read=_reading(answers.Accepted),
    )


def connections() -> Call[tuple[answers.ConnectionItem, ...]]:
    """``GET /connections``."""
    reading = _reading(answers.ConnectionList)
    return Call(method="GET", path="/connections", read=lambda body: reading(body).connections)


def connect_server(server: str, token: str, expires_at: datetime | None) -> Call[answers.ConnectionItem]:
    """``PUT /connections/{server}``."""
    body = {"token": token} | ({} if expires_at is None else {"expiresAt": expires_at.isoformat()})
    path = f"/connections/{_part(server)}"
    return Call(method="PUT", path=path, json=body, read=_reading(answers.ConnectionItem))


def begin_login(server: str, return_url: str | None) -> Call[str]:
    """``POST /connections/{server}/login``."""
    body = {} if return_url is None else {"returnUrl": return_url}
    path = f"/connections/{_part(server)}/login"
    return Call(method="POST", path=path, json=body, read=lambda body: str(_object(body).get("url", "")))


def forget_server(server: str) -> Call[None]:
    """``DELETE /connections/{server}``."""
    return Call(method="DELETE", path=f"/connections/{_part(server)}", read=_nothing)


def _reading(kind: type[T]) -> Callable[[bytes], T]:
    def reader(body: bytes) -> T:
        try:
            return read(kind, parse(body))
        except WireFormError as exc:
            raise UnexpectedAnswer(f"The answer is not one of AgentRoute: {exc}") from exc

    return reader


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = parse(body)
    except WireFormError:
        found = None
    if not isinstance(found, dict):
        raise UnexpectedAnswer("The answer is not one of AgentRoute: it is no JSON object")
    return found


def _nothing(_body: bytes) -> None:
    return None


def _query(**members: str | int | None) -> dict[str, str]:
    return {name: str(value) for name, value in members.items() if value is not None}


def _moment(value: date | str | None) -> str | None:
    return value.isoformat() if isinstance(value, date) else value


def _part(name: str) -> str:
    """Return an id as one part of a path, whatever is in it."""
    return quote(name, safe="")
