"""The usual acceptance and the careful one: the same requests, in any order, leave the same rows and the same refusals."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.limits import HUNG_SECONDS
from tests.support.manual_worker import ManualWorker, manual_worker
from tests.support.scratch_databases import ScratchDatabases
from tests.support.silent_hints import Unheard, Unseen
from tests.support.stack import OpenStack

from agentroute.background_loops import running
from core.agentscope.events.hub import ThreadHub
from core.agentscope.runtime.accept.agent_choice import UsableAgents
from core.agentscope.runtime.accept.gateway import AgentRunGateway
from core.agentscope.runtime.accept.usual import UsualAcceptance
from core.agentscope.schemas.agent_runtime import RunCommand
from core.broker import create_broker
from core.config import Settings
from core.database import create_engine
from core.errors import AgentBackendError
from core.gate import PoolGates
from core.identity import Principal

MAX_RUNS = 3
HEARING = {"bus", "hub"}
"""The loops of an API process that hear of events. The others look at the stores, or tell them something."""

# Ids and times differ between the two; whether a time is set, and everything else, must not.
ROWS = {
    "threads": """
        SELECT s.thread_id, s.agent_id, s.title, s.state::text, s.last_ordinal, s.last_position, s.updated_at >= s.created_at
        FROM agent_chat_session AS s WHERE s.user_id = :user ORDER BY s.thread_id
    """,
    "runs": """
        SELECT s.thread_id, r.agent_id, r.tenant_id, r.run_id, r.segment, r.parent_run_id, r.idempotency_key, r.request_hash,
            r.input, r.front, r.protocol_version, r.status, r.ordinal, r.replaced_by_ordinal, r.attempt, r.last_seq,
            length(r.task_id), r.cancel_requested_at IS NOT NULL,
            round(extract(epoch FROM r.next_hint_at - r.created_at)),
            round(extract(epoch FROM r.queue_deadline_at - r.created_at))
        FROM agent_run AS r JOIN agent_chat_session AS s ON s.id = r.session_id
        WHERE r.user_id = :user ORDER BY r.id
    """,
    "messages": """
        SELECT s.thread_id, m.position, m.message_id, m.ordinal, m.role, m.content::text, m.tool_calls::text,
            m.tool_call_id, m.extra::text, m.incomplete, m.imported, m.replaced_by_ordinal, m.model,
            ts_delete(m.search, ARRAY(SELECT word FROM unnest(tsvector_to_array(m.search)) AS word
                                      WHERE word NOT IN ('hello', 'good', 'day')))::text
        FROM agent_chat_message AS m JOIN agent_chat_session AS s ON s.id = m.session_id
        WHERE s.user_id = :user ORDER BY s.thread_id, m.position
    """,
    "interrupts": """
        SELECT s.thread_id, i.interrupt_id, i.status, i.answer::text, r.run_id, i.resolved_at IS NOT NULL
        FROM agent_interrupt AS i JOIN agent_chat_session AS s ON s.id = i.session_id
        LEFT JOIN agent_run AS r ON r.id = i.resolved_by_run_pk
        WHERE s.user_id = :user ORDER BY s.thread_id, i.interrupt_id
    """,
}

ANSWER = """
    WITH thread AS (
        UPDATE agent_chat_session SET last_position = last_position + 1
        WHERE user_id = :user AND thread_id = :thread AND last_ordinal > 0
        RETURNING id, last_ordinal, last_position
    )
    INSERT INTO agent_chat_message (session_id, position, message_id, ordinal, role, content)
    SELECT id, last_position, 'a-' || :thread || last_position, last_ordinal, 'assistant', '"An answer."' FROM thread
"""

ASK = """
    INSERT INTO agent_interrupt (session_id, run_pk, interrupt_id, reason, message, response_schema, expires_at)
    SELECT s.id, r.id, 'i-' || r.ordinal, 'confirmation', 'Go on?', '{"type": "object"}', now() + interval '1 day'
    FROM agent_chat_session AS s JOIN agent_run AS r ON r.session_id = s.id AND r.ordinal = s.last_ordinal
    WHERE s.user_id = :user AND s.thread_id = :thread ON CONFLICT DO NOTHING
