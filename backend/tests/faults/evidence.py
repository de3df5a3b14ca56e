"""What is left after a test: the tables at rest, and what clients, model and tools wrote down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import asyncpg
import orjson
from tests.faults.launcher import SECRET, Plot, eventually
from tests.support.limits import HUNG_SECONDS

Line = dict[str, Any]

_RUNS = """
SELECT r.id AS pk, r.session_id, s.thread_id, r.tenant_id AS tenant, r.user_id AS user, r.run_id, r.segment,
    r.ordinal, r.status, r.attempt, r.released, r.last_seq, r.error_code, r.worker_id, r.idempotency_key AS key, r.input,
    r.input_tokens, r.output_tokens,
    extract(epoch FROM r.created_at)::float8 AS created_at, extract(epoch FROM r.started_at)::float8 AS started_at,
    extract(epoch FROM r.ended_at)::float8 AS ended_at
FROM agent_run AS r JOIN agent_chat_session AS s ON s.id = r.session_id ORDER BY r.id
"""
_EVENTS = """
SELECT session_id, ordinal, seq, attempt, type, payload, extract(epoch FROM created_at)::float8 AS created_at
FROM agent_run_event ORDER BY session_id, ordinal, seq
"""
_MESSAGES = """
SELECT session_id, position, ordinal, message_id AS id, role, content, tool_calls, tool_call_id, incomplete
FROM agent_chat_message ORDER BY session_id, position
"""
_CALLS = (
    "SELECT run_pk, call_id, stage, input_tokens, output_tokens, estimated FROM agent_model_call ORDER BY id"
)
_INTERRUPTS = (
    "SELECT session_id, run_pk, interrupt_id, status, resolved_by_run_pk FROM agent_interrupt ORDER BY id"
)
_UNENDED = "SELECT run_id, status, attempt FROM agent_run WHERE ended_at IS NULL"
_IDLE = """
SELECT count(*) AS n FROM pg_stat_activity
WHERE datname = current_database() AND state LIKE 'idle in transaction%'
"""


@dataclass
class Evidence:
    """Everything the checker looks at; lines as in the ``*.jsonl`` files of the same names."""

    runs: list[Line] = field(default_factory=list)
    events: list[Line] = field(default_factory=list)
    messages: list[Line] = field(default_factory=list)
    calls: list[Line] = field(default_factory=list)
    interrupts: list[Line] = field(default_factory=list)
    accepted: list[Line] = field(default_factory=list)
    reader: list[Line] = field(default_factory=list)
    http: list[Line] = field(default_factory=list)
    llm: list[Line] = field(default_factory=list)
    tool: list[Line] = field(default_factory=list)
    faults: list[Line] = field(default_factory=list)
    """``{kind, node, pid, since, until}``; times are seconds since the epoch."""
    rest: list[Line] = field(default_factory=list)
    """``{what, found}``: things that must not exist once everything is quiet."""

    def save(self, directory: Path) -> None:
        """Write one file a list."""
        directory.mkdir(parents=True, exist_ok=True)
        for part in fields(self):
            lines: Iterable[Line] = getattr(self, part.name)
            (directory / f"{part.name}.jsonl").write_bytes(
                b"".join(orjson.dumps(line) + b"\n" for line in lines)
            )

    def copy(self) -> Self:
        """Return evidence with the same lines, to add others to."""
        return type(self)(**{part.name: list(getattr(self, part.name)) for part in fields(self)})

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote."""
        return cls(
            **{
                part.name: [
                    orjson.loads(line)
                    for line in (directory / f"{part.name}.jsonl").read_bytes().splitlines()
                ]
                for part in fields(cls)
            }
        )


async def at_rest(plot: Plot, seconds: float) -> list[Line]:
    """Wait until every run has ended; returns those that have not when the time is over."""

    async def ended() -> bool:
        return not await unended(plot)

    try:
        await eventually(ended, seconds)
    except TimeoutError:
        return await unended(plot)
    return []


async def unended(plot: Plot) -> list[Line]:
    """Return the runs that have not ended."""
    return [dict(row) for row in await plot.fetch(_UNENDED)]


async def collect(plot: Plot, evidence: Evidence) -> Evidence:
    """Add the tables of a service at rest, its tools' and its model's lines."""
    tables = {
        "runs": _RUNS,
        "events": _EVENTS,
        "messages": _MESSAGES,
        "calls": _CALLS,
        "interrupts": _INTERRUPTS,
    }
    connection = await asyncpg.connect(plot.database_url, timeout=HUNG_SECONDS)
    try:
        # One moment for all of them: a worker that lost its run may still be booking its last model call.
        async with connection.transaction(isolation="repeatable_read"):
            for name, sql in tables.items():
                getattr(evidence, name).extend(dict(row) for row in await connection.fetch(sql))
    finally:
        await connection.close()
    for message in evidence.messages:
        for column in ("content", "tool_calls"):
            if isinstance(message[column], str):
                message[column] = orjson.loads(message[column])
    run_ids = {run["run_id"] for run in evidence.runs} | {line["run_id"] for line in evidence.accepted}
    evidence.llm.extend(line for line in plot.ground.model_lines if line["run_id"] in run_ids)
    evidence.tool.extend(plot.tool_lines())
    evidence.rest.extend(await _leftovers(plot))
    return evidence


async def _leftovers(plot: Plot) -> list[Line]:
    found: list[Line] = []

    async def none_idle() -> bool:
        return (await plot.fetch(_IDLE))[0]["n"] == 0

    try:
        # A short transaction may be open at any one moment; one that stays open may not.
        await eventually(none_idle)
    except TimeoutError:
        found.append({"what": "idle in transaction", "found": plot.name})
    async with plot.redis() as redis:
        async for key in redis.scan_iter(match=f"{plot.key_prefix}:*"):
            name: str = key.decode()
            if await redis.ttl(key) == -1 and not name.endswith(":hints"):
                found.append({"what": "redis key without expiry", "found": name})
    secrets = {"signing secret": SECRET, "database password": plot.database_url.split(":")[2].split("@")[0]}
    for node in plot.nodes:
        text = node.log_path.read_text(errors="replace") if node.log_path.exists() else ""
        for kind, secret in secrets.items():
            if secret in text:
                found.append({"what": f"{kind} in a log", "found": node.name})
    for name, secret in secrets.items():
        rows = await plot.fetch(
            "SELECT 1 FROM agent_run_event WHERE position($1 in payload) > 0 LIMIT 1", secret
        )
        if rows:
            found.append({"what": f"{name} in an event", "found": ""})
    return found
