"""What ``agentroute runs`` does: looks at runs in the database of the settings, stops them, queues them again.

Redis is told where the settings name one. Without it workers hear of a cancel, and find queued runs, within seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar, get_args

import typer
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from agentroute.command_database import with_engine
from agentroute.command_errors import read_settings
from agentroute.command_table import print_table
from agentroute.key_program import operator_name
from agentroute.terminal.harmless import harmless
from core.agentscope.events.owned_run import Publisher, StreamBatch
from core.agentscope.events.queries.run_diagnoses import RunDiagnoses, RunFilter
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.events.run_status import CANCELLED, QUEUED, UNENDED
from core.agentscope.events.why.causes import CAUSES
from core.agentscope.events.why.facts import Limits
from core.agentscope.events.why.texts import spoken
from core.agentscope.runtime.accept.gateway import AgentRunGateway
from core.agentscope.runtime.accept.operator_runs import OperatorRuns
from core.agentscope.runtime.hints import Hints, HintSender
from core.agentscope.schemas.agent_runtime import RunStatus
from core.agentscope.schemas.run_diagnosis import OperatorRunItem, OperatorRunResponse
from core.broker import create_broker
from core.config import Settings
from core.error_codes import known_codes
from core.gate import PoolGates
from core.redis_client import create_redis

_NAME = "agentroute-runs"
_PAGE = 200
_HEAD = ("ID", "TENANT/USER", "THREAD", "RUN", "STATUS", "CAUSE", "AGE", "TRIES", "WORKER")
_STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)

Result = TypeVar("Result")


def show_runs(
    *,
    statuses: Sequence[str],
    cause: str | None,
    thread_id: str | None,
    limit: int,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Print a table of runs, or a list of JSON."""
    for status in statuses:
        if status not in _STATUSES:
            _refuse(f"There is no status '{status}'. There are: {', '.join(_STATUSES)}.")
    if cause is not None and cause not in CAUSES and cause not in known_codes():
        _refuse(f"There is no cause '{cause}'. There are: {', '.join(CAUSES)}, and the codes of failures.")
    if thread_id is not None:
        wanted["tenant_id"] = wanted["tenant_id"] or "default"
    chosen: tuple[RunStatus, ...] = tuple(status for status in _STATUSES if status in statuses) or UNENDED
    asked = RunFilter(statuses=chosen, cause=cause, thread_id=thread_id, **wanted)

    async def all_of_them(reads: RunDiagnoses) -> list[OperatorRunItem]:
        found: list[OperatorRunItem] = []
        before: str | None = None
        while len(found) < limit:
            page = await reads.list_runs(asked, limit=min(_PAGE, limit - len(found)), before=before)
            found += page.runs
            if (before := page.next_before) is None:
                break
        return found

    found = _reading(all_of_them)
    if as_json:
        typer.echo(json.dumps([item.wire() for item in found], indent=2))
    elif not found:
        typer.echo(
            "There are no such runs." if statuses or cause else "No run is waiting, queued or running."
        )
    else:
        print_table([_HEAD, *map(_row, found)])


def show_run(row: int, *, as_json: bool) -> None:
    """Print everything that is known of a run."""
    found = _reading(lambda reads: reads.get_run(row, tenant_id=None))
    if as_json:
        typer.echo(json.dumps(found.wire(), indent=2))
        return
    wire = found.wire()
    why, around = wire.pop("why"), wire.pop("operatorEvidence")
    _print_why(found)
    for title, members in (("Run", wire), ("Evidence", why["evidence"]), ("Around it", around)):
        typer.echo(f"\n{title}")
        _print_members(members)


def explain_run(row: int, *, as_json: bool) -> None:
    """Print why a run is where it is."""
    found = _reading(lambda reads: reads.get_run(row, tenant_id=None))
    if as_json:
        typer.echo(json.dumps(found.why.wire(), indent=2))
    else:
        _print_why(found)


def cancel_run(row: int) -> None:
    """Stop a run."""
    status = _writing(lambda writes: writes.cancel(row, tenant_id=None, by=operator_name()))
    typer.echo(
        f"The run {row} is cancelled."
        if status == CANCELLED
        else f"The run {row} was asked to stop; it is {status} until then."
    )


