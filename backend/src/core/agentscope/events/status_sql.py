"""SQL that names statuses: ``{queued}`` and ``{live}`` in braces, in place of literals that no tool checks.

The statement has literals all the same, not parameters: Postgres uses a partial index only when the statement itself
implies the index's condition.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, get_args

from sqlalchemy import TextClause, text

from core.agentscope.events import interrupt_status
from core.agentscope.events.run_status import ENDED, LIVE, UNENDED
from core.agentscope.schemas.agent_runtime import RunStatus


def status_sql(template: str) -> str:
    """Return SQL with the names in braces replaced.

    Args:
        template: SQL with ``{queued}`` (and so on) for a run's status, ``{live}``, ``{unended}`` or ``{ended}`` for a
            list after ``IN``, and ``{open_interrupt}`` (and so on) for an interrupt's status.

    Raises:
        KeyError: There is no such name.
    """
    return template.format_map(_NAMES)


def status_text(template: str) -> TextClause:
    """Return :func:`status_sql` as a statement of SQLAlchemy."""
    return text(status_sql(template))


def _list(statuses: Iterable[str]) -> str:
    return f"({', '.join(map(_literal, statuses))})"


def _literal(status: str) -> str:
    return f"'{status}'"


_NAMES: Final = {
    **{status: _literal(status) for status in get_args(RunStatus)},
    **{f"{status}_interrupt": _literal(status) for status in interrupt_status.ALL},
    "live": _list(LIVE),
    "unended": _list(UNENDED),
    "ended": _list(ENDED),
}