"""


OF_ANOTHER = "UPDATE agent_chat_session SET agent_id = :agent WHERE user_id = :user AND thread_id = :thread"


def agents_of(principal: Principal) -> UsableAgents:
    """Return a folder of which a user may not use all, and every third time a deployment with one file."""
    one_file = int(principal.user_id.rpartition("-")[2]) % 3 == 0
    ids = ("support",) if one_file else ("sales", "support")
    return UsableAgents(ids, "support", keeps_ids=not one_file)


@dataclass
class Side:
    """One of the two ways, with a user of its own."""

    gateway: AgentRunGateway
    engine: AsyncEngine
    user: str
    shown: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def principal(self) -> Principal:
        return Principal("tenant", self.user)

    async def send(self, body: dict[str, Any], whole: bool, key: str) -> tuple[Any, ...]:
        """Accept a request; returns what its caller is told."""
        thread_id = body["threadId"]
        earlier = await self.history(thread_id) if whole else []
        command = RunCommand.model_validate(body | {"messages": [*earlier, *body["messages"]]})
        try:
            run = await self.gateway.accept(
                self.principal, command, idempotency_key=key, request_hash=repr(body).encode()
            )
        except AgentBackendError as exc:
            return type(exc).__name__, str(exc)
        return run.thread_id, run.run_id, run.status, run.ordinal, run.created

    async def history(self, thread_id: str) -> list[dict[str, Any]]:
        """Return the conversation as a client that has seen everything sends it."""
        rows = await self.rows(
            """SELECT m.message_id AS id, m.role, m.content FROM agent_chat_message AS m
            JOIN agent_chat_session AS s ON s.id = m.session_id
            WHERE s.user_id = :user AND s.thread_id = :thread AND m.replaced_by_ordinal IS NULL ORDER BY m.position""",
            thread=thread_id,
        )
        return [dict(row._mapping) for row in rows]

    async def end(self, thread_id: str) -> None:
        """End what is live, as a user who cancels; then the next one waits no more."""
        rows = await self.rows(
            """SELECT r.run_id FROM agent_run AS r JOIN agent_chat_session AS s ON s.id = r.session_id
            WHERE s.user_id = :user AND s.thread_id = :thread AND r.status = 'queued'""",
            thread=thread_id,
        )
        for row in rows:
            await self.gateway.cancel(self.principal, thread_id, row.run_id)

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        async with self.engine.begin() as connection:
            result = await connection.execute(text(sql), {"user": self.user, **values})
            return list(result) if result.returns_rows else []

    async def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        return {name: [tuple(row) for row in await self.rows(sql)] for name, sql in ROWS.items()}


@dataclass
class Pair:
    """Both ways over one database, and the calls of the usual one that it did not pass on."""

    portal: BlockingPortal
    make: Callable[[int], tuple[Side, Side]]
    accepted: list[int]


@pytest.fixture(scope="module")
def pair(databases: ScratchDatabases, redis_server_url: str) -> Iterator[Pair]:
    with ExitStack() as exits:
        url = exits.enter_context(databases.migrated())
        config = Settings.model_validate(
            {
                "database": {"url": url},
                "redis": {"url": redis_server_url, "key_prefix": "usual"},
                "limits": {
                    "max_queue_age_seconds": 1e6,
                    "max_queued_runs": 10**6,
                    "max_runs_per_user": MAX_RUNS,
                },
            }
        )
        portal = exits.enter_context(start_blocking_portal())
        worker: ManualWorker = exits.enter_context(portal.wrap_async_context_manager(manual_worker(config)))
        hints = Unheard(create_broker(config.redis), worker.redis, config.redis)
        accepted: list[int] = []

        def gateway(usual: bool) -> AgentRunGateway:
            made = AgentRunGateway(
                worker.engine,
                hints,
                Unseen(),
                PoolGates.of(config.database),
                limits=config.limits,
                worker=config.worker,
                agents=agents_of,
            )
            made._usual = (Counted if usual else Careful)(worker.engine, config.limits, config.worker)
            return made

        class Counted(UsualAcceptance):
            async def accept(self, request: Any) -> Any:
                found = await super().accept(request)
                accepted.append(found is not None)
                return found

        class Careful(UsualAcceptance):
            async def accept(self, request: Any) -> None:
                return None

        both = gateway(usual=True), gateway(usual=False)

        def make(number: int) -> tuple[Side, Side]:
            usual, careful = (
                Side(way, worker.engine, f"{name}-{number}")
                for way, name in zip(both, ("usual", "careful"), strict=True)
            )
            return usual, careful

        yield Pair(portal, make, accepted)


THREADS = st.sampled_from(["t-1", "t-2"])
PARTS = st.sampled_from(
    [
        "hello",
        [{"type": "text", "text": "good day"}],
        [],
        "",
        [{"type": "image", "source": {"type": "url", "value": "https://x"}}],
    ]
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "onBusy": st.sampled_from(["reject", "enqueue", "supersede"]),
        "onInterrupt": st.sampled_from(["refuse", "cancel"]),
        "messagesSnapshot": st.sampled_from(["auto", "always", "anew", "never"]),
        "regenerateFrom": st.sampled_from(["m-1", "m-2"]),
        "other": st.just({"a": [1, None]}),
    },
)
NAMED = st.sampled_from(
    [{"agentId": "support"}, {"agentId": "sales"}, {"agentId": "sales", "switchAgent": True}]
)
MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"role": st.just("user"), "content": PARTS},
            optional={
                "id": st.sampled_from(["m-1", "m-2", "m-3", "m-4"]),
                "name": st.just("ada"),
                "metadata": st.sampled_from([{"incomplete": True}, {"a": "é\u2028"}]),
            },
        ),
        st.sampled_from(
            [
                {"id": "s-1", "role": "system", "content": "be kind"},
                {"id": "a-x", "role": "assistant", "content": "imported"},
                {"id": "t-x", "role": "tool", "toolCallId": "call-1", "content": "42"},
                {"id": "r-x", "role": "reasoning", "content": "why"},
                {"id": "f-x", "role": "system", "toolCallId": "call-1", "content": {"in": "no form"}},
            ]
        ),
    ),
    max_size=3,
)
PLAIN = st.builds(
    lambda number: [{"id": f"m-{number}", "role": "user", "content": "hello"}], st.integers(5, 30)
)
BODIES = st.fixed_dictionaries(
    {
        "threadId": THREADS,
        "runId": st.integers(1, 40).map(lambda number: f"r-{number}"),
        "messages": st.one_of(PLAIN, PLAIN, PLAIN, MESSAGES),
        "forwardedProps": st.one_of(*[st.just({})] * 4, NAMED, *[OPTIONS] * 2),
    },
    optional={
        "state": st.sampled_from([{}, {"a": 1}, [1], None]),
        "protocolVersion": st.just("1.0"),
        "parentRunId": st.just("r-0"),
    },
)
RESUMES = BODIES.map(lambda body: body | {"resume": [{"interruptId": "i-1", "status": "cancelled"}]})
SENT = st.tuples(
    st.just("send"),
    st.one_of(*[BODIES] * 7, RESUMES),
    st.booleans(),
    st.sampled_from([*[None] * 6, "key-1", "key-2"]),
)
ACTS = st.sampled_from(["end", "end", "end", "end", "end", "answer", "answer", "ask", "delete"])
AGENTS = st.tuples(
    st.just("agent"), THREADS, st.sampled_from([None, "support", "support", "sales", "secret"])
)
STEPS = st.lists(st.one_of(*[SENT] * 4, *[st.tuples(ACTS, THREADS)] * 4, AGENTS), min_size=8, max_size=24)


async def act(side: Side, step: tuple[Any, ...]) -> Any:
    match step:
        case ("send", body, whole, key):
            return await side.send(body, whole, key or body["runId"])
        case ("answer", thread_id):
            return await side.rows(ANSWER, thread=thread_id)
        case ("ask", thread_id):
            return await side.rows(ASK, thread=thread_id)
        case ("agent", thread_id, agent):
            return await side.rows(OF_ANOTHER, thread=thread_id, agent=agent)
        case ("end", thread_id):
            return await side.end(thread_id)
        case _:
            delete = "DELETE FROM agent_chat_session WHERE user_id = :user AND thread_id = :thread"
            return await side.rows(delete, thread=step[1])


def test_both_ways_leave_the_same_rows_and_refuse_the_same(pair: Pair) -> None:
    numbers = iter(range(10**6))

    @settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(steps=STEPS)
    def same(steps: list[tuple[Any, ...]]) -> None:
        usual, careful = pair.make(next(numbers))
        for step in steps:
            told = [pair.portal.call(act, side, step) for side in (usual, careful)]
            assert told[0] == told[1], step
        rows = [pair.portal.call(side.everything) for side in (usual, careful)]
        assert rows[0] == rows[1]

    same()
    # Both kinds came often: the usual way is taken, and it gives up.
    assert pair.accepted.count(1) > 30
    assert pair.accepted.count(0) > 30


def test_both_ways_choose_the_same_agent(pair: Pair) -> None:
    def body(thread_id: str, number: int, named: str | None) -> dict[str, Any]:
        said = {"id": f"{thread_id}-{number}", "role": "user", "content": "hello"}
        props = {} if named is None else {"agentId": named}
        return {
            "threadId": thread_id,
            "runId": said["id"],
            "messages": [said],
            "forwardedProps": props,
        }

    def told(sides: tuple[Side, Side], step: tuple[Any, ...]) -> Any:
        usual, careful = (pair.portal.call(act, side, step) for side in sides)
        assert usual == careful, step
        return usual

    ids = [None, "support", "sales", "secret"]
    for number in (900, 901):
        sides = pair.make(number)
        pair.accepted.clear()
        for begun in ids:
            told(sides, ("send", body(f"{begun}", 1, begun), False, f"{begun}"))
            told(sides, ("end", f"{begun}"))
        for kept, named in itertools.product(ids, ids):
            thread_id = f"{kept}-{named}"
            told(sides, ("send", body(thread_id, 1, None), False, thread_id))
            told(sides, ("end", thread_id))
            told(sides, ("agent", thread_id, kept))
            told(sides, ("send", body(thread_id, 2, named), False, f"{thread_id}-again"))
            told(sides, ("end", thread_id))
        usual, careful = (pair.portal.call(side.everything) for side in sides)
        assert usual == careful
        assert {True, False} <= set(pair.accepted)


async def test_a_usual_run_needs_one_statement_from_the_request_to_its_last_event(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []
    composed: list[str] = []

    def counted(*arguments: Any, **keywords: Any) -> AsyncEngine:
        engine = create_engine(*arguments, **keywords)
        event.listen(engine.sync_engine, "checkout", lambda *_of: taken.append(_of))
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *of: composed.append(of[2]))
        return engine

    def without_looks(**loops: Callable[[], Awaitable[None]]) -> AbstractAsyncContextManager[None]:
        return running(**{name: loop for name, loop in loops.items() if name in HEARING})

    async def no_patrol(_self: ThreadHub) -> None: ...

    monkeypatch.setattr("agentroute.container.create_engine", counted)
    # What the process looks for by itself, each second, is not of the run.
    for module in ("agentroute.container", "agentroute.credentials"):
        monkeypatch.setattr(f"{module}.running", without_looks)
    monkeypatch.setattr(ThreadHub, "_patrol", no_patrol)
    # A busy machine may be slow, but nothing is in doubt: no look at the store for that.
    monkeypatch.setattr("core.agentscope.events.hub.SUBSCRIBE_WAIT_SECONDS", HUNG_SECONDS)
    async with open_stack() as stack:
        body = stack.run_body("hello")
        for _ in range(2):
            taken.clear()
            reply = await stack.stream_run(body=body)
            assert reply.types[-1] == "RUN_FINISHED"
            assert (len(taken), composed) == (1, [])
            # The next one as stock clients send it: with the whole conversation.
            thread_id = body["threadId"]
            history = await stack.request("GET", f"/history?threadId={thread_id}")
            body = stack.run_body("and then", threadId=thread_id)
            body["messages"] = [*history.json["messages"], *body["messages"]]
            composed.clear()


@pytest.mark.parametrize(
    "limits", [{}, {"user_stored_bytes": 1 << 30}], ids=["", "with stored bytes counted"]
)
async def test_the_trace_of_a_request_is_stored_with_its_run_and_costs_no_statement(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]
) -> None:
    usual: list[bool] = []
    accept = UsualAcceptance.accept

    async def noted(self: UsualAcceptance, request: Any) -> Any:
        accepted = await accept(self, request)
        usual.append(accepted is not None)
        return accepted

    monkeypatch.setattr(UsualAcceptance, "accept", noted)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    header = {"Accept": "text/event-stream"}
    async with open_stack(limits=limits) as stack:
        # In one connection: what was set for a run is not there for the next one.
        for headers in (header | {"traceparent": trace}, header | {"traceparent": "nonsense"}, header):
            reply = await stack.request("POST", "/runs", json=stack.run_body("hello"), headers=headers)
            assert reply.types[-1] == "RUN_FINISHED"
        # The careful way.
        body = stack.run_body("hello", forwardedProps={"messagesSnapshot": "always"})
        await stack.request("POST", "/runs", json=body, headers=header | {"traceparent": trace})
        rows = await stack.fetch("SELECT trace_context FROM agent_run ORDER BY id")
    assert usual == [True, True, True, False]
    assert [row["trace_context"] for row in rows] == [trace, None, None, trace]
