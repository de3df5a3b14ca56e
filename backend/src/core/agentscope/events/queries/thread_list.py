"""Reads the caller's threads: newest activity first, found by the words of titles and messages.

A thread is found when its title, or one of its messages, has all the words;
the last word may be the beginning of one, and a word in a script without
spaces may stand anywhere. What is stored and what is asked go
through the same functions of the database (``alembic/versions/*_0002_threads.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.events.queries.agents_asked import agents_asked
from core.agentscope.events.queries.usage_totals import usage_of
from core.agentscope.events.status_sql import status_sql
from core.agentscope.schemas.agent_runtime import ActiveRun
from core.agentscope.schemas.links import events_url
from core.agentscope.schemas.threads import ThreadItem, ThreadListResponse, ThreadPlace
from core.errors import NotFound
from core.identity import Principal
from core.replica.replica import Replica, read_either
from core.validation import read_parameter


class ThreadList:
    """The threads of their owner."""

    def __init__(
        self, engine: AsyncEngine, default_agent: str | None = None, *, replica: Replica | None = None
    ) -> None:
        self._engine = engine
        self._replica = replica
        self._default_agent = default_agent

    async def list_threads(
        self,
        principal: Principal,
        *,
        limit: int,
        before: str | None,
        query: str | None,
        agent_id: str | None = None,
    ) -> ThreadListResponse:
        """Return a page of the caller's threads, newest activity first.

        A thread that becomes active while a client pages moves to the front, where
        a new first page shows it.

        Args:
            principal: Whose threads.
            limit: How many at most.
            before: ``nextBefore`` of the page before this one.
            query: Words that the title or a message has; without any letter or digit it finds nothing.
            agent_id: The agent that the list shows for the threads; of one that does not exist, there are none.

        Raises:
            InvalidRequest: ``before`` comes from no page.
        """
        place = read_parameter("before", before, ThreadPlace.parse)
        values: dict[str, Any] = {
            "tenant_id": principal.tenant_id,
            "user_id": principal.user_id,
            "rows": limit + 1,
        }
        if place is not None:
            values |= {"updated_at": place.updated_at, "session_id": place.session_id}
        if query is not None:
            values["query"] = query
        agents = agents_asked(principal, agent_id)
        if agents is not None:
            values |= {"agents": agents, "default_agent": self._default_agent}
        statement = _PAGES[query is not None, place is not None, agents is not None]

        async def read(connection: AsyncConnection) -> Sequence[Row[Any]]:
            return (await connection.execute(statement, values)).all()

        # A list without words is read from an index, and costs less than to ask how far the replica is.
        replica = None if query is None else self._replica
        rows = await read_either(replica, "search", self._engine, read)
        more, rows = len(rows) > limit, rows[:limit]
        return ThreadListResponse(
            threads=[_item(row, self._default_agent) for row in rows],
            next_before=str(ThreadPlace(rows[-1].updated_at, rows[-1].id)) if more else None,
        )

    async def get_thread(self, principal: Principal, thread_id: str) -> ThreadItem:
        """Return one thread as lists show it.

        Raises:
            NotFound: The caller has no such thread.
        """
        values = {"tenant_id": principal.tenant_id, "user_id": principal.user_id, "thread_id": thread_id}
        async with self._engine.connect() as connection:
            row = (await connection.execute(_ONE, values)).one_or_none()
        if row is None or not principal.may_see(row.agent_id or self._default_agent):
            raise NotFound("No such thread.")
        return _item(row, self._default_agent)


def _item(row: Row[Any], default_agent: str | None) -> ThreadItem:
    return ThreadItem(
        thread_id=row.thread_id,
        agent_id=row.agent_id or default_agent,
        title=row.title,
        created_at=row.created_at,
        updated_at=row.updated_at,
        message_count=row.message_count,
        active_run=None
        if row.run_id is None
        else ActiveRun(
            run_id=row.run_id, status=row.run_status, events_url=events_url(row.thread_id, row.run_id)
        ),
        pending_interrupts=row.pending_interrupts,
        usage=usage_of(row),
    )


_OWNED = """
SELECT s.id, s.thread_id, s.agent_id, s.title, s.created_at, s.updated_at, s.input_tokens, s.output_tokens,
    s.cached_input_tokens, s.reasoning_tokens, s.cost, s.unknown_cost_calls, s.last_position, s.hidden_positions
