"""One run through its stages: the real agent and the real chat model, over a model in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.model_in_memory import HANG, Answer, Asks, intent
from tests.support.stage_run import (
    NO_INTENT,
    PAY,
    PICK,
    YES,
    Run,
    after,
    conversation,
    no_login,
    said_to_the_model,
    user,
)
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.runtime import orchestrator
from core.agentscope.runtime.agent.open_tool_calls import INTERRUPTED
from core.agentscope.runtime.agent.thread_memory import GatedCall, ThreadMemory
from core.agentscope.runtime.orchestrator import REPORT_REQUEST
from core.agentscope.runtime.profile.profile import Limits
from core.agentscope.runtime.profile.run_budget import RunBudgetExhausted
from core.agentscope.runtime.stop_signal import RunStopped
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.schemas.internal_events import (
    InterruptRequested,
    MessagesSnapshot,
    RunFinished,
    StateSnapshot,
    StepStarted,
    TextEnded,
    ToolCallEnded,
    ToolResult,
)
from core.errors import BudgetExhausted, MaxIterations, ModelEmpty, ModelUnavailable


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


async def test_a_run_without_a_factory_makes_no_host_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrator, "AgentHost", lambda *_args, **_more: pytest.fail("made"))

    assert await Run(["Hi"], **NO_INTENT).run() == RunFinished()


# --- intent ---------------------------------------------------------------------------------------------


async def test_a_plain_chat_is_given_no_tools() -> None:
    run = Run(["Hi"], structured=intent("chat", needs_tools=False))

    assert await run.run() == RunFinished()
    assert run.steps == ["+intent", "-intent", "+execution", "-execution"]
    assert run.model.offered == [[]]
    assert run.text == "Hi"


@pytest.mark.parametrize("found", [intent("task", needs_tools=False), intent("chat", needs_tools=True)])
async def test_a_task_or_a_chat_that_needs_tools_is_given_them(found: Answer) -> None:
    run = Run(["Hi"], structured=found)
    await run.run()

    assert run.model.offered == [["pay"]]


async def test_the_plan_of_the_intent_is_part_of_the_prompt() -> None:
    run = Run(["Hi"], structured=intent(plan=["look", "answer"]))
    await run.run()

    assert "1. look\n2. answer" in run.model.asked[0]["messages"][0]["content"]


async def test_without_an_intent_stage_the_run_starts_at_once_with_its_tools() -> None:
    run = Run(["Hi"], **NO_INTENT)
    await run.run()

    assert run.steps == ["+execution", "-execution"]
    assert run.model.offered == [["pay"]]
    assert run.model.asked_structured == []


async def test_an_intent_that_cannot_be_read_falls_back_to_a_task() -> None:
    run = Run(["Hi"], structured=["I do not know."])

    assert await run.run() == RunFinished()
    assert run.model.offered == [["pay"]]
    assert run.steps == ["+intent", "-intent", "+execution", "-execution"]


async def test_an_intent_model_that_cannot_be_used_fails_the_run_and_the_message_is_remembered() -> None:
    run = Run(structured=401)
    with pytest.raises(ModelUnavailable):
        await run.run()

    assert run.steps == ["+intent", "-intent"]
    assert run.remembered == [("user", "hello")]


async def test_the_usage_of_the_intent_comes_before_its_end() -> None:
    run = Run(["Hi"], structured=intent())
    await run.run()

    kinds = [event.kind for event in run.events]
    assert kinds[:3] == ["step_started", "usage", "step_finished"]


# --- report ---------------------------------------------------------------------------------------------


async def test_an_execution_without_text_is_followed_by_a_report() -> None:
    run = Run([], ["The answer."], **NO_INTENT)

    assert await run.run() == RunFinished()
    assert run.steps == ["+execution", "-execution", "+report", "-report"]
    assert run.text == "The answer."
    assert run.model.offered == [["pay"], []]


async def test_of_a_report_the_answer_is_remembered_and_the_request_for_it_is_not() -> None:
    run = Run(["Working."], ["The answer."], stages={"intent": "off", "report": "always"})
    await run.run()

    assert said_to_the_model(run.model.asked[1])[-1] == ("user", REPORT_REQUEST)
    assert run.remembered == [("user", "hello"), ("assistant", "Working."), ("assistant", "The answer.")]


async def test_without_a_report_stage_nothing_is_written_for_an_execution_without_text() -> None:
    run = Run([], [], stages={"intent": "off", "report": "off"})
    with pytest.raises(ModelEmpty):
        await run.run()

    assert run.steps == ["+execution", "-execution"]


# --- tools ----------------------------------------------------------------------------------------------


async def test_a_tool_acts_only_after_the_end_of_its_call_is_durable() -> None:
    run = Run([PAY], ["Paid."], **NO_INTENT)
    at_the_store, committed = asyncio.Event(), asyncio.Event()

    async def commit(event: InternalRuntimeEvent) -> None:
        if isinstance(event, ToolCallEnded):
            at_the_store.set()
            await committed.wait()

    run.before = commit
    running = asyncio.create_task(run.run())
    await at_the_store.wait()
    await asyncio.sleep(60)
    assert run.log == []
    committed.set()

    assert await running == RunFinished()
    assert run.log == ["paid 5 for r-1:c1"]
    assert [(event.tool_call_id, event.content) for event in run.of(ToolResult)] == [("c1", "paid 5")]


async def test_a_checkpoint_is_saved_after_a_tool_s_result() -> None:
    run = Run([PAY], ["Paid."], **NO_INTENT)
    await run.run()

    (saved,) = run.saved
    assert [role for role, _ in conversation(saved)] == ["user", "assistant"]


async def test_after_its_last_iteration_the_agent_says_what_it_found_and_the_run_fails() -> None:
    second = Asks("pay", '{"euros": 6}', id="c2")
    run = Run([PAY], [second], ["So far: paid."], limits={"max_iterations": 2}, **NO_INTENT)
    with pytest.raises(MaxIterations, match=r"after 2 steps.* Its last message sums up the work"):
        await run.run()

    assert run.log == ["paid 5 for r-1:c1", "paid 6 for r-1:c2"]
    assert run.model.asked[2]["tool_choice"] == "none"
    assert run.text == "So far: paid."


async def test_an_agent_that_goes_on_calling_tools_gets_no_further_iteration() -> None:
    calls: list[Answer] = [[Asks("pay", '{"euros": 1}', id=f"c{number}")] for number in range(5)]
    run = Run(*calls, limits={"max_iterations": 2}, **NO_INTENT)
    with pytest.raises(MaxIterations, match="after 2 steps without an answer"):
        await run.run()

    assert len(run.model.asked) == 3
    assert run.steps[-1] == "-execution"


# --- approvals ------------------------------------------------------------------------------------------


async def asking() -> Run:
    run = Run([PAY], permission="ask", **NO_INTENT)
    assert await run.run() == RunFinished(outcome="interrupt")
    return run


def decided(*, approved: bool) -> tuple[GatedCall, ...]:
    return (GatedCall("c1", "pay", '{"euros": 5}', approved, None),)


async def test_a_tool_that_needs_approval_interrupts_the_run() -> None:
    run = await asking()

    (asked,) = run.of(InterruptRequested)
    assert (asked.tool_call_id, asked.tool_name, asked.arguments) == ("c1", "pay", '{"euros": 5}')
    assert run.log == []
    assert run.orchestrator.checkpoint().client_calls == ()


async def test_an_approved_call_is_made_once_an_event_of_its_run_is_durable() -> None:
    memory = after(await asking(), gated_calls=decided(approved=True))
    run = Run(["Paid."], messages=[], memory=memory, permission="ask", resume=YES)

    assert await run.run() == RunFinished()
    assert run.log == ["durable", "paid 5 for r-1:c1"]
    assert run.steps == ["+execution", "-execution"]
    assert [event.content for event in run.of(ToolResult)] == ["paid 5"]


async def test_a_declined_login_is_told_and_a_call_of_the_client_waits_on() -> None:
    first = Run([PAY, Asks("pick", "{}", id="c2")], tools=[PICK], login=no_login, **NO_INTENT)
    assert await first.run() == RunFinished(outcome="interrupt")
    declined = (GatedCall("c1", "pay", '{"euros": 5}', approved=False, edited=None, about_login=True),)
    run = Run(messages=[], memory=after(first, gated_calls=declined), tools=[PICK], resume=YES)

    assert await run.run() == RunFinished(pending_tool_call_ids=("c2",))
    assert [(event.tool_call_id, event.state) for event in run.of(ToolResult)] == [("c1", "denied")]
    assert run.log == []


async def test_a_denied_call_is_not_made() -> None:
    memory = after(await asking(), gated_calls=decided(approved=False))
    run = Run(["All right."], messages=[], memory=memory, permission="ask", resume=YES)

    assert await run.run() == RunFinished()
    assert run.log == []
    assert [event.state for event in run.of(ToolResult)] == ["denied"]


async def test_a_new_message_beside_a_decision_is_answered_after_the_call_was_made() -> None:
    memory = after(await asking(), gated_calls=decided(approved=True))
    run = Run(
        ["Paid, and hello."],
        structured=intent(),
        messages=[user("and hello", "m2")],
        memory=memory,
        permission="ask",
        resume=YES,
    )

    assert await run.run() == RunFinished()
    assert run.log == ["durable", "paid 5 for r-1:c1"]
    assert run.steps == ["+execution", "-execution", "+intent", "-intent", "+execution", "-execution"]
    (asked,) = run.model.asked
    assert [role for role, _ in said_to_the_model(asked)] == ["user", "assistant", "tool", "user"]
    assert said_to_the_model(asked)[2:] == [("tool", "paid 5"), ("user", "and hello")]
    assert run.saved == []


async def test_a_new_message_without_a_decision_gives_the_waiting_call_up() -> None:
    run = Run(["Hi"], messages=[user("never mind", "m2")], memory=after(await asking()), **NO_INTENT)

    assert await run.run() == RunFinished()
    assert run.log == []
    assert [(event.state, event.content) for event in run.of(ToolResult)] == [("interrupted", INTERRUPTED)]


# --- client tools ---------------------------------------------------------------------------------------


async def picking() -> Run:
    run = Run([Asks("pick", id="k1")], tools=[PICK], **NO_INTENT)
    assert await run.run() == RunFinished(pending_tool_call_ids=("k1",))
    return run


async def test_a_client_tool_ends_the_run_with_its_call_open() -> None:
    run = await picking()

    assert run.model.offered == [["pay", "pick"]]
    assert run.of(ToolResult) == []
    assert run.orchestrator.checkpoint().client_calls == ("k1",)


async def test_the_client_s_answer_goes_on_without_an_intent_and_without_a_result_event() -> None:
    answer = {"id": "m2", "role": "tool", "toolCallId": "k1", "content": "blue"}
    run = Run(["Blue it is."], messages=[answer], memory=after(await picking()), tools=[PICK])

    assert await run.run() == RunFinished()
    assert run.steps == ["+execution", "-execution"]
    assert said_to_the_model(run.model.asked[0])[-1] == ("tool", "blue")
    assert run.of(ToolResult) == []


# --- stops ----------------------------------------------------------------------------------------------


async def test_a_stop_in_the_middle_of_an_answer_keeps_what_was_said() -> None:
    run = Run(["Hel", HANG], **NO_INTENT)
    running = asyncio.create_task(run.run())
    await run.model.hangs.wait()
    run.stop.set("user")
    with pytest.raises(RunStopped):
        await running

    assert run.text == "Hel"
    assert [event.metadata.get("incomplete") for event in run.of(TextEnded)] == [True]
    assert run.remembered == [("user", "hello"), ("assistant", "Hel")]


async def test_a_message_the_agent_was_never_given_is_in_the_checkpoint() -> None:
    run = Run(structured=[HANG])
    running = asyncio.create_task(run.run())
    await run.model.hangs.wait()
    run.stop.set("user")
    with pytest.raises(RunStopped):
        await running

    assert run.steps == ["+intent", "-intent"]
    assert run.remembered == [("user", "hello")]


async def test_a_stop_during_a_report_keeps_the_part_that_was_shown() -> None:
    run = Run(["Working."], ["The an", HANG], stages={"intent": "off", "report": "always"})
    running = asyncio.create_task(run.run())
    await run.model.hangs.wait()
    run.stop.set("user")
    with pytest.raises(RunStopped):
        await running

    assert run.remembered == [("user", "hello"), ("assistant", "Working."), ("assistant", "The an")]


# --- budgets --------------------------------------------------------------------------------------------


def spender(when_exhausted: str) -> Run:
    """Return a run whose first model call uses up its budget; then a tool acts, and a second call is due."""
    limits = {"max_tokens": 5000, "when_exhausted": when_exhausted}
    run = Run([PAY], budget=Limits.model_validate(limits), limits=limits, **NO_INTENT)
    run.model.output_tokens = 4990
    return run


async def test_a_run_whose_budget_is_spent_ends() -> None:
    run = spender("end")
    with pytest.raises(RunBudgetExhausted):
        await run.run()

    assert run.of(InterruptRequested) == []


async def test_a_run_whose_budget_is_spent_asks_whether_to_go_on() -> None:
    run = spender("ask")

    assert await run.run() == RunFinished(outcome="interrupt")
    (asked,) = run.of(InterruptRequested)
    assert (asked.reason, asked.tool_call_id) == ("budget_exhausted", None)
    assert run.log == ["paid 5 for r-1:c1"]


async def test_a_run_that_may_go_on_answers_from_where_it_stood() -> None:
    memory = after(await asked_for_more())
    run = Run(["Paid."], messages=[], memory=memory, resume=YES, **NO_INTENT)

    assert await run.run() == RunFinished()
    assert [role for role, _ in said_to_the_model(run.model.asked[0])] == ["user", "assistant", "tool"]


async def test_a_run_that_may_not_go_on_ends() -> None:
    memory = after(await asked_for_more(), goes_on=False)
    run = Run(messages=[], memory=memory, resume=YES, **NO_INTENT)
    with pytest.raises(BudgetExhausted, match="not raised"):
        await run.run()

    assert run.events == []


async def asked_for_more() -> Run:
    run = spender("ask")
    await run.run()
    return run


# --- what is shown first --------------------------------------------------------------------------------


async def test_history_and_shared_state_are_shown_before_the_first_stage() -> None:
    memory = ThreadMemory(None, (), (), shared_state={"cart": []}, history=(user("hello"),))
    run = Run(["Hi"], memory=memory, **NO_INTENT)
    await run.run()

    assert [type(event) for event in run.events[:3]] == [MessagesSnapshot, StateSnapshot, StepStarted]
    assert '{"cart":[]}' in run.model.asked[0]["messages"][0]["content"]


async def test_a_client_s_copy_is_emptied_first_when_it_asks_for_that() -> None:
    memory = ThreadMemory(None, (), (), history=(user("hello"),))
    run = Run(["Hi"], memory=memory, options={"messagesSnapshot": "anew"}, **NO_INTENT)
    await run.run()

    assert [event.messages for event in run.of(MessagesSnapshot)] == [(), (user("hello"),)]
