"""The meter around a model that is not ours: one line for each call, whatever the model is and however a call ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import httpx
import pytest
from agentscope.credential import CredentialBase
from agentscope.message import Base64Source, TextBlock, ToolCallBlock, UserMsg
from agentscope.model import ChatModelBase, ChatResponse, ChatUsage, FinishedReason, StructuredResponse
from pydantic import BaseModel
from tests.support.foreign_models import ShopModel, foreign_model
from tests.support.model_in_memory import HANG, STRUCTURED, Answer, Asks, ModelInMemory

from core.agentscope.events.ledger.budget_store import CallEstimate
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.file_contents import file_block
from core.agentscope.runtime.model.metered_model import ForeignMeter, Metered, metered
from core.agentscope.schemas.internal_events import ModelUsage
from core.errors import AgentBackendError, BudgetExhausted

HELLO = [UserMsg("user", "hello")]


class Refused(Exception):
    status_code = 429


class Theirs(ChatModelBase):
    """Says what it is told to, as any class of a user may."""

    def __init__(self, *answers: Any, stream: bool = True, max_retries: int = 0, **more: Any) -> None:
        super().__init__(
            CredentialBase(),
            "theirs",
            self.Parameters(),
            stream=stream,
            max_retries=max_retries,
            retry_delay=0,
        )
        self.answers = list(answers)
        vars(self).update(more)

    @classmethod
    def _get_retryable_exceptions(cls) -> tuple[type[Exception], ...]:
        return (Refused,)

    async def _call_api(self, model_name: str, messages: Any, *_args: Any, **_more: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return self._said(answer) if self.stream else answer

    async def _said(self, pieces: list[Any]) -> AsyncGenerator[Any, None]:
        for piece in pieces:
            if piece == "hang":
                await asyncio.Event().wait()
            if isinstance(piece, Exception):
                raise piece
            yield piece


def part(
    text: str = "hi", usage: ChatUsage | None = None, *, last: bool = False, **more: Any
) -> ChatResponse:
    return ChatResponse([TextBlock(text=text)] if text else [], is_last=last, usage=usage, **more)


def used(tokens_in: int, tokens_out: int, **more: Any) -> ChatUsage:
    return ChatUsage(tokens_in, tokens_out, 0.1, **more)


class Books:
    """Budget and ledger in memory, in the order in which they are asked."""

    active = True

    def __init__(self, room: int = 1_000_000) -> None:
        self.log: list[str] = []
        self.usages: list[ModelUsage] = []
        self._room = room

    def longest_output(self, max_tokens: int | None) -> int:
        return max_tokens or 10

    async def reserve(self, call_id: str, estimate: CallEstimate) -> None:
        if estimate.tokens > self._room:
            raise BudgetExhausted("no")
        self.log.append("reserved")

    def settle(self, usage: ModelUsage) -> None:
        self.log.append("settled")

    async def release(self, call_id: str) -> None:
        self.log.append("released")

    async def begin(self, opening: ModelUsage) -> None:
        assert opening.outcome == "lost"
        assert opening.input_tokens > 0
        self.log.append("written ahead")

    def take_back(self, call_id: str) -> None:
        self.log.append("taken back")

    def record(self, usage: ModelUsage) -> None:
        self.log.append("booked")
        self.usages.append(usage)

    def around(self, model: ChatModelBase) -> Any:
        services: Any = ModelInMemory().services(budget=self, calls_ahead=self)
        return metered(model, ForeignMeter(services, self.record))


async def said(model: Any, **more: Any) -> list[ChatResponse]:
    answer = await model(HELLO, **more)
    return [answer] if isinstance(answer, ChatResponse) else [each async for each in answer]


WHOLE = ["reserved", "written ahead", "settled", "booked"]


async def test_a_call_is_paid_written_ahead_and_booked_before_its_last_response() -> None:
    books = Books()
    model = books.around(Theirs([part("a"), part("b", used(7, 3))]))
    log: list[str] = []

    async for response in await model(HELLO):
        log.append("last" if response.is_last else "part")
        log += ["booked"] if "booked" in books.log else []

    assert books.log == WHOLE
    assert log == ["part", "part", "last", "booked"]
    (usage,) = books.usages
    assert (usage.input_tokens, usage.output_tokens, usage.outcome, usage.estimated) == (
        7,
        3,
        "completed",
        False,
    )
    assert usage.model == "theirs"
    assert usage.ttft_ms is not None


ENDS: dict[str, tuple[Any, str, bool]] = {
    "no usage": ([part("a" * 40)], "completed", True),
    "an empty answer": ([], "completed", True),
    "a last response of its own": ([part("a"), part("a", used(1, 2), last=True)], "completed", False),
    "an answer that says it was interrupted": (
        [part("a", used(1, 2), last=True, finished_reason=FinishedReason.INTERRUPTED)],
        "cancelled",
        False,
    ),
    "cut off": ([part("a"), httpx.ReadError("x")], "failed", True),
    "refused after its first word": ([part("a"), Refused()], "failed", True),
    "a failure that can have cost something": (httpx.ReadTimeout("x"), "failed", True),
}


@pytest.mark.parametrize("case", ENDS)
async def test_each_end_has_its_outcome(case: str) -> None:
    answer, outcome, estimated = ENDS[case]
    books = Books()
    model = books.around(Theirs(answer))

    if outcome == "failed":
        with pytest.raises((httpx.HTTPError, Refused)):
            await said(model)
    else:
        await said(model)

    assert books.log == WHOLE
    assert [(usage.outcome, usage.estimated) for usage in books.usages] == [(outcome, estimated)]
    assert books.usages[0].input_tokens > 0


@pytest.mark.parametrize("error", [Refused(), httpx.ConnectError("x")], ids=["refused", "never sent"])
async def test_a_call_that_cost_nothing_leaves_no_line(error: Exception) -> None:
    books = Books()

    with pytest.raises(type(error)):
        await said(books.around(Theirs(error)))

    assert books.log == ["reserved", "written ahead", "taken back", "released"]


async def test_a_call_over_budget_is_not_made() -> None:
    books = Books(room=1)
    theirs = Theirs([part()])

    with pytest.raises(BudgetExhausted):
        await said(books.around(theirs))

    assert (len(theirs.answers), books.log) == (1, [])


async def test_each_try_of_the_model_is_a_call() -> None:
    books = Books()

    await said(books.around(Theirs(Refused(), [part("a", used(1, 1))], max_retries=1)))

    assert books.log == ["reserved", "written ahead", "taken back", "released", *WHOLE]


async def test_a_cancelled_call_is_booked_as_cancelled() -> None:
    books = Books()
    begun = asyncio.Event()

    async def listen() -> None:
        async for _ in await books.around(Theirs([part("a" * 40), "hang"]))(HELLO):
            begun.set()

    listening = asyncio.create_task(listen())
    await begun.wait()
    listening.cancel()
    await asyncio.wait({listening})

    assert [(each.outcome, each.output_tokens) for each in books.usages] == [("cancelled", 10)]


async def test_a_model_that_does_not_stream_is_metered_too() -> None:
    books = Books()

    await said(books.around(Theirs(part("a", used(7, 3), last=True), stream=False)))

    assert books.log == WHOLE
    assert books.usages[0].input_tokens == 7


async def test_structured_output_is_metered() -> None:
    class Answer(BaseModel):
        number: int

    call = ToolCallBlock(id="c", name="generate_structured_output", input='{"number": 4}')
    books = Books()
    model = books.around(Theirs([ChatResponse([call], is_last=False, usage=used(9, 1))]))

    answer = await model.generate_structured_output(HELLO, Answer)

    assert answer.content == {"number": 4}
    assert [(each.input_tokens, each.outcome) for each in books.usages] == [(9, "completed")]


class ByCall(Theirs):
    """Talks to its provider in ``__call__``."""

    async def __call__(self, messages: Any, *_args: Any, **_more: Any) -> Any:
        return self._said([part("a", used(5, 5), last=True)])

    async def generate_structured_output(self, *_args: Any, **_more: Any) -> StructuredResponse:
        return StructuredResponse({"number": 4}, usage=used(6, 6))


class AroundCall(Theirs):
    """Does something around the call of its base class."""

    async def __call__(self, *args: Any, **more: Any) -> Any:
        return await super().__call__(*args, **more)


async def test_a_model_that_calls_its_provider_in_another_place_is_metered_there() -> None:
    books = Books()
    model = books.around(ByCall())

    await said(model)
    await model.generate_structured_output(HELLO, {})

    assert [each.input_tokens for each in books.usages] == [5, 6]


async def test_no_call_is_metered_twice() -> None:
    books = Books()

    await said(books.around(AroundCall([part("a", used(5, 5))])))

    assert books.log == WHOLE


async def test_a_metered_model_is_the_user_s_model_in_all_but_its_calls() -> None:
    books = Books()
    theirs = foreign_model(ModelInMemory(["hi"]), context_size=4096)

    model: Any = books.around(theirs)
    await said(model)

    assert isinstance(model, ShopModel)
    assert isinstance(model, Metered)
    assert (model.model, model.context_size, model.formatter) == ("theirs", 4096, theirs.formatter)
    assert await model.count_tokens(HELLO, None) == await theirs.count_tokens(HELLO, None)
    # What it counts or learns, it counts for all runs.
    assert theirs.calls == 1
    model.context_size = 2048
    assert theirs.context_size == 2048


async def test_a_model_that_is_metered_again_has_one_meter() -> None:
    first, second = Books(), Books()

    await said(second.around(first.around(Theirs([part("a", used(1, 1))]))))

    assert (first.log, second.log) == ([], WHOLE)


async def test_anthropic_s_cached_tokens_are_part_of_the_input() -> None:
    books = Books()
    usage = used(10, 1, cache_input_tokens=100, cache_creation_input_tokens=30)
    model = books.around(Theirs([part("a", usage)], type="anthropic_chat"))

    await said(model)

    (line,) = books.usages
    assert (line.provider, line.input_tokens, line.cached_input_tokens, line.cache_write_tokens) == (
        "anthropic",
        140,
        100,
        30,
    )


async def test_a_foreign_model_gets_the_bytes_of_files_and_the_caller_keeps_the_references() -> None:
    given: list[Any] = []

    class Seeing(Theirs):
        async def _call_api(self, model_name: str, messages: Any, *args: Any, **more: Any) -> Any:
            given.append(messages[0].get_content_blocks()[0].source)
            return await super()._call_api(model_name, messages, *args, **more)

    async def load(file_ids: Any) -> dict[str, bytes | None]:
        return dict.fromkeys(file_ids, b"bytes")

    services: Any = replace(ModelInMemory().services(), files=load)
    model: Any = metered(Seeing([part(last=True)]), ForeignMeter(services, lambda _usage: None))
    message = UserMsg("user", [file_block("1" * 64, "image/png", "a.png")])

    assert [each async for each in await model([message])]

    assert given == [Base64Source(data="Ynl0ZXM=", media_type="image/png")]
    assert "Ynl0ZXM=" not in message.model_dump_json()


# --- a user's model around ours ------------------------------------------------------------


class Router(Theirs):
    """Forwards to our model; or asks it first, or only if its own provider fails."""

    inner: Any = None
    first: bool = False

    async def _call_api(self, model_name: str, messages: Any, *args: Any, **more: Any) -> Any:
        if self.first:
            try:
                async for _ in await self.inner(messages):
                    pass
            except AgentBackendError:
                pass
        elif not self.answers:
            return await self.inner(messages)
        return await super()._call_api(model_name, messages, *args, **more)


class Wrapper(Router):
    """Goes through the stream of our model by itself."""

    async def _call_api(self, model_name: str, messages: Any, *_args: Any, **_more: Any) -> Any:
        return self._changed(messages)

    async def _changed(self, messages: Any) -> AsyncGenerator[Any, None]:
        async for response in await self.inner(messages):
            yield response


class ByCallRouter(Router):
    async def __call__(self, messages: Any, *_args: Any, **_more: Any) -> Any:
        return await self.inner(messages)


class Whole(Router):
    """Gathers the stream, and answers in one piece."""

    async def _call_api(self, model_name: str, messages: Any, *_args: Any, **_more: Any) -> Any:
        return [response async for response in await self.inner(messages)][-1]


def routed(
    books: Books, *script: Answer, kind: type[Router] = Router, answers: Any = (), **more: Any
) -> tuple[Any, ModelInMemory]:
    endpoint = ModelInMemory(*script)
    services: Any = endpoint.services(budget=books, calls_ahead=books)
    ours = OpenAICompatibleChatModel(services, model="m", stage="execution", record=books.record)
    return books.around(kind(*answers, inner=ours, **more)), endpoint


OUTER_GIVES_WAY = ["reserved", "written ahead", "released"]


@pytest.mark.parametrize("kind", [Router, Wrapper, ByCallRouter, Whole])
async def test_a_router_over_our_model_costs_what_our_model_costs(kind: type[Router]) -> None:
    books = Books()
    model, endpoint = routed(books, ["hel", "lo"], kind=kind)

    responses = await said(model)

    assert [block.text for block in responses[-1].content if isinstance(block, TextBlock)] == ["hello"]
    assert len(endpoint.asked) == 1
    assert [(each.model, each.input_tokens, each.output_tokens) for each in books.usages] == [("m", 10, 5)]
    assert books.log == [*OUTER_GIVES_WAY, *WHOLE, "taken back"]


async def test_structured_output_over_our_model_is_paid_once() -> None:
    class Gate(Router):
        async def generate_structured_output(self, messages: Any, structured_model: Any, **more: Any) -> Any:
            return await self.inner.generate_structured_output(messages, structured_model, **more)

    class Number(BaseModel):
        number: int

    books = Books()
    model, endpoint = routed(books, kind=Gate)
    said_so: Answer = [Asks(STRUCTURED, '{"number": 4}')]
    endpoint.structured = said_so

    answer = await model.generate_structured_output(HELLO, Number)

    assert answer.content == {"number": 4}
    assert [each.model for each in books.usages] == ["m"] * len(endpoint.asked_structured) == ["m"]


async def test_a_router_that_also_asks_its_own_provider_pays_for_both() -> None:
    books = Books()
    model, _ = routed(books, ["theirs"], first=True, answers=[[part("a", used(7, 3))]])

    await said(model)

    assert [(each.model, each.output_tokens) for each in books.usages] == [("m", 5), ("theirs", 3)]


async def test_a_router_whose_own_provider_answers_after_ours_refused_pays_its_own() -> None:
    books = Books()
    model, _ = routed(books, 400, first=True, answers=[[part("a")]])

    await said(model)

    assert [(each.model, each.estimated) for each in books.usages] == [("theirs", True)]


async def test_a_refusal_of_our_model_costs_its_router_nothing() -> None:
    books = Books()
    model, _ = routed(books, 400)

    with pytest.raises(AgentBackendError):
        await said(model)

    assert books.usages == []
    assert books.log == [
        *OUTER_GIVES_WAY,
        "reserved",
        "written ahead",
        "taken back",
        "released",
        "taken back",
    ]


@pytest.mark.parametrize("kind", [Router, Wrapper])
async def test_a_router_that_is_left_in_the_middle_is_booked_once(kind: type[Router]) -> None:
    books = Books()
    model, _ = routed(books, ["hel", HANG], kind=kind)

    async with aclosing(await model(HELLO)) as responses:
        await anext(responses)
    while "booked" not in books.log:  # noqa: ASYNC110  the interpreter closes what nobody holds any more
        await asyncio.sleep(0)

    assert [(each.model, each.outcome) for each in books.usages] == [("m", "cancelled")]
    assert books.log.count("taken back") == 1


async def test_a_cancelled_router_is_booked_once() -> None:
    books = Books()
    model, endpoint = routed(books, ["hel", HANG], kind=Wrapper)
    listening = asyncio.create_task(said(model))
    await endpoint.hangs.wait()

    listening.cancel()
    await asyncio.wait({listening})

    assert [(each.model, each.outcome) for each in books.usages] == [("m", "cancelled")]
