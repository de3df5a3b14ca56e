"""The rules of a run's life, and that nobody else knows them by heart."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import CheckConstraint, Table

from core.agentscope.events import interrupt_status
from core.agentscope.events.event_types import TERMINAL_TYPES
from core.agentscope.events.run_end import RunEnd
from core.agentscope.events.run_status import (
    ENDED,
    FIRST,
    LIVE,
    OUTCOME_STATUS,
    QUEUED,
    RUNNING,
    TERMINAL_STATUSES,
    TRANSITIONS,
    UNENDED,
    WAITING,
    EndStatus,
    LiveStatus,
    may_become,
)
from core.agentscope.events.status_sql import status_sql
from core.agentscope.schemas.agent_runtime import RunStatus
from core.agentscope.schemas.internal_events import RunOutcome
from models import AgentInterrupt, AgentRun, AgentRunEvent
from models.base import Base

STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)
SRC = Path(__file__).parents[5] / "src"

# --- the rules ---


def test_every_status_is_unended_or_an_end() -> None:
    assert sorted((*UNENDED, *ENDED)) == sorted(STATUSES)
    assert set(LIVE) < set(UNENDED)
    assert set(TRANSITIONS) == set(STATUSES)
    assert get_args(EndStatus) == ENDED
    assert get_args(LiveStatus) == LIVE


@pytest.mark.parametrize("end", ENDED)
def test_an_end_is_final(end: RunStatus) -> None:
    assert not any(may_become(end, status) for status in STATUSES)


def test_only_a_running_run_goes_back_and_only_to_the_queue() -> None:
    life = (*UNENDED, *ENDED)
    back = [
        (before, after)
        for before in UNENDED
        for after in STATUSES
        if may_become(before, after) and life.index(after) < life.index(before)
    ]

    assert back == [(RUNNING, QUEUED)]


def test_every_status_is_reached() -> None:
    reached = set(FIRST)
    for _ in STATUSES:
        reached |= {after for before in reached for after in TRANSITIONS[before]}

    assert reached == set(STATUSES)


@given(st.lists(st.sampled_from(STATUSES)), st.sampled_from(FIRST))
def test_a_run_that_has_ended_stays_as_it_is_whatever_is_asked(
    asked: list[RunStatus], first: RunStatus
) -> None:
    life: list[RunStatus] = [first]
    for status in asked:
        if may_become(life[-1], status):
            life.append(status)

    assert not any(status in ENDED for status in life[:-1])
    assert life[-1] in ENDED or TRANSITIONS[life[-1]]


@pytest.mark.parametrize("before", LIVE)
@pytest.mark.parametrize("end", ENDED)
def test_a_run_ends_only_as_the_rules_allow(before: LiveStatus, end: EndStatus) -> None:
    def write() -> RunEnd:
        return RunEnd(status=end, events=[], messages=[], from_status=before)

    if may_become(before, end):
        assert write().status == end
    else:
        with pytest.raises(ValueError, match=f"{before} cannot end as {end}"):
            write()


def test_each_end_has_one_terminal_event() -> None:
    meant = [status for statuses in TERMINAL_STATUSES.values() for status in statuses]

    assert sorted(meant) == sorted(ENDED)
    assert set(TERMINAL_STATUSES) == TERMINAL_TYPES
    assert set(OUTCOME_STATUS) == set(get_args(RunOutcome))


# --- the tables say the same ---


def predicates(table: type[Base]) -> Iterator[tuple[str, str]]:
    """Yield the names and conditions of a table's constraints and partial indexes."""
    described = table.__table__
    assert isinstance(described, Table)
    for constraint in described.constraints:
        if isinstance(constraint, CheckConstraint):
            yield str(constraint.name), str(constraint.sqltext)
    for index in described.indexes:
        if (condition := index.dialect_options["postgresql"]["where"]) is not None:
            yield str(index.name), str(condition)


def test_the_tables_constraints_and_indexes_name_the_same_statuses() -> None:
    runs = dict(predicates(AgentRun))

    assert set(re.findall(r"'(\w+)'", runs["ck_agent_run_status"])) == set(STATUSES)
    assert runs["ck_agent_run_ended"] == status_sql("(status IN {ended}) = (ended_at IS NOT NULL)")
    assert runs["ck_agent_run_lease"] == status_sql("(status = {running}) = (lease_until IS NOT NULL)")
    assert runs["ck_agent_run_ordinal"] == status_sql("(status = {waiting}) = (ordinal IS NULL)")
    assert runs["uq_agent_run_live"] == status_sql("status IN {live}")
    assert runs["ix_agent_run_unended"] == status_sql("status IN {unended}")
    assert runs["ix_agent_run_owner_unended"] == status_sql("status IN {unended}")
    interrupts = dict(predicates(AgentInterrupt))
    assert re.findall(r"'(\w+)'", interrupts["ck_agent_interrupt_status"]) == list(interrupt_status.ALL)
    assert interrupts["ix_agent_interrupt_open"] == status_sql("status = {open_interrupt}")


