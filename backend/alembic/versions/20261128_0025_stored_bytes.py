"""How many bytes a user and a tenant have stored, kept by triggers in the transactions that write.

Triggers, so that processes of the version before count too, and no round trip is added to a run. They append changes,
which a chore adds up: no row is written by two runs, so none waits for another. See docs/adr/0057.

The last step counts what there was before. It commits for itself and can be repeated: it writes the difference between
what is counted and what is stored, as one snapshot shows both, so nothing is locked while it reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from agentroute.migration_steps import concurrently, one_by_one

revision: str = "0025"
down_revision: str | Sequence[str] | None = "0024"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"

_MESSAGE_BYTES = """
CREATE OR REPLACE FUNCTION agent_message_bytes(content jsonb, tool_calls jsonb, extra jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(octet_length(content::text), 0) + coalesce(octet_length(tool_calls::text), 0)
    + coalesce(octet_length(extra::text), 0)
"""

# Each thread by itself: one plan by the key of the thread, however many messages the first statement of a session had.
_MESSAGES = """
CREATE OR REPLACE FUNCTION agent_count_messages() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    changed record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        FOR changed IN
            SELECT session_id, sum(agent_message_bytes(content, tool_calls, extra)) AS bytes FROM now GROUP BY session_id
        LOOP
            INSERT INTO agent_stored_change (tenant_id, user_id, bytes)
            SELECT s.tenant_id, s.user_id, changed.bytes FROM agent_chat_session AS s
            WHERE s.id = changed.session_id AND changed.bytes <> 0;
        END LOOP;
    ELSE
        -- Of a thread that is being deleted, nothing: it took everything with it already.
        FOR changed IN
            SELECT DISTINCT session_id FROM before
        LOOP
            INSERT INTO agent_stored_change (tenant_id, user_id, bytes)
            SELECT s.tenant_id, s.user_id, -(
                SELECT sum(agent_message_bytes(b.content, b.tool_calls, b.extra)) FROM before AS b
                WHERE b.session_id = s.id)
            FROM agent_chat_session AS s WHERE s.id = changed.session_id;
        END LOOP;
    END IF;
    RETURN NULL;
END
$function$
"""

_MESSAGE_CHANGED = """
CREATE OR REPLACE FUNCTION agent_count_changed_message() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    INSERT INTO agent_stored_change (tenant_id, user_id, bytes)
    SELECT s.tenant_id, s.user_id, agent_message_bytes(NEW.content, NEW.tool_calls, NEW.extra)
        - agent_message_bytes(OLD.content, OLD.tool_calls, OLD.extra)
    FROM agent_chat_session AS s WHERE s.id = NEW.session_id;
    RETURN NULL;
END
$function$
"""

_THREAD = """
CREATE OR REPLACE FUNCTION agent_count_thread() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- Before the row goes, which holds its lock: who writes messages has a lock of the thread too.
        INSERT INTO agent_stored_change (tenant_id, user_id, bytes)
        VALUES (OLD.tenant_id, OLD.user_id, -coalesce(octet_length(OLD.state::text), 0) - (
            SELECT coalesce(sum(agent_message_bytes(m.content, m.tool_calls, m.extra)), 0)
            FROM agent_chat_message AS m WHERE m.session_id = OLD.id));
        RETURN OLD;
    END IF;
    INSERT INTO agent_stored_change (tenant_id, user_id, bytes)
    VALUES (NEW.tenant_id, NEW.user_id, coalesce(octet_length(NEW.state::text), 0)
        - CASE WHEN TG_OP = 'UPDATE' THEN coalesce(octet_length(OLD.state::text), 0) ELSE 0 END);
    RETURN NULL;
END
$function$
"""

_FILE = """
CREATE OR REPLACE FUNCTION agent_count_file() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    owner agent_file := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    bytes bigint := 0;
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.state = 'ready' THEN
        bytes := bytes - OLD.bytes;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.state = 'ready' THEN
        bytes := bytes + NEW.bytes;
    END IF;
    IF bytes <> 0 THEN
        INSERT INTO agent_stored_change (tenant_id, user_id, bytes) VALUES (owner.tenant_id, owner.user_id, bytes);
    END IF;
    RETURN NULL;
END
$function$
"""

_MEMORY = """
CREATE OR REPLACE FUNCTION agent_count_memory() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO agent_stored_change (tenant_id, user_id, bytes)
        VALUES (OLD.tenant_id, OLD.user_id, -octet_length(OLD.text));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO agent_stored_change (tenant_id, user_id, bytes)
        VALUES (NEW.tenant_id, NEW.user_id, octet_length(NEW.text));
    END IF;
    RETURN NULL;
END
$function$
"""

_TRIGGERS = (
    ("agent_count_new_messages", "agent_chat_message", "AFTER INSERT", "REFERENCING NEW TABLE AS now FOR EACH STATEMENT", "agent_count_messages"),
    ("agent_count_deleted_messages", "agent_chat_message", "AFTER DELETE", "REFERENCING OLD TABLE AS before FOR EACH STATEMENT", "agent_count_messages"),
    ("agent_count_changed_message", "agent_chat_message", "AFTER UPDATE", "FOR EACH ROW WHEN (OLD.content IS DISTINCT FROM NEW.content OR OLD.tool_calls IS DISTINCT FROM NEW.tool_calls OR OLD.extra IS DISTINCT FROM NEW.extra)", "agent_count_changed_message"),
    ("agent_count_new_thread", "agent_chat_session", "AFTER INSERT", "FOR EACH ROW WHEN (NEW.state IS NOT NULL)", "agent_count_thread"),
    ("agent_count_changed_thread", "agent_chat_session", "AFTER UPDATE", "FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)", "agent_count_thread"),
    ("agent_count_deleted_thread", "agent_chat_session", "BEFORE DELETE", "FOR EACH ROW", "agent_count_thread"),
    ("agent_count_file", "agent_file", "AFTER INSERT OR UPDATE OR DELETE", "FOR EACH ROW", "agent_count_file"),
    ("agent_count_memory", "agent_memory", "AFTER INSERT OR UPDATE OR DELETE", "FOR EACH ROW", "agent_count_memory"),
)  # fmt: skip

# Null for a user: all of the tenant.
_STORED = """
CREATE OR REPLACE FUNCTION agent_stored(p_tenant text, p_user text) RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $function$
BEGIN
    IF p_user IS NULL THEN
        RETURN coalesce((SELECT t.bytes FROM agent_stored_tenant AS t WHERE t.tenant_id = p_tenant), 0)
            + coalesce((SELECT sum(c.bytes) FROM agent_stored_change AS c WHERE c.tenant_id = p_tenant), 0);
    END IF;
    RETURN coalesce(
            (SELECT u.bytes FROM agent_stored_user AS u WHERE u.tenant_id = p_tenant AND u.user_id = p_user), 0)
        + coalesce(
            (SELECT sum(c.bytes) FROM agent_stored_change AS c WHERE c.tenant_id = p_tenant AND c.user_id = p_user), 0);
END
$function$
"""

_DRIFT = """
CREATE OR REPLACE FUNCTION agent_stored_drift()
RETURNS TABLE (tenant_id text, user_id text, counted bigint, stored bigint) LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $function$
SELECT p.tenant_id, p.user_id, sum(p.counted)::bigint, sum(p.stored)::bigint FROM (
    SELECT u.tenant_id, u.user_id, u.bytes AS counted, 0::bigint AS stored FROM agent_stored_user AS u
    UNION ALL SELECT c.tenant_id, c.user_id, c.bytes, 0 FROM agent_stored_change AS c
    UNION ALL SELECT f.tenant_id, f.user_id, 0, f.bytes FROM agent_file AS f WHERE f.state = 'ready'
    UNION ALL SELECT m.tenant_id, m.user_id, 0, octet_length(m.text) FROM agent_memory AS m
    UNION ALL SELECT s.tenant_id, s.user_id, 0, octet_length(s.state::text) FROM agent_chat_session AS s
        WHERE s.state IS NOT NULL
    UNION ALL SELECT s.tenant_id, s.user_id, 0, agent_message_bytes(m.content, m.tool_calls, m.extra)
        FROM agent_chat_message AS m JOIN agent_chat_session AS s ON s.id = m.session_id
) AS p GROUP BY p.tenant_id, p.user_id HAVING sum(p.counted) <> sum(p.stored)
$function$
"""

_COUNT_OLDER = """
INSERT INTO agent_stored_change (tenant_id, user_id, bytes)
SELECT tenant_id, user_id, stored - counted FROM agent_stored_drift()
"""

_CHANGES, _OWNER = "agent_stored_change", "ix_agent_stored_change_owner"

_FUNCTIONS = (
    "agent_count_messages()",
    "agent_count_changed_message()",
    "agent_count_thread()",
    "agent_count_file()",
    "agent_count_memory()",
    "agent_stored_drift()",
    "agent_stored(text, text)",
    "agent_message_bytes(jsonb, jsonb, jsonb)",
)


def upgrade() -> None:
    op.create_table(
        "agent_stored_user",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name=op.f("pk_agent_stored_user")),
        if_not_exists=True,
    )
    op.create_table(
        "agent_stored_tenant",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_agent_stored_tenant")),
        if_not_exists=True,
    )
    op.create_table(
        "agent_stored_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_stored_change")),
        if_not_exists=True,
    )
    for function in (_MESSAGE_BYTES, _MESSAGES, _MESSAGE_CHANGED, _THREAD, _FILE, _MEMORY, _STORED, _DRIFT):
        op.execute(function)
    with one_by_one():
        for name, table, when, how, function in _TRIGGERS:
            op.execute(
                f"CREATE OR REPLACE TRIGGER {name} {when} ON {table} {how} EXECUTE FUNCTION {function}()"
            )
    with concurrently():
        op.drop_index(_OWNER, table_name=_CHANGES, postgresql_concurrently=True, if_exists=True)
        op.create_index(_OWNER, _CHANGES, ["tenant_id", "user_id"], postgresql_concurrently=True)
        op.execute(_COUNT_OLDER)


def downgrade() -> None:
    for name, table, *_ in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.drop_table("agent_stored_change")
    op.drop_table("agent_stored_tenant")
    op.drop_table("agent_stored_user")
