"""JSON of the service as dataclasses: newer services send more, and nothing of it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from agentroute.client import answers
from agentroute.client.wire_form import WireFormError, read, wire_name
from core.agentscope.schemas import (
    agent_runtime,
    agents,
    connections,
    files,
    run_diagnosis,
    runs,
    threads,
    usage,
)
from v1.agent import openapi, wire
from v1.agent.why_example import WHY_EXAMPLE


@dataclass(frozen=True, kw_only=True)
class Inner:
    cost: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Outer:
    thread_id: str
    many: tuple[Inner, ...] = ()
    at: datetime | None = None
    is_so: bool = False
    number: int = 3
    start: str = field(default="", metadata={"wire": "from"})
    anything: Any = None


def test_reads_what_is_there_and_ignores_the_rest() -> None:
    body = {
        "threadId": "t",
        "many": [{"cost": "0.10"}, {"cost": None, "new": 1}],
        "at": "2026-11-27T18:00:00Z",
        "isSo": True,
        "number": None,
        "from": "x",
        "anything": [1],
        "laterMember": {},
    }
    assert read(Outer, body) == Outer(
        thread_id="t",
        many=(Inner(cost=Decimal("0.10")), Inner()),
        at=datetime(2026, 11, 27, 18, tzinfo=UTC),
        is_so=True,
        start="x",
        anything=[1],
    )


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"threadId": None},
        {"threadId": 1},
        {"threadId": "t", "many": {}},
        {"threadId": "t", "many": [1]},
        {"threadId": "t", "many": [{"cost": "x"}]},
        {"threadId": "t", "at": "yesterday"},
        {"threadId": "t", "number": True},
        {"threadId": "t", "isSo": 1},
    ],
)
def test_refuses_what_has_another_form(body: Any) -> None:
    with pytest.raises(WireFormError):
        read(Outer, body)


_OF_THE_SERVICE: list[tuple[Any, ...]] = [
    (answers.Accepted, agent_runtime.AcceptedTaskResponse),
    (answers.ActiveRun, agent_runtime.ActiveRun),
    (answers.TokenTotals, agent_runtime.ThreadUsage),
    (answers.History, agent_runtime.HistorySnapshotResponse),
    (answers.RunStatus, agent_runtime.RunStatusResponse),
    (answers.RunWhy, run_diagnosis.RunWhyResponse),
    (answers.RunPage, runs.RunListResponse),
    (answers.ThreadItem, threads.ThreadItem),
    (answers.ThreadPage, threads.ThreadListResponse),
    (answers.Transcription, wire.TranscriptionResponse),
    (answers.Usage, usage.UsageResponse),
    (answers.StoredUsage, usage.StoredUsage),
    (answers.CallTotals, usage.DayTotals, usage.ModelTotals, usage.ThreadTotals),
    (answers.TranscriptionUsage, usage.TranscriptionUsage),
    (answers.TranscriptionTotals, usage.DayTranscriptions, usage.ModelTranscriptions),
    (answers.FileItem, files.FileItem),
    (answers.FilePage, files.FileListResponse),
    (answers.AgentItem, agents.AgentItem),
    (answers.AgentTool, agents.AgentTool),
    (answers.ConnectionItem, connections.ConnectionItem),
]
_LEFT_AWAY = {"eventsUrl", "taskId", "runsUrl"}
"""Links, which the client builds itself, and the id of the task, which is that of the run."""


@pytest.mark.parametrize("classes", _OF_THE_SERVICE, ids=lambda each: each[0].__name__)
def test_the_answers_have_the_members_of_the_service(classes: tuple[Any, ...]) -> None:
    kind, *models = classes
    known = {each.metadata.get("wire", wire_name(each.name)) for each in kind.__dataclass_fields__.values()}
    served = {each.alias or name for model in models for name, each in model.model_fields.items()}
    assert known <= served
    assert served - known <= _LEFT_AWAY


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        (answers.Accepted, openapi.ACCEPTED_EXAMPLE),
        (answers.History, openapi.HISTORY_EXAMPLE),
        (answers.RunPage, openapi.RUNS_EXAMPLE),
        (answers.RunWhy, WHY_EXAMPLE),
        (answers.ThreadPage, openapi.THREADS_EXAMPLE),
        (answers.Usage, openapi.USAGE_EXAMPLE),
        (answers.FilePage, openapi.FILES_EXAMPLE),
        (answers.AgentList, openapi.AGENTS_EXAMPLE),
        (answers.ConnectionList, openapi.CONNECTIONS_EXAMPLE),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else "",
)
def test_the_examples_of_the_api_reference_can_be_read(kind: type[Any], example: dict[str, Any]) -> None:
    read(kind, example)
