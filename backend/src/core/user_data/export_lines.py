"""The lines of an export: which tables they come from, and which columns. Written by ``export``, read by ``importer``.

A line is one JSON object with ``type``. Its other members are the columns of the model, in camelCase, without those of
:data:`LEFT_OUT`: a new column is exported and imported by itself. Postgres writes and reads the JSON, so no number and
no text changes on the way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from models import (
    AgentChatMessage,
    AgentChatSession,
    AgentConnection,
    AgentFile,
    AgentInterrupt,
    AgentMemory,
    AgentModelCall,
    AgentRun,
    AgentSchedule,
    AgentScheduleFire,
    AgentTranscription,
)
from models.base import Base

FORMAT = "agentroute-export"
VERSION = 2
"""2: schedules and their fires. 1: without."""
READABLE = frozenset({1, VERSION})
"""The versions that an import reads."""
MANIFEST, END = "manifest", "end"
FILE_USE, FILE_BYTES, FILE_MISSING = "file-use", "file-bytes", "file-missing"

_OWNER = ("id", "tenant_id", "user_id")
LEFT_OUT: Mapping[type[Base], Collection[str]] = {
    # What only the log of events needs, which is not exported.
    AgentChatSession: (*_OWNER, "pruned_ordinal"),
    # What a worker needs while the run lives.
    AgentRun: (
        *_OWNER,
        *("session_id", "task_id", "front", "attempt", "released", "worker_id", "lease_until", "last_seq"),
        *("next_hint_at", "queue_deadline_at", "deadline_at", "cancel_requested_at", "trace_context"),
        # Where this deployment keeps the log.
        "log_part",
    ),
    AgentChatMessage: ("id", "session_id", "search"),
    AgentInterrupt: ("id", "session_id", "run_pk", "resolved_by_run_pk"),
    # An imported file is kept as long as one that is uploaded then.
    AgentFile: (*_OWNER, "state", "name_in_store", "used_at"),
    AgentMemory: (*_OWNER, "idempotency_key"),
    AgentModelCall: (*_OWNER, "run_pk"),
    AgentTranscription: _OWNER,
    # When workers look at it is a matter of this deployment, and so is by what right it fires: never a right.
    AgentSchedule: (
        *_OWNER,
        *("next_at", "credential", "key_id", "scopes", "groups", "claims", "authorized_at"),
        # Those of :data:`PAUSE_COLUMNS`.
        *("paused_at", "pause_code", "pause_detail"),
    ),
    AgentScheduleFire: ("id", "schedule_pk", "late", "give_up_at", "next_try_at"),
    # Never a token.
    AgentConnection: (
        *_OWNER,
        *("sealed", "resource", "wanted_scope", "version", "lease_token", "lease_until"),
    ),
}


@dataclass(frozen=True)
class Kind:
    """A type of line."""

    type: str
    model: type[Base]

    @property
    def table(self) -> str:
        return self._table.name

    @property
    def _table(self) -> Table:
        return self.model.metadata.tables[self.model.__tablename__]

    @cached_property
    def columns(self) -> list[Column[object]]:
        """The columns that a line has."""
        left_out = LEFT_OUT[self.model]
        return [column for column in self._table.columns if column.name not in left_out]

    def selected(self, alias: str) -> str:
        """Return SQL of the columns, with the names of the members."""
        return ", ".join(f'{alias}.{column.name} AS "{member(column)}"' for column in self.columns)

    def declared(self, *more: str) -> str:
        """Return the column definitions of ``json_to_recordset``."""
        own = (f'"{member(column)}" {column.type.compile(postgresql.dialect())}' for column in self.columns)
        return ", ".join([*own, *more])


THREAD = Kind("thread", AgentChatSession)
RUN = Kind("run", AgentRun)
MESSAGE = Kind("message", AgentChatMessage)
INTERRUPT = Kind("interrupt", AgentInterrupt)
FILE = Kind("file", AgentFile)
MEMORY = Kind("memory", AgentMemory)
MODEL_CALL = Kind("model-call", AgentModelCall)
TRANSCRIPTION = Kind("transcription", AgentTranscription)
CONNECTION = Kind("connection", AgentConnection)
SCHEDULE = Kind("schedule", AgentSchedule)
SCHEDULE_FIRE = Kind("schedule-fire", AgentScheduleFire)
PAUSE_COLUMNS: Mapping[str, str] = {
    "paused_at": "pausedAt",
    "pause_code": "pauseCode",
    "pause_detail": "pauseDetail",
}
"""Columns of a schedule that a line has only if the pause is not that of an import: the next import pauses it anew."""
OF_THREAD = (RUN, MESSAGE, INTERRUPT)
OF_USER = (FILE, MEMORY, MODEL_CALL, TRANSCRIPTION, CONNECTION, SCHEDULE, SCHEDULE_FIRE)
TYPES = frozenset(
    {
        *(kind.type for kind in (THREAD, *OF_THREAD, *OF_USER)),
        *(MANIFEST, END, FILE_USE, FILE_BYTES, FILE_MISSING),
    }
)


def member(column: Column[object]) -> str:
    """Return the name of a column in a line."""
    first, *others = column.name.split("_")
    return first + "".join(word.capitalize() for word in others)
