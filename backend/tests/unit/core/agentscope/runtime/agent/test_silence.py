"""What a run makes of a model that says nothing or breaks off, in each stage and in subagents."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.scripted_endpoint import (
    RESET,
    D,
    Reply,
    Request,
    S,
    ScriptedEndpoint,
    T,
    c,
    calls,
    intent,
    is_structured,
    refusal,
    said,
    stream,
)
from tests.support.stage_run import Run
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.schemas.internal_events import (
    ModelRetrying,
    RunFinished,
    SubagentFailed,
    SubagentFinished,
    TextEnded,
    ToolResult,
)
from core.errors import (
    AgentBackendError,
    ContentFiltered,
    MaxIterations,
    ModelEmpty,
    ModelStreamError,
    RunFailure,
)

OFF = {"intent": "off", "report": "auto"}
NOTHING = stream(S)
DONE_ONLY = stream(D)
THOUGHT = stream(c({"reasoning_content": "I wonder."}), S)
TOO_LONG_THOUGHT = stream(c({"reasoning_content": "I wonder."}), c({}, "length"), D)
SPACE = stream(said(" \n"), S)
FILTER = stream(c({}, "content_filter"), D)
ANSWER = stream(said("Hello"), S)
PAY = stream(calls("pay", '{"euros": 5}'), T)
CHILD = [
    {"name": "helper", "description": "Helps.", "prompt": "Help.", "tools": ["pay"], "max_iterations": 2}
]


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


def run_on(endpoint: ScriptedEndpoint, *, retries: int = 0, **profile: Any) -> Run:
    return Run(services=endpoint.services(settings={"max_retries": retries}), **profile_of(profile))


def profile_of(profile: dict[str, Any]) -> dict[str, Any]:
    return {"stages": OFF} | profile


async def ends(run: Run) -> type[AgentBackendError] | None:
    try:
        assert await run.run() == RunFinished()
    except RunFailure as exc:
        return type(exc)
    return None


SILENT = {
    "an end without words": NOTHING,
    "an end marker alone": DONE_ONLY,
    "only reasoning": THOUGHT,
    "reasoning up to the limit": TOO_LONG_THOUGHT,
    "white space": SPACE,
}


@pytest.mark.parametrize("silence", SILENT)
async def test_a_silent_model_is_asked_for_a_report_and_then_the_run_fails(silence: str) -> None:
    endpoint = ScriptedEndpoint(otherwise=SILENT[silence])
    run = run_on(endpoint)

    assert await ends(run) is ModelEmpty
    assert run.steps == ["+execution", "-execution", "+report", "-report"]
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("silence", SILENT)
async def test_a_silent_model_is_asked_once_more_where_there_is_no_report(silence: str) -> None:
    endpoint = ScriptedEndpoint(otherwise=SILENT[silence])

    assert await ends(run_on(endpoint, stages=OFF | {"report": "off"})) is ModelEmpty
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("silence", SILENT)
async def test_what_a_silent_model_says_when_asked_again_is_the_answer(silence: str) -> None:
    for stages in (OFF, OFF | {"report": "off"}):
        run = run_on(ScriptedEndpoint(SILENT[silence], ANSWER), stages=stages)

        assert await ends(run) is None
        assert run.text.strip() == "Hello"


async def test_a_model_that_is_silent_after_its_tools_is_asked_for_a_report() -> None:
    run = run_on(ScriptedEndpoint(PAY, THOUGHT, ANSWER))

    assert await ends(run) is None
    assert (run.text, run.log) == ("Hello", ["paid 5 for r-1:c1"])


BROKEN: dict[str, tuple[Reply, type[RunFailure], str]] = {
    "a filter": (FILTER, ContentFiltered, ""),
    "a filter after words": (stream(said("Hel"), c({}, "content_filter"), D), ContentFiltered, "Hel"),
    "an error word": (stream(said("Hel"), c({}, "error"), D), ModelStreamError, "Hel"),
    "a reset": (stream(said("Hel"), RESET), ModelStreamError, "Hel"),
    "a refusal by a filter": (refusal(400, "x", code="content_filter"), ContentFiltered, ""),
}


@pytest.mark.parametrize("shape", BROKEN)
@pytest.mark.parametrize("stage", ["execution", "report"])
async def test_what_a_broken_answer_said_is_kept_as_incomplete(shape: str, stage: str) -> None:
    reply, error, text = BROKEN[shape]
    run = run_on(ScriptedEndpoint(*([NOTHING] if stage == "report" else []), reply))

    assert await ends(run) is error
    assert run.steps[-1] == f"+{stage}"
    assert run.text == text
    assert [event.metadata.get("incomplete") for event in run.of(TextEnded)] == [True] * bool(text)


@pytest.mark.parametrize("shape", BROKEN)
async def test_an_intent_that_breaks_off_or_is_filtered_fails_the_run(shape: str) -> None:
    reply, error, _ = BROKEN[shape]
    endpoint = ScriptedEndpoint(reply)

    assert await ends(run_on(endpoint, stages={"intent": "model"})) is error
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("reply", [stream(said("A task."), S), NOTHING, THOUGHT, refusal(400), refusal(422)])
async def test_an_intent_that_is_not_given_costs_one_call(reply: Reply) -> None:
    endpoint = ScriptedEndpoint(otherwise=ANSWER).when(is_structured, reply)

    assert await ends(run_on(endpoint, stages={"intent": "model"})) is None
    assert [request.structured for request in endpoint.requests] == [True, False]


async def test_an_intent_is_read_as_before() -> None:
    endpoint = ScriptedEndpoint(otherwise=ANSWER).when(is_structured, intent("chat", needs_tools=False))

    assert await ends(run_on(endpoint, stages={"intent": "model"})) is None
    assert "tools" not in endpoint.bodies[1]


# --- subagents ------------------------------------------------------------------------------------------


def for_child(request: Request) -> bool:
    return request.body["messages"][0]["content"].startswith("Help.")


def asks_child(*child: Reply, parent: Reply = ANSWER) -> ScriptedEndpoint:
    """Return an endpoint whose model asks the subagent and then answers; the child says ``child``, one a call."""
    asked = [False]
    left = list(child)

    class Endpoint(ScriptedEndpoint):
        def reply_to(self, request: Request) -> Reply:
            self.requests.append(request)
            if for_child(request):
                return left.pop(0)
            if asked[0]:
                return parent
            asked[0] = True
            return stream(calls("helper", '{"task": "help"}', id="parent"), T)

    return Endpoint()


async def child_of(*child: Reply, **more: Any) -> tuple[Run, ToolResult]:
    run = run_on(asks_child(*child), subagents=CHILD, **more)
    assert await ends(run) is None
    (result,) = [event for event in run.of(ToolResult) if event.tool_call_id == "parent"]
    return run, result


@pytest.mark.parametrize("silence", SILENT)
async def test_a_silent_subagent_has_failed(silence: str) -> None:
    run, result = await child_of(SILENT[silence], SILENT[silence])

    assert [event.code for event in run.of(SubagentFailed)] == [ModelEmpty.code]
    assert (result.state, result.content) == ("error", "The subagent's model ended without an answer.")


@pytest.mark.parametrize("shape", BROKEN)
async def test_a_subagent_that_breaks_off_has_failed(shape: str) -> None:
    reply, error, text = BROKEN[shape]
    run, result = await child_of(reply)

    assert [event.code for event in run.of(SubagentFailed)] == [error.code]
    assert result.state == "error"
    child = [event for event in run.of(TextEnded) if event.subagent_run_id]
    assert [event.metadata.get("incomplete") for event in child] == [True] * bool(text)


async def test_a_subagent_at_its_step_limit_has_failed_and_its_parent_is_given_what_it_sums_up() -> None:
    two = [stream(calls("pay", '{"euros": 1}', id=f"p{number}"), T) for number in range(2)]
    run, result = await child_of(*two, stream(said("So far: paid."), S))

    assert [event.code for event in run.of(SubagentFailed)] == [MaxIterations.code]
    assert result.state == "error"
    assert "after 2 steps" in result.content
    assert result.content.endswith("\nSo far: paid.")


async def test_the_agent_and_its_subagents_share_the_number_of_tool_calls() -> None:
    two = stream(calls("pay", '{"euros": 1}', id="p0") + calls("pay", '{"euros": 2}', id="p1", index=1), T)
    run, _ = await child_of(two, stream(said("Done."), S), limits={"max_tool_calls": 2})

    # The call of the subagent is the first of the two.
    assert len(run.log) == 1
    states = [event.state for event in run.of(ToolResult) if event.subagent_run_id]
    assert sorted(states) == ["error", "success"]


async def test_a_retry_inside_a_subagent_is_announced_as_the_subagent_s() -> None:
    run = run_on(asks_child(refusal(503), stream(said("Done."), S)), retries=1, subagents=CHILD)

    assert await ends(run) is None
    (retrying,) = run.of(ModelRetrying)
    (finished,) = run.of(SubagentFinished)
    assert retrying.subagent_run_id == finished.subagent_run_id is not None


async def test_a_retry_of_the_agent_is_nobody_else_s() -> None:
    run = run_on(ScriptedEndpoint(refusal(503), ANSWER), retries=1)

    assert await ends(run) is None
    assert [event.subagent_run_id for event in run.of(ModelRetrying)] == [None]
