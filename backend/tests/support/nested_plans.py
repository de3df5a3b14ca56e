"""How a database reads the tables inside its functions, triggers and checks of foreign keys, which EXPLAIN does not show.

Postgres itself can print the tree of every plan that it makes (``debug_print_plan``). ``auto_explain`` would print the same
in a nicer way, but the embedded Postgres has no extensions of that kind.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg
from tests.support.query_plans import Scan

_WAYS = {
    "SEQSCAN": "Seq Scan",
    "SAMPLESCAN": "Sample Scan",
    "INDEXSCAN": "Index Scan",
    "INDEXONLYSCAN": "Index Only Scan",
    "BITMAPINDEXSCAN": "Bitmap Index Scan",
}
_TOKEN = re.compile(r"[{}()]|(?:\\.|[^\s{}()\\])+", re.DOTALL)
_RELATIONS = "SELECT oid::text, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
# A statement in the body of a function in PL/pgSQL, unlike a word inside another statement.
_STATEMENT = re.compile(
    r"(?:;|\bBEGIN\b|\bTHEN\b|\bELSE\b|\bLOOP\b|\bRETURN QUERY)\s*(?:--[^\n]*\s*)*\b(SELECT|PERFORM|INSERT|UPDATE|DELETE|WITH)\b"
)
_LINE = re.compile(r"PL/pgSQL function (\w+)\([^)]*\) line (\d+) at")

_PRINTED = {"debug_print_plan": "on", "debug_pretty_print": "off", "client_min_messages": "log"}


class NestedScan(NamedTuple):
    """A scan, and in which statement of which function it is."""

    context: str
    scan: Scan


class Nested:
    """What a call planned."""

    def __init__(self) -> None:
        self.scans: list[NestedScan] = []
        self.lines: set[tuple[str, int]] = set()
        """Functions, and the lines of the statements that were planned."""

    @property
    def found(self) -> list[Scan]:
        return [nested.scan for nested in self.scans]


async def call(
    connection: asyncpg.Connection, *statements: tuple[str, Sequence[Any]], generic: bool
) -> tuple[list[asyncpg.Record], Nested]:
    """Execute statements, the last of which calls a function; nothing of what they do stays.

    Args:
        connection: Whose plans are forgotten first, so that each is made anew.
        statements: With their parameters.
        generic: Plan without the values of parameters, as Postgres does at the sixth call if it costs no more.

    Returns:
        The rows of the last statement, and how it read the tables.
    """
    nested, names = Nested(), dict(await connection.fetch(_RELATIONS))
    settings = _PRINTED | {"plan_cache_mode": "force_generic_plan" if generic else "force_custom_plan"}

    def note(_: object, message: Any) -> None:
        if message.message != "plan:":
            return
        context = message.context or ""
        nested.lines |= {(name, int(line)) for name, line in _LINE.findall(context)}
        tree = _tree(message.detail)
        nested.scans += [NestedScan(context, scan) for scan in _scans(tree, names)]

    *earlier, last = statements
    transaction = connection.transaction()
    await transaction.start()
    try:
        for statement, arguments in earlier:
            await connection.execute(statement, *arguments)
        await connection.execute("DISCARD PLANS")
        for name, value in settings.items():
            await connection.execute(f"SET LOCAL {name} = {value}")
        connection.add_log_listener(note)
        rows = await connection.fetch(last[0], *last[1])
    finally:
        await transaction.rollback()
        # The driver calls a listener from the event loop, in the order in which the messages came.
        await asyncio.sleep(0)
        connection.remove_log_listener(note)
    return rows, nested


async def statement_lines(connection: asyncpg.Connection, function: str) -> set[tuple[str, int]]:
    """Return the lines of a function at which a statement begins that reads or writes tables."""
    source: Any = await connection.fetchval("SELECT prosrc FROM pg_proc WHERE proname = $1", function)
    begins = [match.start(1) for match in _STATEMENT.finditer(source)]
    return {(function, source.count("\n", 0, place) + 1) for place in begins}


def _tree(text: str) -> dict[str, Any]:
    """Read a tree of nodes as Postgres prints it: ``{NODE :field value … :field ({NODE …} …)}``."""
    tokens = iter(_TOKEN.findall(text))

    def node() -> dict[str, Any]:
        made: dict[str, Any] = {"node": next(tokens)}
        values: list[Any] = []
        for token in tokens:
            if token == "}":
                return made
            if token.startswith(":"):
                values = made[token[1:].rpartition(".")[2]] = []
            else:
                values.append(node() if token == "{" else items() if token == "(" else token)
        raise AssertionError("the tree ends too early")

    def items() -> list[Any]:
        made: list[Any] = []
        for token in tokens:
            if token == ")":
                return made
            made.append(node() if token == "{" else items() if token == "(" else token)
        raise AssertionError("the tree ends too early")

    assert next(tokens) == "{"
    return node()


def _nodes(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        for value in part.values():
            yield from _nodes(value)
    elif isinstance(part, list):
        for value in part:
            yield from _nodes(value)


def _scans(tree: dict[str, Any], names: Mapping[str, str]) -> Iterator[Scan]:
    tables = [entry.get("relid", ["0"])[0] for entry in tree["rtable"][0] if isinstance(entry, dict)]
    for node in _nodes(tree):
        if node["node"] not in _WAYS:
            continue
        table = names.get(tables[int(node["scanrelid"][0]) - 1], "")
        index = names.get(node["indexid"][0]) if "indexid" in node else None
        # In the condition, a variable of the index (-3) is a column of the index.
        narrowed = any(
            part["node"] == "VAR" and part["varno"] == ["-3"] and part["varattno"] == ["1"]
            for part in _nodes(node.get("indexqual", []))
        )
        yield Scan(table, _WAYS[node["node"]], index, narrowed=narrowed)
