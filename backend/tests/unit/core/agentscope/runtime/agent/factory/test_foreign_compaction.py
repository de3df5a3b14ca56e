"""A long conversation of an agent with a model of its own: its summary is in the ledger, and announced."""

from __future__ import annotations

import json

from agentscope.agent import Agent
from tests.support.foreign_models import foreign_model
from tests.support.model_in_memory import STRUCTURED, Asks
from tests.support.stage_run import NO_INTENT, Run, after, user

from core.agentscope.runtime.agent.compaction import EVENT_NAME
from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.schemas.internal_events import CustomEvent, ModelUsage

SUMMARY = json.dumps(
    dict.fromkeys(
        ("task_overview", "current_state", "important_discoveries", "next_steps", "context_to_preserve"),
        "They talked.",
    )
)
CONTEXT_TOKENS = 1000


async def test_a_summary_of_a_foreign_model_is_booked_as_compaction_and_announced() -> None:
    runs: list[Run] = []

    def create(_run: AgentRun) -> Agent:
        return Agent("shop", "Sell.", foreign_model(runs[-1].model, context_size=CONTEXT_TOKENS))

    runs.append(Run(["hello"], factory=create))
    await runs[-1].run()
    runs.append(
        Run(
            ["again"],
            factory=create,
            memory=after(runs[-1]),
            messages=[user("long " * 1000, "m2"), user("and?", "m3")],
            structured=[Asks(STRUCTURED, SUMMARY)],
            **NO_INTENT,
        )
    )
    await runs[-1].run()

    assert runs[-1].text == "again"
    assert [(usage.stage, usage.model) for usage in runs[-1].of(ModelUsage)] == [
        ("compaction", "theirs"),
        ("execution", "theirs"),
    ]
    (announced,) = [event for event in runs[-1].of(CustomEvent) if event.name == EVENT_NAME]
    assert announced.value["contextTokens"] == CONTEXT_TOKENS
    assert announced.value["messagesKept"] < announced.value["messagesBefore"]
    assert announced.value["messagesLeftOut"] == 0
