"""Long contexts: AgentScope may summarise and must not truncate, and a summary is announced."""

from __future__ import annotations

from typing import Any

import pytest
from agentscope.exception import StructuredOutputError
from agentscope.message import Msg, UserMsg
from agentscope.state import AgentState
from structlog.testing import capture_logs
from tests.support.model_in_memory import ModelInMemory

from core.agentscope.runtime.agent.compaction import (
    EVENT_NAME,
    CompactionMiddleware,
    CompactionModel,
    context_config,
)
from core.agentscope.runtime.profile.profile import Context
from core.agentscope.schemas.internal_events import CustomEvent
from core.errors import ModelUnavailable


@pytest.mark.parametrize("trigger_ratio", [0.1, 0.11, 0.7, 0.9])
def test_every_trigger_a_profile_may_set_leaves_room_for_what_is_kept(trigger_ratio: float) -> None:
    config = context_config(Context(trigger_ratio=trigger_ratio))

    assert config.trigger_ratio == trigger_ratio
    assert 0 < config.reserve_ratio < trigger_ratio


def test_nothing_is_truncated_when_a_summary_fails_and_no_image_is_dropped() -> None:
    config = context_config(Context(tool_result_tokens=123))

    assert config.compression_fallback_to_truncation is False
    assert config.max_image_num > 1000
    assert config.tool_result_limit == 123


# --- the middleware -------------------------------------------------------------------------------------


class Summarises:
    """An agent that compacts its context as AgentScope does; it notes which model it did it with."""

    def __init__(self, model: Any, messages: int) -> None:
        self.model = model
        context: list[Msg] = [UserMsg(name="user", content=str(number)) for number in range(messages)]
        self.state = AgentState(session_id="t-1", context=context)
        self.asked: list[Any] = []

    async def compress(self, *, summary: str | None = None, error: Exception | None = None) -> None:
        self.asked.append(self.model)
        if error is not None:
            raise error
        if summary is not None:
            self.state.summary = summary
            self.state.context = self.state.context[-1:]


def compaction_model() -> CompactionModel:
    services = ModelInMemory().services()
    return CompactionModel(services, model="m", stage="compaction", record=lambda _usage: None)


async def compact(agent: Summarises, model: CompactionModel, **outcome: Any) -> list[CustomEvent]:
    announced: list[CustomEvent] = []
    middleware = CompactionMiddleware(model, announced.append)
    await middleware.on_compress_context(agent, outcome, agent.compress)
    return announced


async def test_a_summary_is_written_by_the_compaction_s_own_model_and_announced() -> None:
    own, summariser = compaction_model(), compaction_model()
    agent = Summarises(own, messages=4)
    (event,) = await compact(agent, summariser, summary="short")

    assert agent.asked == [summariser]
    assert agent.model is own
    assert event.name == EVENT_NAME
    assert event.value == {
        "contextTokens": own.context_size,
        "messagesBefore": 4,
        "messagesKept": 1,
        "messagesLeftOut": 0,
    }


async def test_a_context_that_fits_is_not_announced() -> None:
    assert await compact(Summarises(compaction_model(), messages=4), compaction_model()) == []


async def test_an_empty_context_asks_nobody() -> None:
    agent = Summarises(compaction_model(), messages=0)

    assert await compact(agent, compaction_model(), summary="short") == []
    assert agent.asked == []


async def test_a_summary_that_fails_leaves_the_conversation_and_the_model_as_they_were() -> None:
    own = compaction_model()
    agent = Summarises(own, messages=4)
    with capture_logs() as logs:
        assert await compact(agent, compaction_model(), error=StructuredOutputError("no summary")) == []

    assert len(agent.state.context) == 4
    assert agent.model is own
    assert [entry["event"] for entry in logs] == ["context_not_compacted"]


async def test_a_model_that_cannot_be_used_is_an_error_and_the_agent_has_its_own_model_back() -> None:
    own = compaction_model()
    agent = Summarises(own, messages=4)
    with pytest.raises(ModelUnavailable):
        await compact(agent, compaction_model(), error=ModelUnavailable("away"))

    assert agent.model is own
