"""Reads the facts from which ``events/why`` says why a run is where it is.

One statement for any number of runs, so that all facts are of one instant; one more for those whose threads may wait for
the tools of their clients. What grows with the log is not read: of a run, the newest events alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.client_calls import OPEN_CLIENT_CALL_COUNTS
from core.agentscope.events.status_sql import status_sql
from core.agentscope.events.why.facts import (
    LiveRun,
    ModelCall,
    Progress,
    Question,
    Questions,
    Retry,
    RunFacts,
    Surroundings,
    ToolCall,
)
from core.direct_sql import fetch
from core.errors import NotFound
from core.identity import Principal
from core.worker_count import WORKER_CONNECTION

NEWEST_EVENTS = 200
"""Of a run that is executed: they show which tools are under way, and whether a try failed."""
_HEAD = 1000
"""Characters of an event: what is looked for comes first in it."""
_TOOL_CALL_ID = re.compile(r'"toolCallId":("(?:[^"\\]|\\.)*")')
_TOOL_NAME = re.compile(r'"toolCallName":("(?:[^"\\]|\\.)*")')
_RETRYING = '{"type":"CUSTOM","name":"agentroute.retrying"'
_TOOL_PROGRESS = '{"type":"CUSTOM","name":"agentroute.tool-progress"'

# The attempts before this one left lines of calls that nobody ends. Between the end of an attempt and the next claim,
# the run's hint is due; a pick-up moves it on by five seconds.
_FACTS = status_sql("""
WITH under_way AS MATERIALIZED (
    SELECT id, status, tenant_id, user_id, row_number() OVER (PARTITION BY status ORDER BY id) AS place
    FROM agent_run WHERE status IN {live}
), around AS MATERIALIZED (
    SELECT clock_timestamp() AS now,
        (SELECT count(*) FROM under_way WHERE status = {queued}) AS queued_runs,
        (SELECT count(*) FROM under_way WHERE status = {running}) AS running_runs,
        (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user
            AND application_name = $2) AS workers,
        (SELECT next_at FROM agent_chore WHERE name = 'reap') AS next_repair_at,
        pg_postmaster_start_time() AS store_started_at,
        current_setting('default_transaction_read_only') = 'on' OR pg_is_in_recovery() AS read_only
)
SELECT around.*, r.id AS run_pk, r.session_id, r.tenant_id, r.user_id, r.agent_id, s.thread_id, r.run_id, r.status, r.attempt,
    r.released, r.worker_id, r.lease_until, r.last_seq, r.next_hint_at, r.queue_deadline_at, r.deadline_at,
    r.cancel_requested_at, r.error_code, r.created_at, r.started_at, r.first_token_at, r.ended_at,
    s.agent_id AS thread_agent_id,
    live.run_id AS live_run_id, live.status AS live_status,
    CASE r.status
        WHEN {queued} THEN (SELECT place FROM under_way WHERE under_way.id = r.id)
        -- As promotion chooses the next one.
        WHEN {waiting} THEN (SELECT 1 + count(*) FROM agent_run AS w WHERE w.session_id = r.session_id
            AND w.status = {waiting}
            AND (w.cancel_requested_at IS NULL, NOT w.front, w.id) < (r.cancel_requested_at IS NULL, NOT r.front, r.id))
    END AS place,
    CASE WHEN r.status = {queued} THEN (SELECT count(*) FROM under_way AS u WHERE u.status = {running}
        AND u.tenant_id = r.tenant_id AND u.user_id = r.user_id) ELSE 0 END AS user_running,
    questions.open AS open_questions, questions.expired, questions.resolved,
    call.stage, call.provider, call.model, call.created_at AS call_since,
    log.events,
    r.status = {succeeded} AND r.ordinal = (
        SELECT max(n.ordinal) FROM agent_run AS n WHERE n.session_id = r.session_id) AS is_newest
