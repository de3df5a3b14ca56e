"""Decides whether this version of the code can use the schema that a database has. See docs/adr/0021.

A deployment migrates first and replaces the processes of the version before afterwards, so a process must go on with a
schema that is newer than its own revision, if that schema is compatible with it. The database says so: beside its
revision stands ``compatible_from``, the oldest revision whose code can use the schema. A version knows the revisions up
to its own. So it can use the schema if it knows ``compatible_from``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import asyncpg

from core.postgres_connection import open_connection

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

Verdict = Literal["current", "newer", "behind", "incompatible"]
"""``newer``: newer than this version, and compatible with it. ``incompatible``: newer, and not."""

FIRST_REVISION = "0013"
"""From this revision on, ``alembic_version`` has the column ``compatible_from``."""

# In one statement, also before the column exists.
STATE_SQL = (
    "SELECT version_num, to_jsonb(v) ->> 'compatible_from' AS compatible_from FROM alembic_version AS v"
)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What a database says of its schema."""

    revision: str | None = None
    """None before the first migration."""
    compatible_from: str | None = None


class Schema:
    """The schema of this version.

    Args:
        known: The revisions up to this version's own, oldest first.
    """

    def __init__(self, known: Sequence[str]) -> None:
        self._known = frozenset(known)
        self.revision = known[-1] if known else None
        """The revision this version brings."""

    def judge(self, found: SchemaState) -> Verdict:
        """Say whether this version can use a database."""
        if found.revision == self.revision:
            return "current"
        if found.revision is None or found.revision in self._known:
            return "behind"
        return "newer" if found.compatible_from in self._known else "incompatible"


def schema() -> Schema:
    """Return the schema that this version brings.

    The names of the migrations tell it. Alembic takes longer to import than everything else a start does with it, and
    most starts have nothing to migrate.
    """
    return Schema(
        sorted(path.name.split("_")[1] for path in migrations_directory().glob("versions/*_*_*.py"))
    )


def migrations_directory() -> Path:
    """The ``alembic`` directory: inside the package in a wheel, beside ``src`` in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "alembic"
    return installed if (installed / "env.py").is_file() else package.parents[1] / "alembic"


async def read_state(connection: asyncpg.Connection) -> SchemaState:
    """Return what a database says of its schema, on a connection without a transaction."""
    try:
        row = await connection.fetchrow(STATE_SQL)
    except asyncpg.UndefinedTableError:
        return SchemaState()
    return SchemaState() if row is None else SchemaState(*row)


async def find_state(dsn: str, *, seconds: float = 10.0) -> SchemaState:
    """Return what a database says of its schema.

    Args:
        dsn: Address in asyncpg's form.
        seconds: Limit of the connection, and of the question.

    Raises:
        OSError: The server does not answer.
        asyncpg.PostgresError: The server refuses the connection.
    """
    connection = await open_connection(
        dsn, application_name="agentroute-check", connect_seconds=seconds, statement_seconds=seconds
    )
    try:
        return await read_state(connection)
    finally:
        await connection.close()


def compatible_from(scripts: ScriptDirectory, revision: str) -> str | None:
    """Return the oldest revision whose code can use the schema of ``revision``.

    Each migration says it for its own step, and the newest of these counts: a later migration does not give back what
    an earlier one took. A migration that says nothing can only be used by its own version.

    Returns:
        None for revisions that cannot record it.
    """
    steps = list(scripts.iterate_revisions(revision, "base"))  # newest first
    order = [script.revision for script in steps]
    if FIRST_REVISION not in order:
        return None
    said = [str(getattr(script.module, "compatible_from", script.revision)) for script in steps]
    return min(said, key=order.index)
