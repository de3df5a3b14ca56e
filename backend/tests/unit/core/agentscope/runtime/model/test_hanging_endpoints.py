"""Endpoints that say nothing for a long time: what a user sees, and how long it takes, in virtual seconds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agentscope.message import UserMsg
from tests.support.scripted_endpoint import (
    HANG,
    D,
    Part,
    Reply,
    S,
    ScriptedEndpoint,
    c,
    refusal,
    said,
    stream,
)
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.schemas.internal_events import ModelRetrying
from core.config import ModelSettings
from core.errors import ModelTimeout, RunFailure

SILENT = stream(HANG)
PINGS = stream(b": ping\n\n", HANG)
ANSWER = stream(said("Hello"), S)


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


class Call:
    """One call by a model with the settings that ship, and what a user sees of it."""

    def __init__(self, *replies: Reply, spare: list[Reply] | None = None) -> None:
        self.endpoint = ScriptedEndpoint(*replies)
        self.told: list[tuple[float, int, str]] = []
        """When a further try was announced, its number, and why."""
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._began = loop.time()
        settings = {"max_retries": ModelSettings().max_retries}
        services = self.endpoint.services(
            settings=settings, clock=loop.time, announce=self._announce, dice=lambda: 0.5
        )
        fallback = None
        self.spare = ScriptedEndpoint(*(spare or ()))
        if spare is not None:
            other = self.spare.services(settings=settings)
            fallback = ChatEndpoint(other.client, other.settings, "spare")
        self._model = OpenAICompatibleChatModel(
            services, model="m", stage="execution", record=lambda _usage: None, fallback=fallback
        )

    async def _announce(self, event: ModelRetrying) -> None:
        self.told.append((round(self.seconds), event.attempt, event.code))

    @property
    def seconds(self) -> float:
        return self._now() - self._began

    async def ask(self) -> str:
        answer: Any = await self._model([UserMsg(name="user", content="hi")])
        *_, last = [response async for response in answer]
        return last.content[0].text


@pytest.mark.parametrize("silence", [SILENT, PINGS])
async def test_a_model_that_hangs_is_told_after_one_timeout_and_given_up_after_two(silence: Reply) -> None:
    call = Call(silence, silence)
    with pytest.raises(ModelTimeout):
        await call.ask()

    assert call.told == [(60, 2, "model-timeout")]
    assert round(call.seconds) == 120
    assert len(call.endpoint.requests) == 2


async def test_the_second_try_of_a_model_that_hung_answers() -> None:
    call = Call(SILENT, ANSWER)

    assert await call.ask() == "Hello"
    assert call.told == [(60, 2, "model-timeout")]


async def test_the_fallback_is_the_second_try_of_a_model_that_hangs() -> None:
    call = Call(SILENT, spare=[ANSWER])

    assert await call.ask() == "Hello"
    assert call.told == [(60, 2, "model-timeout")]
    assert round(call.seconds) == 60


async def test_a_fallback_that_hangs_too_is_the_end() -> None:
    call = Call(SILENT, spare=[SILENT])
    with pytest.raises(ModelTimeout):
        await call.ask()

    assert round(call.seconds) == 120
    assert (len(call.endpoint.requests), len(call.spare.requests)) == (1, 1)


async def test_a_model_that_hangs_and_then_fails_is_not_asked_a_third_time() -> None:
    call = Call(SILENT, refusal(503))
    with pytest.raises(RunFailure):
        await call.ask()

    assert round(call.seconds) == 60
    assert len(call.endpoint.requests) == 2


async def test_all_further_tries_are_counted_together() -> None:
    call = Call(*[refusal(503)] * 4, spare=[refusal(503), ANSWER])

    assert await call.ask() == "Hello"
    assert [number for _, number, _ in call.told] == [2, 3, 4, 5, 6]


# --- in the middle of an answer -------------------------------------------------------------------------


def later(seconds: float) -> asyncio.Event:
    """Return an event that is set after so many virtual seconds."""
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, event.set)
    return event


async def test_a_finish_in_every_chunk_ends_nothing_however_slow_the_chunks_are() -> None:
    parts: list[Part] = [
        c({"content": "Hello"}, "stop"),
        later(6),
        c({"content": " there."}, "stop"),
        later(30),
        D,
    ]

    assert await Call(stream(*parts)).ask() == "Hello there."


async def test_a_server_that_says_neither_the_end_nor_anything_else_is_not_waited_for() -> None:
    call = Call(stream(said("Hello"), c({}, "stop"), HANG))

    assert await call.ask() == "Hello"
    assert call.seconds < 10
