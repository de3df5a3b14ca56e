"""No statement of the service reads a whole table: not of a run's way, not of a list, not of a background loop.

Nor does a statement inside a function or a trigger of the database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import orjson
import pytest
from tests.support.nested_plans import NestedScan, call, statement_lines
from tests.support.query_plans import Scan, grow, scans, statements_noted
from tests.support.scratch_databases import ScratchDatabases
from tests.support.stack import OpenStack, Stack
from tests.support.whole_service import do_everything, sections_for_everything

from agentroute.metrics.store_gauges import STORE_GAUGES, StoreFigures
from core.identity import Principal
from models import AgentRun

ADA = Principal("default", "ada")
RUNS = 4000
"""Of other users, so that a plan which reads a whole table costs more than one by an index."""
# What is left has a dozen rows at most: as many endpoints as the settings name, as many parts as the log has.
LARGE = set(AgentRun.metadata.tables) - {
    "agent_chore",
    "agent_epoch",
    "agent_log_part",
    "agent_webhook_endpoint",
}
COUNTS = {"agent_stored_user", "agent_stored_tenant"}
"""Written by statements, read only inside a function."""
UNDER_WAY = {
    "uq_agent_run_live",
    "ix_agent_run_unended",
    "ix_agent_run_owner_unended",
    "ix_agent_interrupt_open",
    "ix_agent_chat_session_unpruned",
    "ix_agent_file_unsettled",
    "pk_agent_stored_change",
    "ix_agent_webhook_message_due",
    "ix_agent_webhook_message_failed",
    "ix_agent_schedule_fire_pending",
}
"""Indexes over what is under way. Background loops read all of it, however much there has been before."""


@pytest.fixture(scope="module")
async def grown(databases: ScratchDatabases) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database with many rows."""
    with databases.migrated() as url:
        await grow(url, RUNS)
        connection = await asyncpg.connect(url)
        yield connection
        await connection.close()


@pytest.fixture(scope="module")
async def sent(
    grown: asyncpg.Connection,
    open_stack: OpenStack,
    databases: ScratchDatabases,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Sequence[Any]]:
    """Everything that a service sends which does all that it can do."""
    folder = tmp_path_factory.mktemp("files")
    with statements_noted() as noted, databases.migrated() as url:
        async with open_stack(
            database_url=url,
            **sections_for_everything(folder),
        ) as stack:
            await do_everything(stack)
            await _figures(stack)
    return noted


async def _figures(stack: Stack) -> None:
    """What a process reads for its metrics."""
    figures = StoreFigures(stack.settings.database)
    assert set(await figures.read()) == {each.gauge for each in STORE_GAUGES}
    await figures.aclose()


def whole(found: list[Scan]) -> list[Scan]:
    """Return the scans that read a whole table, or a whole index of one."""
    return [scan for scan in found if scan.table in LARGE and not (scan.narrowed or scan.index in UNDER_WAY)]


async def test_no_statement_reads_a_whole_table(
    sent: dict[str, Sequence[Any]], grown: asyncpg.Connection
) -> None:
    faults: dict[str, list[Scan]] = {}
    read: set[str] = set()
    for statement, arguments in sent.items():
        found = await scans(grown, statement, arguments)
        read |= {scan.table for scan in found}
        if wrong := whole(found):
            faults[statement] = wrong

    assert faults == {}
    # The service did what it can do: every table was read.
    assert read >= LARGE - COUNTS


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM agent_run WHERE worker_id = 'w'",
        "SELECT FROM agent_run_event WHERE seq = 1",
        "SELECT count(*) FROM agent_chat_message",
        "DELETE FROM agent_model_call WHERE call_id = 'c'",
        # The clock goes on while the statement runs, so no index can be entered by it.
        "SELECT FROM agent_interrupt WHERE status = 'open' AND expires_at < clock_timestamp()",
    ],
)
async def test_a_statement_that_does_is_found(statement: str, grown: asyncpg.Connection) -> None:
    assert whole(await scans(grown, statement, ()))


async def test_a_search_looks_at_each_thread_once_whatever_the_planner_expects(
    sent: dict[str, Sequence[Any]], grown: asyncpg.Connection
) -> None:
    searches = [found for found in sent.items() if "agent_search_words(" in found[0]]
    assert searches
    for statement, arguments in searches:
        plan = await grown.fetch(f"EXPLAIN {statement}", *arguments)
        assert {"CTE words", "CTE mine", "CTE found"} <= {row[0].strip() for row in plan}


async def test_every_foreign_key_has_an_index(grown: asyncpg.Connection) -> None:
    # Without one, deleting a row reads the whole table that refers to it. A partial index serves only what is not null.
    rows = await grown.fetch("""
        SELECT k.conrelid::regclass || ': ' || pg_get_constraintdef(k.oid) AS key FROM pg_constraint AS k
        WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_index AS i WHERE i.indrelid = k.conrelid AND i.indpred IS NULL AND i.indisvalid
                AND (SELECT array_agg(c ORDER BY c) FROM unnest(k.conkey) AS c) = (
                    SELECT array_agg(c ORDER BY c) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u(c, place)
                    WHERE place <= cardinality(k.conkey)))
    """)

    assert [row["key"] for row in rows] == []


# --- inside functions ----------------------------------------------------------------------

Statement = tuple[str, Sequence[Any]]