def requeue_run(row: int) -> None:
    """Tell workers of a run again."""
    done = _writing(lambda writes: writes.requeue(row, tenant_id=None, by=operator_name()))
    typer.echo(
        f"Workers are told of the run {row} again."
        if done.was == QUEUED
        else f"The run {row} is queued again. The worker that had it writes nothing more of it."
    )


# --- the database ---


def _reading(work: Callable[[RunDiagnoses], Awaitable[Result]]) -> Result:
    settings = read_settings("database")

    async def run(engine: AsyncEngine) -> Result:
        # One look for all pages: a Redis that is silent costs its whole time limit.
        look = cache(lambda: asyncio.ensure_future(_redis_away(settings)))
        return await work(RunDiagnoses(engine, Limits.of(settings), hints_away=look))

    return with_engine(settings, run, _NAME)


def _writing(work: Callable[[OperatorRuns], Awaitable[Result]]) -> Result:
    settings = read_settings("database")

    async def run(engine: AsyncEngine) -> Result:
        async with _open_told(settings) as (hints, publisher):
            gateway = AgentRunGateway(
                engine,
                hints,
                publisher,
                PoolGates.of(settings.database),
                limits=settings.limits,
                worker=settings.worker,
            )
            return await work(OperatorRuns(engine, gateway, hints, settings.worker))

    return with_engine(settings, run, _NAME)


class _Nobody:
    """Tells nobody: where the settings name no Redis, workers and readers look by themselves."""

    async def send(self, run_pk: int, task_id: str) -> bool:
        return False

    async def cancel(self, run_pk: int) -> None:
        return

    def publish(self, batches: Sequence[StreamBatch]) -> None:
        return


@asynccontextmanager
async def _open_told(settings: Settings) -> AsyncIterator[tuple[Hints, Publisher]]:
    if not settings.redis.url.get_secret_value():
        yield _Nobody(), _Nobody()
        return
    async with AsyncExitStack() as resources:
        redis = create_redis(settings.redis)
        resources.push_async_callback(redis.aclose, close_connection_pool=True)
        broker = create_broker(settings.redis)
        await broker.startup()
        resources.push_async_callback(broker.shutdown)
        bus = RedisBus(redis, settings.redis)
        publishing = asyncio.create_task(bus.run(), name="bus")
        # Closed before the connections, so that the last events are sent.
        resources.push_async_callback(
            asyncio.wait, {publishing}, timeout=settings.redis.command_timeout_seconds
        )
        resources.push_async_callback(bus.close)
        yield HintSender(broker, redis, settings.redis), bus


async def _redis_away(settings: Settings) -> bool | None:
    if not settings.redis.url.get_secret_value():
        return None
    redis = create_redis(settings.redis)
    try:
        async with asyncio.timeout(settings.redis.command_timeout_seconds):
            await redis.execute_command("PING")
    except (RedisError, OSError):
        return True
    finally:
        await redis.aclose(close_connection_pool=True)
    return False


# --- what is shown ---


def _row(item: OperatorRunItem) -> tuple[str, ...]:
    return (
        str(item.id),
        f"{item.tenant_id}/{item.user_id}",
        item.thread_id,
        item.run_id,
        item.status,
        item.cause,
        spoken(timedelta(seconds=item.age_seconds)),
        str(item.attempt),
        item.worker_id or "-",
    )


def _print_why(found: OperatorRunResponse) -> None:
    why = found.why
    lines = [f"Run {found.id} ({why.run_id}) is {why.status}: {why.cause}", why.explanation]
    lines.append(f"For its user: {why.advice}")
    if found.operator_advice:
        lines.append(f"For you: {found.operator_advice}")
    if why.changes_at is not None:
        lines.append(f"By itself: at {why.changes_at:%Y-%m-%d %H:%M:%S} UTC at the latest.")
    typer.echo(harmless("\n".join(lines)))


def _print_members(members: dict[str, Any]) -> None:
    width = max(map(len, members), default=0)
    for name, value in members.items():
        told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        typer.echo(harmless(f"  {name.ljust(width)}  {told}"))


def _refuse(line: str) -> None:
    typer.echo(f"error: {line}", err=True)
    raise typer.Exit(2)