FROM agent_chat_session AS s WHERE s.tenant_id = :tenant_id AND s.user_id = :user_id
"""

_ITEMS = status_sql("""
SELECT s.*, r.run_id, r.status AS run_status,
    s.last_position - s.hidden_positions AS message_count,
    (SELECT count(*) FROM agent_interrupt AS i
     WHERE i.session_id = s.id AND i.status = {open_interrupt}) AS pending_interrupts
FROM page AS s LEFT JOIN agent_run AS r ON r.session_id = s.id AND r.status IN {live}
ORDER BY s.updated_at DESC, s.id DESC
""")

# The owner first: the words are looked for in the caller's own threads alone, and in each until the first hit
# (docs/adr/0023). Prefixes from two letters on: one letter begins a good part of all words.
# Materialized: if the planner takes the caller's threads for few, as it does without statistics, it would otherwise look
# for the words in all of them again for each of them.
# Scripts without spaces between words (Chinese, Japanese, Thai, …): such a word is found anywhere in the text.
_FOUND = """
asked AS (
    SELECT btrim(agent_search_words(:query)) AS phrase
), parts AS (
    SELECT part, place, place = max(place) OVER () AND part ~ '..' AS may_go_on,
        part ~ '[฀-໿က-႟ក-៿⺀-鿿가-힯豈-﫿𠀀-𿿿]' AS inside
    FROM asked, regexp_split_to_table(phrase, ' ') WITH ORDINALITY AS p(part, place) WHERE phrase <> ''
), words AS MATERIALIZED (
    SELECT to_tsquery('simple', string_agg(part || CASE WHEN may_go_on THEN ':*' ELSE '' END, ' & ')
            FILTER (WHERE NOT inside)) AS wanted,
        coalesce(array_agg('%' || part || '%') FILTER (WHERE inside), '{}') AS patterns
    FROM parts HAVING count(*) > 0
), mine AS MATERIALIZED (
    SELECT s.id, s.title FROM agent_chat_session AS s WHERE s.tenant_id = :tenant_id AND s.user_id = :user_id
), found AS MATERIALIZED (
    SELECT s.id AS session_id FROM words, mine AS s
    WHERE (words.wanted IS NULL OR to_tsvector('simple', agent_search_words(s.title)) @@ words.wanted)
        AND lower(s.title) LIKE ALL (words.patterns)
    OR EXISTS (
        SELECT 1 FROM agent_chat_message AS m
        WHERE m.session_id = s.id AND m.replaced_by_ordinal IS NULL AND m.role IN ('user', 'assistant')
            AND (words.wanted IS NULL OR m.search @@ words.wanted)
            AND (words.patterns = '{}' OR lower(m.content::text) LIKE ALL (words.patterns)))
),
"""
_IS_FOUND = "AND s.id IN (SELECT session_id FROM found)"
_IS_LATER = "AND (s.updated_at, s.id) < (:updated_at, :session_id)"
# Threads of a deployment with one agent have no id, and show the default's.
_IS_OF_AGENT = "AND coalesce(s.agent_id, CAST(:default_agent AS text)) = ANY (CAST(:agents AS text[]))"
_NEWEST = "ORDER BY s.updated_at DESC, s.id DESC LIMIT :rows"

_ONE = text("\n".join(("WITH page AS (", _OWNED, "AND s.thread_id = :thread_id)", _ITEMS)))

# One statement for each form of the request: with optional conditions in it the planner could not use
# the index to begin a later page where the one before it ended.
_PAGES = {
    (searched, later, of_agent): text(
        "\n".join(
            (
                "WITH",
                _FOUND if searched else "",
                "page AS (",
                _OWNED,
                _IS_FOUND if searched else "",
                _IS_LATER if later else "",
                _IS_OF_AGENT if of_agent else "",
                _NEWEST,
                ")",
                _ITEMS,
            )
        )
    )
    for searched in (False, True)
    for later in (False, True)
    for of_agent in (False, True)
}