def test_the_index_of_terminal_events_names_the_same_types() -> None:
    conditions = [condition for _, condition in predicates(AgentRunEvent) if "RUN_ERROR" in condition]

    assert [set(re.findall(r"'(\w+)'", condition)) for condition in conditions] == [TERMINAL_TYPES]


# --- statements move a run only as the rules allow ---


def templates() -> Iterator[str]:
    """Yield each template of SQL in the product."""
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            match node:
                case ast.Call(
                    func=ast.Name(id="status_sql" | "status_text"), args=[ast.Constant(value=str(sql))]
                ):
                    yield sql
                case _:
                    pass


def step(sql: str) -> tuple[str, str] | None:
    """Return the status that a statement asks for and the one it writes; ``None`` when it writes none to a run."""
    update = re.search(r"UPDATE agent_run\b.*?\bSET\b(.*?)(?:\bFROM\b|\bWHERE\b)(.*)", sql, re.DOTALL)
    written = update and re.search(r"\bstatus = \{(\w+)\}", update[1])
    if not update or not written:
        return None
    # What the row must be is said by the statement, or by the CTE that chose it.
    asked = re.search(r"\bstatus = \{(\w+)\}", update[2]) or re.search(
        r"\bstatus = \{(\w+)\}", sql[: update.start()]
    )
    return (asked[1] if asked else "", written[1])


def test_every_statement_that_sets_a_status_says_from_which_and_the_rules_allow_it() -> None:
    steps = [taken for sql in templates() if (taken := step(sql))]

    # Two statements give a run back to the queue: its worker's, and that for a worker that is lost.
    assert sorted(steps) == [(QUEUED, RUNNING), (RUNNING, QUEUED), (RUNNING, QUEUED), (WAITING, QUEUED)]
    assert all(may_become(before, after) for before, after in steps)  # pyright: ignore[reportArgumentType]  words from the source


# --- nobody else writes a status as a literal ---

ALLOWED = {
    "agentroute/embedded/control.py": "the state of a process of this machine, not of a run",
    "core/agentscope/events/run_status.py": "the one place",
    "core/agentscope/schemas/agent_runtime.py": "the public type; a test above compares it",
    "models/agent_run.py": "imports nothing; a test above compares its constraints",
    "models/agent_interrupt.py": "imports nothing; a test above compares its constraints",
}
UNMISTAKABLE = {"waiting", "queued", "running"}
"""No other vocabulary of the product has these words."""
WORDS = {*STATUSES, "open", "expired"}
IN_SQL = re.compile(rf"\bstatus\s*(?:=|<>|!=|IN)\s*\(?\s*'(?:{'|'.join(WORDS)})'", re.IGNORECASE)


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the statuses that a module writes out: alone, beside something named status, or in SQL."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(value), lineno=line):
                if value in UNMISTAKABLE or IN_SQL.search(value):
                    yield line, value
            case ast.Compare(left=left, comparators=others) if any(map(is_status, (left, *others))):
                yield from words(node)
            case ast.Assign(targets=targets, value=value) if any(map(is_status, targets)):
                yield from words(value)
            case ast.AnnAssign(target=target, value=ast.expr() as value) if is_status(target):
                yield from words(value)
            case ast.keyword(arg=str(name), value=value) if name.endswith("status"):
                yield from words(value)
            case ast.FunctionDef(returns=returns) | ast.AsyncFunctionDef(returns=returns) if is_run_status(
                returns
            ):
                yield from (
                    found
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Return)
                    for found in words(inner)
                )
            case _:
                pass


def is_status(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name.endswith("status")
        case _:
            return False


def is_run_status(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Name) and node.id in ("RunStatus", "EndStatus", "LiveStatus")


def words(node: ast.AST) -> Iterator[tuple[int, str]]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and inner.value in WORDS:
            yield inner.lineno, str(inner.value)


def test_no_other_file_writes_a_status_as_a_literal() -> None:
    found = {
        f"{name}:{line}: {value!r}"
        for path in SRC.rglob("*.py")
        if (name := path.relative_to(SRC).as_posix()) not in ALLOWED
        for line, value in literals(ast.parse(path.read_bytes()))
    }

    assert found == set()


def test_no_file_is_allowed_without_need() -> None:
    assert [name for name in ALLOWED if not list(literals(ast.parse((SRC / name).read_bytes())))] == []


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("x = 'running'", True),
        ("text(\"UPDATE agent_run SET status = 'failed'\")", True),
        ("text(\"SELECT 1 FROM agent_run WHERE status IN ('succeeded')\")", True),
        ("run.status == 'cancelled'", True),
        ("run.status not in ('failed', x)", True),
        ("run.status = 'interrupted' if x else y", True),
        ("f(status='failed')", True),
        ("def f() -> RunStatus:\n    return 'cancelled'", True),
        ("RunFinished(outcome='cancelled')", False),
        ("entry.status == 'resolved'", False),
        ("'''A run that is running.'''", False),
        ("outcome = 'failed'", False),
    ],
)
def test_the_scan_sees_statuses_and_nothing_else(source: str, seen: bool) -> None:
    assert bool(list(literals(ast.parse(source)))) is seen
