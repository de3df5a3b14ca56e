"""Threads: listed by activity, searched by words; messages and runs that others replaced."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0002"

# One normaliser for what is stored and for what is asked. Everything but letters and digits parts words:
# the parser would else keep hosts, paths and hyphenated words whole. Postgres 17 brings a collation that
# knows all letters whatever the database's locale is (ours is C); before it, the database's own has to do.
# The first 64 Ki characters are enough to find a message, and a tsvector may not exceed 1 MiB.
# Bodies in the SQL standard's form are bound when created, so a restore needs no search_path.
_SEARCH_WORDS = """
DO $migration$
DECLARE
    letters text := 'pg_catalog."default"';
BEGIN
    IF EXISTS (SELECT FROM pg_collation WHERE collname = 'pg_c_utf8') THEN
        letters := 'pg_catalog.pg_c_utf8';
    END IF;
    EXECUTE format($function$
        CREATE FUNCTION agent_search_words(phrase text) RETURNS text
        LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
        RETURN regexp_replace(lower(left(phrase, 65536) COLLATE %s), '[^[:alnum:]]+', ' ', 'g')
    $function$, letters);
END
$migration$
"""

_MESSAGE_WORDS = """
CREATE FUNCTION agent_message_words(content jsonb) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN strip(to_tsvector('simple', agent_search_words(
    CASE jsonb_typeof(content)
        WHEN 'string' THEN content #>> '{}'
        WHEN 'array' THEN (
            SELECT string_agg(part ->> 'text', ' ') FROM jsonb_array_elements(content) AS part
            WHERE part ->> 'type' = 'text')
    END)))
"""

# The owner is a word of its messages too, one that no text can hold: the index itself then leaves out
# everybody else's, and a search costs what the caller's own messages cost.
_OWNER_MARK = """
CREATE FUNCTION agent_search_owner(tenant_id text, user_id text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '/' || md5(length(tenant_id) || '/' || tenant_id || '/' || user_id)
"""

_WRITE_SEARCH = """
CREATE FUNCTION agent_message_search() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    SELECT agent_message_words(NEW.content) || array_to_tsvector(ARRAY[agent_search_owner(s.tenant_id, s.user_id)])
    INTO NEW.search FROM agent_chat_session AS s WHERE s.id = NEW.session_id;
    RETURN NEW;
END
$function$
"""

_TRIGGER = """
CREATE TRIGGER agent_message_search BEFORE INSERT ON agent_chat_message
FOR EACH ROW WHEN (NEW.role IN ('user', 'assistant')) EXECUTE FUNCTION agent_message_search()
"""

_OLDER_MESSAGES = """
UPDATE agent_chat_message AS m
SET search = agent_message_words(m.content) || array_to_tsvector(ARRAY[agent_search_owner(s.tenant_id, s.user_id)])
FROM agent_chat_session AS s WHERE s.id = m.session_id AND m.role IN ('user', 'assistant')
"""


def upgrade() -> None:
    op.add_column("agent_run", sa.Column("replaced_by_ordinal", sa.Integer(), nullable=True))
    op.add_column("agent_chat_message", sa.Column("replaced_by_ordinal", sa.Integer(), nullable=True))
    op.add_column("agent_chat_message", sa.Column("search", postgresql.TSVECTOR(), nullable=True))
    for statement in (
        _SEARCH_WORDS,
        _MESSAGE_WORDS,
        _OWNER_MARK,
        _WRITE_SEARCH,
        _TRIGGER,
        _OLDER_MESSAGES,
    ):
        op.execute(statement)
    op.create_index(
        "ix_agent_chat_message_search",
        "agent_chat_message",
        ["search"],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    op.create_index(
        "ix_agent_chat_session_activity",
        "agent_chat_session",
        ["tenant_id", "user_id", "updated_at", "id"],
    )
    op.create_index("ix_agent_interrupt_run_pk", "agent_interrupt", ["run_pk"])


def downgrade() -> None:
    op.drop_index("ix_agent_interrupt_run_pk", table_name="agent_interrupt")
    op.drop_index("ix_agent_chat_session_activity", table_name="agent_chat_session")
    op.drop_index("ix_agent_chat_message_search", table_name="agent_chat_message")
    op.execute("DROP TRIGGER agent_message_search ON agent_chat_message")
    op.execute("DROP FUNCTION agent_message_search()")
    op.execute("DROP FUNCTION agent_search_owner(text, text)")
    op.execute("DROP FUNCTION agent_message_words(jsonb)")
    op.execute("DROP FUNCTION agent_search_words(text)")
    op.drop_column("agent_chat_message", "search")
    op.drop_column("agent_chat_message", "replaced_by_ordinal")
    op.drop_column("agent_run", "replaced_by_ordinal")
