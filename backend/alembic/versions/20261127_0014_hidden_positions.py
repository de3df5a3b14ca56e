"""How many messages a thread shows, without counting them; what the search stopped using goes.

``agent_chat_session.hidden_positions`` is kept by a trigger when a run replaces messages, also for processes of the
version before. A position whose message was there already is counted by the code of this version alone: one that a
process of the version before wastes makes a thread's number one too high. The search looks in the caller's own threads (docs/adr/0023): nothing reads the index over
everybody's words any more, nor the owner's mark among the words of a message.

The steps after the first commit each for themselves and can be repeated: indexes are dropped while the service runs,
and each thread is locked only while its own messages are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from agentroute.migration_steps import concurrently

revision: str = "0014"
down_revision: str | Sequence[str] | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
# Code of revisions before 0013 finds words by the owner's mark.
compatible_from: str = "0013"

_COUNT_REPLACED = """
CREATE OR REPLACE FUNCTION agent_count_replaced() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    UPDATE agent_chat_session AS s SET hidden_positions = s.hidden_positions + replaced.number
    FROM (
        SELECT now.session_id, count(*) AS number FROM now JOIN before USING (id)
        WHERE before.replaced_by_ordinal IS NULL AND now.replaced_by_ordinal IS NOT NULL GROUP BY now.session_id
    ) AS replaced
    WHERE s.id = replaced.session_id;
    RETURN NULL;
END
$function$
"""

_COUNTS_REPLACED = """
CREATE OR REPLACE TRIGGER agent_count_replaced AFTER UPDATE ON agent_chat_message
REFERENCING OLD TABLE AS before NEW TABLE AS now
FOR EACH STATEMENT EXECUTE FUNCTION agent_count_replaced()
"""

_WRITE_SEARCH = """
CREATE OR REPLACE FUNCTION agent_message_search() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    NEW.search := agent_message_words(NEW.content);
    RETURN NEW;
END
$function$
"""

# Who writes messages holds the thread's lock: so the count is taken under it, by a statement that begins after the lock.
_COUNT_OLDER = """
DO $migration$
DECLARE
    thread bigint;
BEGIN
    FOR thread IN
        SELECT s.id FROM agent_chat_session AS s LEFT JOIN (
            SELECT session_id, count(*) AS number FROM agent_chat_message
            WHERE replaced_by_ordinal IS NULL GROUP BY session_id
        ) AS shown ON shown.session_id = s.id
        WHERE s.last_position - s.hidden_positions <> coalesce(shown.number, 0)
    LOOP
        PERFORM 1 FROM agent_chat_session WHERE id = thread FOR NO KEY UPDATE;
        UPDATE agent_chat_session AS s SET hidden_positions = s.last_position - (
            SELECT count(*) FROM agent_chat_message AS m
            WHERE m.session_id = s.id AND m.replaced_by_ordinal IS NULL)
        WHERE s.id = thread;
        COMMIT;
    END LOOP;
END
$migration$
"""

_UNUSED_INDEXES = (
    ("ix_agent_chat_message_search", "agent_chat_message"),
    ("ix_agent_transcription_owner", "agent_transcription"),
)

_OWNER_MARK = """
CREATE FUNCTION agent_search_owner(tenant_id text, user_id text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '/' || md5(length(tenant_id) || '/' || tenant_id || '/' || user_id)
"""

_WRITE_SEARCH_WITH_OWNER = """
CREATE OR REPLACE FUNCTION agent_message_search() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    SELECT agent_message_words(NEW.content) || array_to_tsvector(ARRAY[agent_search_owner(s.tenant_id, s.user_id)])
    INTO NEW.search FROM agent_chat_session AS s WHERE s.id = NEW.session_id;
    RETURN NEW;
END
$function$
"""

_MARK_MESSAGES = """
UPDATE agent_chat_message AS m
SET search = m.search || array_to_tsvector(ARRAY[agent_search_owner(s.tenant_id, s.user_id)])
FROM agent_chat_session AS s WHERE s.id = m.session_id AND m.search IS NOT NULL
"""


def upgrade() -> None:
    op.add_column(
        "agent_chat_session",
        sa.Column("hidden_positions", sa.Integer(), server_default="0", nullable=False),
        if_not_exists=True,
    )
    for statement in (_COUNT_REPLACED, _COUNTS_REPLACED, _WRITE_SEARCH):
        op.execute(statement)
    with concurrently():
        op.execute(_COUNT_OLDER)
        for name, table in _UNUSED_INDEXES:
            op.drop_index(name, table_name=table, postgresql_concurrently=True, if_exists=True)
        # Only now: that waited for every statement which began with the trigger's older body.
        op.execute("DROP FUNCTION IF EXISTS agent_search_owner(text, text)")


def downgrade() -> None:
    for statement in (_OWNER_MARK, _WRITE_SEARCH_WITH_OWNER, _MARK_MESSAGES):
        op.execute(statement)
    op.create_index("ix_agent_transcription_owner", "agent_transcription", ["tenant_id", "user_id", "id"])
    op.create_index(
        "ix_agent_chat_message_search",
        "agent_chat_message",
        ["search"],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    op.execute("DROP TRIGGER agent_count_replaced ON agent_chat_message")
    op.execute("DROP FUNCTION agent_count_replaced()")
    op.drop_column("agent_chat_session", "hidden_positions")