async def _call_of(
    sent: dict[str, Sequence[Any]], connection: asyncpg.Connection, function: str, **other: Any
) -> Statement:
    """Return the service's statement that calls a function, with other values of some parameters."""
    # That of a run with a trace calls the same function with the same arguments.
    [(statement, arguments)] = [
        found for found in sent.items() if f"{function}(" in found[0] and "set_config" not in found[0]
    ]
    names: Any = await connection.fetchval(
        "SELECT proargnames[:pronargs] FROM pg_proc WHERE proname = $1", function
    )
    # The end of a run saves the agent's state by another function, whose own parameters follow.
    values = dict(zip(names, arguments[: len(names)], strict=True))
    assert values.keys() >= other.keys()
    return statement, [*(values | other).values(), *arguments[len(names) :]]


async def _acceptance(
    sent: dict[str, Sequence[Any]], connection: asyncpg.Connection, *, is_new: bool
) -> Statement:
    """Return a request for a run: in a new thread, or in one of those that have grown."""
    thread: Any = await connection.fetchrow("""
        SELECT s.user_id, s.thread_id, array_agg(m.message_id) AS messages
        FROM agent_chat_session AS s JOIN agent_chat_message AS m ON m.session_id = s.id
        WHERE s.id % 4 = 2 GROUP BY s.id ORDER BY s.id DESC LIMIT 1
    """)
    known = [] if is_new else thread["messages"]
    return await _call_of(
        sent,
        connection,
        "agent_accept_usual_run",
        p_tenant="local",
        p_user=thread["user_id"],
        p_thread="new" if is_new else thread["thread_id"],
        p_run="new",
        p_key="new",
        p_message_id="new",
        p_state="{}",
        p_sent_ids=[*known, "new"],
        p_known_ids=known,
        p_not_behind=True,
        p_max_queued=1_000_000,
        p_max_unended=1_000_000,
    )


async def _end(sent: dict[str, Sequence[Any]], connection: asyncpg.Connection) -> list[Statement]:
    """Return the end of a run that has grown; one of its two messages is in history already."""
    run: Any = await connection.fetchrow("""
        SELECT r.id, r.session_id, r.ordinal, r.attempt, r.last_seq, min(m.message_id) AS known
        FROM agent_run AS r JOIN agent_chat_message AS m USING (session_id)
        WHERE r.id = (SELECT max(id) FROM agent_run WHERE status = 'running') GROUP BY r.id
    """)
    messages = [
        {
            "place": place,
            "message_id": name,
            "role": "assistant",
            "content": "Hello",
            "incomplete": False,
            "imported": False,
        }
        for place, name in enumerate(["new", run["known"]])
    ]
    end = await _call_of(
        sent,
        connection,
        "agent_end_usual",
        p_run=run["id"],
        p_session=run["session_id"],
        p_ordinal=run["ordinal"],
        p_attempt=run["attempt"],
        p_messages=orjson.dumps(messages).decode(),
        p_version="2",
        p_checkpoint="{}",
        p_client_calls=[],
    )
    # Whoever ends it has written all of its events.
    end = (end[0], [*end[1][:-1], run["last_seq"]])
    # The run has grown with its end, and holds a part of a budget.
    without = ("DELETE FROM user_budget_reservation WHERE run_pk = $1", [run["id"]])
    unended = (
        "DELETE FROM agent_run_event WHERE (session_id, ordinal) = ($1, $2)",
        [run["session_id"], run["ordinal"]],
    )
    return [without, unended, end]


@pytest.fixture(scope="module")
async def calls(sent: dict[str, Sequence[Any]], grown: asyncpg.Connection) -> list[list[Statement]]:
    """For each case of the functions, a call that comes to its end."""
    return [
        [await _acceptance(sent, grown, is_new=True)],
        [await _acceptance(sent, grown, is_new=False)],
        await _end(sent, grown),
        [("SELECT agent_stored('local', 'more-1'), agent_stored('tenant-1', NULL)", [])],
    ]


@pytest.mark.parametrize("generic", [False, True], ids=["with values", "generic"])
async def test_no_statement_inside_a_function_reads_a_whole_table(
    calls: list[list[Statement]], grown: asyncpg.Connection, generic: bool
) -> None:
    faults: list[NestedScan] = []
    lines: set[tuple[str, int]] = set()
    for statements in calls:
        rows, nested = await call(grown, *statements, generic=generic)
        assert rows
        faults += [found for found in nested.scans if whole([found.scan])]
        lines |= nested.lines

    assert faults == []
    # And every statement was planned.
    for function in ("agent_accept_usual_run", "agent_end_usual", "agent_save_state", "agent_stored"):
        assert await statement_lines(grown, function) - lines == set()


@pytest.mark.parametrize(
    ("index", "place"),
    [
        ("uq_agent_run_tenant_id_user_id_idempotency_key_segment", 0),
        ("ix_user_budget_reservation_run_pk", 2),
    ],
)
async def test_a_statement_inside_a_function_that_lost_its_index_is_found(
    calls: list[list[Statement]], grown: asyncpg.Connection, index: str, place: int
) -> None:
    dropped: Any = await grown.fetchval(
        """SELECT coalesce(
            (SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
            FROM pg_constraint WHERE conname = $1), format('DROP INDEX %I', $1::text))""",
        index,
    )

    _, nested = await call(grown, (dropped, ()), *calls[place], generic=False)

    assert whole(nested.found)