FROM around, agent_run AS r JOIN agent_chat_session AS s ON s.id = r.session_id
LEFT JOIN agent_run AS live ON r.status = {waiting} AND live.session_id = r.session_id AND live.status IN {live}
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_array(i.interrupt_id, i.reason, i.tool_name, i.expires_at) ORDER BY i.id)
            FILTER (WHERE i.status = {open_interrupt})::text AS open,
        count(*) FILTER (WHERE i.status = {expired_interrupt}) AS expired,
        count(*) FILTER (WHERE i.status = {resolved_interrupt}) AS resolved
    FROM agent_interrupt AS i
    -- A waiting run waits for any question of its thread.
    WHERE i.session_id = r.session_id
        AND (i.run_pk = r.id OR (r.status = {waiting} AND i.status = {open_interrupt}))
) AS questions ON r.status IN ({interrupted}, {waiting})
LEFT JOIN LATERAL (
    SELECT c.stage, c.provider, c.model, c.created_at FROM agent_model_call AS c
    WHERE c.run_pk = r.id AND c.outcome = 'lost'
        AND (r.attempt = 1 OR c.created_at >= r.next_hint_at - interval '5 s')
    ORDER BY c.id DESC LIMIT 1
) AS call ON r.status = {running}
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_array(e.type, e.created_at,
            CASE WHEN e.type IN ('TOOL_CALL_START', 'TOOL_CALL_END', 'TOOL_CALL_RESULT', 'CUSTOM')
                THEN left(e.payload, $3) END) ORDER BY e.seq DESC)::text AS events
    FROM (
        SELECT type, created_at, payload, seq FROM agent_run_event
        WHERE session_id = r.session_id AND ordinal = r.ordinal
            -- The part of this run, and no older ones.
            AND log_part >= r.log_part
        ORDER BY seq DESC LIMIT CASE WHEN r.status = {running} THEN $4::bigint ELSE 1 END
    ) AS e
) AS log ON r.ordinal IS NOT NULL
WHERE r.id = ANY($1::bigint[])
ORDER BY r.id DESC
""")

_NEWEST_SEGMENT = """
SELECT r.id, s.agent_id FROM agent_run AS r JOIN agent_chat_session AS s ON s.id = r.session_id
WHERE s.tenant_id = $1 AND s.user_id = $2 AND s.thread_id = $3 AND r.run_id = $4
ORDER BY r.segment DESC LIMIT 1
"""


async def find_run(
    engine: AsyncEngine, principal: Principal, thread_id: str, run_id: str, default_agent: str | None
) -> int:
    """Return the row of the newest segment of a run of the caller.

    Raises:
        NotFound: The caller has no such thread, or the thread no such run.
    """
    rows = await fetch(engine, _NEWEST_SEGMENT, principal.tenant_id, principal.user_id, thread_id, run_id)
    if not rows or not principal.may_see(rows[0]["agent_id"] or default_agent):
        raise NotFound("No such run in this thread.")
    return rows[0]["id"]


async def read_facts(
    engine: AsyncEngine, run_pks: Sequence[int], *, hints_away: bool | None = None
) -> list[RunFacts]:
    """Return the facts of runs, newest first; runs that do not exist are left out.

    Args:
        engine: Of the database that is written: a copy of it knows less.
        run_pks: Rows of runs.
        hints_away: What is known of Redis.
    """
    rows = await fetch(engine, _FACTS, list(run_pks), WORKER_CONNECTION, _HEAD, NEWEST_EVENTS)
    newest = [row["session_id"] for row in rows if row["is_newest"]]
    calls = {
        counted["session_id"]: counted["calls"]
        for counted in (await fetch(engine, OPEN_CLIENT_CALL_COUNTS, newest) if newest else [])
    }
    return [_facts(row, hints_away, calls[row["session_id"]] if row["is_newest"] else 0) for row in rows]


def _facts(row: asyncpg.Record, hints_away: bool | None, client_tools: int) -> RunFacts:
    same = (
        "run_pk",
        "tenant_id",
        "user_id",
        "thread_id",
        "run_id",
        "status",
        "attempt",
        "released",
        "worker_id",
        "lease_until",
        "last_seq",
        "next_hint_at",
        "queue_deadline_at",
        "deadline_at",
        "cancel_requested_at",
        "error_code",
        "created_at",
        "started_at",
        "first_token_at",
        "ended_at",
        "place",
        "user_running",
    )
    return RunFacts(
        around=Surroundings(
            now=row["now"],
            queued=row["queued_runs"],
            running=row["running_runs"],
            workers=row["workers"],
            next_repair_at=row["next_repair_at"],
            store_started_at=row["store_started_at"],
            read_only=row["read_only"],
            hints_away=hints_away,
        ),
        agent_id=row["agent_id"] or row["thread_agent_id"],
        live=None if row["live_run_id"] is None else LiveRun(row["live_run_id"], row["live_status"]),
        questions=Questions(
            tuple(map(_question, json.loads(row["open_questions"] or "[]"))),
            row["expired"] or 0,
            row["resolved"] or 0,
        ),
        client_tools=client_tools,
        call=None
        if row["call_since"] is None
        else ModelCall(row["stage"], row["provider"], row["model"], row["call_since"]),
        progress=progress_of(json.loads(row["events"] or "[]")),
        **{name: row[name] for name in same},
    )


def _question(values: list[Any]) -> Question:
    interrupt_id, reason, tool, expires_at = values
    return Question(interrupt_id, reason, datetime.fromisoformat(expires_at), tool)


def progress_of(events: Sequence[Sequence[Any]]) -> Progress:
    """Return what the newest events of a run say, newest first: each its type, its time, and the begin of its text."""
    if not events:
        return Progress()
    newest, at, head = events[0]
    return Progress(
        last_at=datetime.fromisoformat(at),
        last_type=newest,
        tools=_open_tools(events),
        retry=_retry(head or "", datetime.fromisoformat(at)),
    )


def _retry(head: str, at: datetime) -> Retry | None:
    """Return the failed try that an event tells of. A later event means that the model answers, or the run went on."""
    if not head.startswith(_RETRYING):
        return None
    try:
        value = orjson.loads(head)["value"]
        return Retry(
            int(value["attempt"]), str(value["code"]), at, timedelta(milliseconds=int(value["delayMs"]))
        )
    except (ValueError, KeyError, TypeError, OverflowError):
        # Code of users may call its own events as it likes.
        return None


def _open_tools(events: Sequence[Sequence[Any]]) -> tuple[ToolCall, ...]:
    """Return the calls without a result, oldest first. A call begins once its end is in the log."""
    began: dict[str, datetime] = {}
    names: dict[str, str] = {}
    for type_, at, head in reversed(events):
        if not head or (call_id := _found(_TOOL_CALL_ID, head)) is None:
            continue
        if type_ == "TOOL_CALL_START":
            names[call_id] = _found(_TOOL_NAME, head) or ""
        elif type_ == "TOOL_CALL_RESULT":
            began.pop(call_id, None)
        elif type_ == "TOOL_CALL_END" or head.startswith(_TOOL_PROGRESS):
            began.setdefault(call_id, datetime.fromisoformat(at))
    return tuple(ToolCall(call_id, names.get(call_id) or None, at) for call_id, at in began.items())


def _found(pattern: re.Pattern[str], head: str) -> str | None:
    found = pattern.search(head)
    try:
        return None if found is None else str(orjson.loads(found[1]))
    except ValueError:
        return None
