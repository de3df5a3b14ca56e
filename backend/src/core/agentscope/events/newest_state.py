"""Where the newest state of a thread's agent is: in one of two tables.

``agent_checkpoint`` has the states of versions that stored them whole. A thread may have states in both, in any order
(docs/adr/0036). A state counts only if its run was not replaced.
"""

from __future__ import annotations

from collections.abc import Sequence


def newest_state(
    session: str,
    columns: Sequence[str] = (),
    whole_columns: Sequence[str] | None = None,
    *,
    only: str = "true",
) -> str:
    """Return a query for the newest state of a thread: its ``ordinal``, and columns. It has one row or none.

    Args:
        session: SQL of the thread's row id.
        columns: SQL of further columns; the state is ``c``.
        whole_columns: The same for a state that was stored whole, where it differs.
        only: SQL of a condition for the states that are looked at.
    """
    tables = {"agent_state": columns, "agent_checkpoint": columns if whole_columns is None else whole_columns}
    either = " UNION ALL ".join(
        f"""(
        SELECT {", ".join(["c.ordinal", *read])} FROM {table} AS c JOIN agent_run AS r ON r.id = c.run_pk
        WHERE c.session_id = {session} AND r.replaced_by_ordinal IS NULL AND {only}
        ORDER BY c.ordinal DESC LIMIT 1)"""  # noqa: S608  the parts are constants of our own modules
        for table, read in tables.items()
    )
    return f"SELECT * FROM ({either}) AS either ORDER BY either.ordinal DESC LIMIT 1"  # noqa: S608  as above
