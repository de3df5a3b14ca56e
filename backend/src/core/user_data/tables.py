"""What becomes of each table when a user is erased. A test compares this with the schema: a new table needs a line here.

A table is in exactly one of these. Whoever adds one:

- Rows of a thread or of its runs: :data:`OF_THREAD`, before the tables they refer to.
- Rows of a user: :data:`OF_USER`. If rows of it are where a user's data begins, it needs the trigger of migration 0027.
- Rows that are kept for accounting: :data:`BOOKED`, with what is taken out of them.
- Rows of nobody: :data:`OF_NOBODY`, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_BY_SESSION = "session_id = :session_id"
_BY_RUN = "run_pk IN (SELECT id FROM agent_run WHERE session_id = :session_id)"

OF_THREAD: Mapping[str, str] = {
    "agent_interrupt": _BY_SESSION,
    "agent_checkpoint": _BY_SESSION,
    "agent_state": _BY_SESSION,
    "agent_state_part": _BY_SESSION,
    "agent_chat_message": _BY_SESSION,
    "agent_file_use": _BY_SESSION,
    "agent_file_gone": _BY_SESSION,
    "user_budget_reservation": _BY_RUN,
    "agent_webhook_message": _BY_RUN,
    "agent_run_webhook": _BY_RUN,
    "agent_run": _BY_SESSION,
    "agent_chat_session": "id = :session_id",
}
"""Deleted with each thread, in this order; the condition names the thread. The log comes before, in batches."""

LOG = "agent_run_event"
CHORES = "agent_chore"
"""Its rows name threads of which events are still to be deleted; the other rows are of nobody."""
FILES = "agent_file"
"""Deleted after their bytes (``FileLibrary.erase``)."""
CONNECTIONS = "agent_connection"
"""Deleted after their grants were withdrawn."""

OF_USER: tuple[str, ...] = (
    "agent_schedule",
    "agent_memory",
    "agent_oauth_login",
    "agent_api_key",
    "user_budget_reservation",
    "user_budget",
)
"""Deleted by tenant and user."""

STORED: tuple[str, ...] = ("agent_stored_change", "agent_stored_user")
"""Deleted last: the deletions themselves are counted there."""


@dataclass(frozen=True, slots=True)
class Booked:
    """What stays of a row."""

    taken: str
    """SQL that takes out what names the user or the thread."""


BOOKED: Mapping[str, Booked] = {
    "agent_model_call": Booked("user_id = '', message_id = NULL, run_pk = NULL"),
    "agent_transcription": Booked("user_id = ''"),
}
"""Kept, as rows of nobody: tenant, model, tokens, cost and time."""

OF_NOBODY: Mapping[str, str] = {
    "alembic_version": "the revision of the schema",
    "agent_epoch": "how often the database lost its place",
    "agent_erasure": "the receipts: a hash and numbers",
    "agent_log_part": "the parts of the log, and when they were opened",
    "agent_schedule_fire": "goes with its schedule, by its foreign key",
    "agent_oauth_client": "clients of the service at authorization servers",
    "agent_webhook_endpoint": "endpoints of the deployment",
    "agent_stored_tenant": "sums of all users of a tenant",
}

USER_COLUMNS = ("user_id",)
"""How a column is called that names a user. The test of the catalogue finds others that look like one."""


def all_tables() -> list[str]:
    """Return every table that has its place here; one is named twice if it is deleted in two ways."""
    return [
        LOG,
        CHORES,
        FILES,
        CONNECTIONS,
        *OF_THREAD,
        *OF_USER,
        *STORED,
        *BOOKED,
        *OF_NOBODY,
    ]


def left_over(table: str) -> bool:
    """Return whether rows of a user in this table would mean that an erasure is not over."""
    return table in {FILES, CONNECTIONS, "agent_chat_session", "agent_run", *OF_USER, *STORED, *BOOKED}
