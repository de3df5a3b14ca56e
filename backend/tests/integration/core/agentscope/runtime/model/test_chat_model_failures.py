"""The chat model when the endpoint fails: retries before the first delta, an error after it, and never a hang."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from agentscope.message import UserMsg
from structlog.testing import capture_logs
from tests.support.limits import HUNG_SECONDS

from core.agentscope.runtime.model import chat_call
from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.model.chat_errors import ModelRejected
from core.agentscope.runtime.model.model_client import create_model_client
from core.agentscope.runtime.profile.profile import Limits
from core.agentscope.runtime.profile.run_budget import RunBudget
from core.agentscope.schemas.internal_events import ModelRetrying
from core.config import ModelSettings
from core.errors import (
    BudgetExhausted,
    ContextTooLong,
    ModelStreamError,
    ModelTimeout,
    ModelUnavailable,
    RunFailure,
)

# The types of the fixtures are in the conftest of this directory, which importlib mode keeps out of reach.
Endpoint = Any
SetUp = Any
Setup = Any


def outcomes(setup: Setup) -> list[tuple[str, bool]]:
    return [(record.outcome, record.estimated) for record in setup.records]


# --- before the first delta ----------------------------------------------------


async def test_a_busy_provider_is_asked_again_when_it_says(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.answer(429, {"error": {"message": "slow down"}}, retry_after="7")
    endpoint.answer(503, b"<h1>Unavailable</h1>", "text/html")
    endpoint.answer(429, {}, retry_after="30")
    endpoint.stream(*endpoint.text("a"), endpoint.usage())
    setup = set_up()
    *_, last = await setup.ask()
    assert last.content[0].text == "a"
    assert setup.waits == [7, 0.5, 30]
    assert outcomes(setup) == [("completed", False)]


async def test_a_long_wait_is_not_waited_for_but_told_at_once(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.answer(429, {"error": {"message": "daily limit"}}, retry_after="3600")
    setup = set_up()
    with pytest.raises(ModelUnavailable, match="asks to wait 1 hour") as failed:
        await setup.ask()
    assert failed.value.retry_after_seconds == 3600
    assert setup.waits == []
    assert len(endpoint.received) == 1


async def test_each_retry_is_announced_before_its_wait_and_a_last_failure_is_not(
    endpoint: Endpoint, set_up: SetUp
) -> None:
    endpoint.answer(429, {}, retry_after="7")
    endpoint.answer(503, {})
    endpoint.answer(500, {})
    told: list[tuple[ModelRetrying, list[float]]] = []

    async def announce(event: ModelRetrying) -> None:
        told.append((event, list(setup.waits)))

    setup = set_up(max_retries=2, services={"announce": announce})
    with pytest.raises(ModelUnavailable):
        await setup.ask()

    first = ModelRetrying(attempt=2, delay_ms=7000, code="model-unavailable")
    second = ModelRetrying(attempt=3, delay_ms=500, code="model-unavailable")
    assert told == [(first, []), (second, [7])]


async def test_what_is_not_tried_again_is_not_announced(endpoint: Endpoint, set_up: SetUp) -> None:
    told: list[ModelRetrying] = []

    async def announce(event: ModelRetrying) -> None:
        told.append(event)

    setup = set_up(services={"announce": announce})
    endpoint.stream(*endpoint.text("a", finish=None), {"error": {"message": "overloaded", "code": 503}})
    with pytest.raises(RunFailure):
        await setup.ask()
    endpoint.answer(400, {})
    with pytest.raises(ModelRejected):
        await setup.ask()

    assert told == []


async def test_tries_are_counted(endpoint: Endpoint, set_up: SetUp) -> None:
    for _ in range(3):
        endpoint.answer(500, {"error": "boom"})
    setup = set_up(max_retries=2)
    with pytest.raises(ModelUnavailable):
        await setup.ask()
    assert len(endpoint.received) == 3
    assert setup.records == []


async def test_a_budget_is_asked_before_each_try_and_pays_for_what_was_used(
    endpoint: Endpoint, set_up: SetUp
) -> None:
    endpoint.answer(503, {})
    endpoint.stream(*endpoint.text("a"), endpoint.usage(30, 20))
    # Room for one try: the refused one has to give its share back.
    budget = RunBudget(Limits(max_tokens=60), None, output_tokens=40)
    setup = set_up(services={"budget": budget})
    await setup.ask()
    with pytest.raises(BudgetExhausted):
        await setup.ask()
    assert len(endpoint.received) == 2
    assert outcomes(setup) == [("completed", False)]


async def test_no_try_begins_a_minute_after_the_first(endpoint: Endpoint, set_up: SetUp) -> None:
    for _ in range(9):
        endpoint.answer(429, {}, retry_after="20")
    setup = set_up(max_retries=9)
    with pytest.raises(ModelUnavailable):
        await setup.ask()
    assert setup.waits == [20, 20, 20]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, ModelUnavailable),
        (400, ModelRejected),
        (401, ModelUnavailable),
        (402, ModelUnavailable),
        (403, ModelUnavailable),
        (404, ModelUnavailable),
        (413, ContextTooLong),
        (422, ModelRejected),
    ],
)
async def test_a_wrong_request_is_not_repeated(
    endpoint: Endpoint, set_up: SetUp, status: int, error: type[RunFailure]
) -> None:
    endpoint.answer(status, {"error": {"message": "no such thing"}})
    setup = set_up()
    with pytest.raises(error) as caught:
        await setup.ask()
    assert type(caught.value) is error
    assert caught.value.code == error.code
    assert len(endpoint.received) == 1
    assert setup.records == []


async def test_details_and_logs_hold_no_key_no_host_and_no_prompt(endpoint: Endpoint, set_up: SetUp) -> None:
    message = "Incorrect API key provided: sk-test-0123456789, Bearer abcDEF123" + " and so on" * 1000
    endpoint.answer(401, {"error": {"message": message}})
    with capture_logs() as logs, pytest.raises(ModelUnavailable) as caught:
        await set_up().ask(UserMsg(name="user", content="my secret question"))
    text = str(logs)
    assert len(text) < 1000
    assert "Incorrect API key" in text
    for secret in ("sk-test", "abcDEF123", "secret question"):
        assert secret not in text
        assert secret not in caught.value.detail
    assert "127.0.0.1" not in caught.value.detail


async def test_an_endpoint_that_is_not_there(set_up: SetUp) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        setup = set_up(base_url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        with pytest.raises(ModelUnavailable, match="cannot be reached"):
            await setup.ask()
    assert len(setup.waits) == 3
    assert setup.records == []


async def test_a_web_page_is_not_a_model(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.answer(200, b"<html></html>", "text/html; charset=utf-8")
    setup = set_up()
    with pytest.raises(ModelUnavailable, match="web page"):
        await setup.ask()
    assert setup.records == []


@pytest.mark.parametrize("kind", ["no head", "no body", "no delta", "malformed", "error", "ended"])
async def test_a_call_that_broke_before_its_first_delta_is_repeated_and_booked(
    endpoint: Endpoint, set_up: SetUp, kind: str
) -> None:
    role = endpoint.chunk({"role": "assistant", "content": ""})
    error = {"error": {"message": "overloaded", "code": 503}}
    scripts: dict[str, list[Any]] = {
        "no head": ["cut"],
        "no body": [endpoint.head(), "cut"],
        "no delta": [*endpoint.stream_steps(role, end=False), "cut"],
        "malformed": endpoint.stream_steps(b"data: {oops\n\n"),
        "error": endpoint.stream_steps(role, error),
        "ended": [*endpoint.stream_steps(role, end=False), b"0\r\n\r\n"],
    }
    endpoint.script(*scripts[kind])
    endpoint.stream(*endpoint.text("a"), endpoint.usage())
    setup = set_up()
    *_, last = await setup.ask()
    assert last.content[0].text == "a"
    assert outcomes(setup) == [("failed", True), ("completed", False)]
    assert len({record.call_id for record in setup.records}) == 2


async def test_an_error_inside_the_answer_is_judged_by_its_status(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.stream({"error": {"message": "context too long", "code": 400}})
    setup = set_up()
    with pytest.raises(ModelRejected):
        await setup.ask()
    assert len(endpoint.received) == 1


async def test_a_model_that_does_not_begin(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script(
        *endpoint.stream_steps(b": waiting\n\n", endpoint.chunk({"role": "assistant"}), end=False), "hang"
    )
    setup = set_up(first_token_timeout_seconds=0.05, max_retries=0)
    async with asyncio.timeout(HUNG_SECONDS):
        with pytest.raises(ModelTimeout, match="did not begin"):
            await setup.ask()
        await endpoint.left.wait()
    assert outcomes(setup) == [("failed", True)]
    assert setup.records[0].ttft_ms is None


async def test_a_model_that_did_not_begin_is_asked_again(endpoint: Endpoint, set_up: SetUp) -> None:
    now = [0.0]
    go_on = asyncio.Event()
    waiting = endpoint.stream_steps(b": waiting\n\n", end=False)
    endpoint.script(*waiting, go_on, endpoint.http_chunk(b": still waiting\n\n"), "hang")
    endpoint.stream(*endpoint.text("a"))
    setup = set_up(services={"clock": lambda: now[0]}, first_token_timeout_seconds=30)
    asking = asyncio.create_task(setup.ask())
    async with asyncio.timeout(HUNG_SECONDS):
        await endpoint.arrived.wait()
        # The first try's time is over; the second has all of its own.
        now[0] += 30
        go_on.set()
        *_, last = await asking
    assert last.content[0].text == "a"
    assert len(endpoint.received) == 2


# --- after the first delta -----------------------------------------------------


@pytest.mark.parametrize("kind", ["cut", "ended", "malformed", "error"])
async def test_an_answer_that_breaks_off_is_an_error_and_not_repeated(
    endpoint: Endpoint, set_up: SetUp, kind: str
) -> None:
    shown = endpoint.chunk({"content": "12345678"})
    scripts: dict[str, list[Any]] = {
        "cut": [*endpoint.stream_steps(shown, end=False), "cut"],
        "ended": [*endpoint.stream_steps(shown, end=False), b"0\r\n\r\n"],
        "malformed": endpoint.stream_steps(shown, b"data: {oops\n\n"),
        "error": endpoint.stream_steps(shown, {"error": {"message": "boom", "code": 503}}),
    }
    endpoint.script(*scripts[kind])
    setup = set_up()
    with pytest.raises(ModelStreamError):
        await setup.ask()
    assert len(endpoint.received) == 1
    assert outcomes(setup) == [("failed", True)]
    assert setup.records[0].output_tokens == 2


async def test_a_model_that_falls_silent(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script(
        *endpoint.stream_steps(endpoint.chunk({"content": "a"}), b": still here\n\n", end=False), "hang"
    )
    setup = set_up(idle_timeout_seconds=0.05)
    async with asyncio.timeout(HUNG_SECONDS):
        with pytest.raises(ModelTimeout, match="stopped in the middle"):
            await setup.ask()
        await endpoint.left.wait()
    assert len(endpoint.received) == 1
    assert outcomes(setup) == [("failed", True)]


async def test_comments_keep_no_call_alive(endpoint: Endpoint, set_up: SetUp) -> None:
    now = [0.0]
    go_on = asyncio.Event()
    shown = endpoint.stream_steps(endpoint.chunk({"content": "a"}), end=False)
    endpoint.script(*shown, go_on, endpoint.http_chunk(b": still here\n\n"), "hang")
    setup = set_up(services={"clock": lambda: now[0]}, idle_timeout_seconds=60)
    stream: Any = await setup.model([UserMsg(name="user", content="hi")])
    await anext(stream)
    now[0] = 59.95
    go_on.set()
    async with asyncio.timeout(HUNG_SECONDS):
        with pytest.raises(ModelTimeout):
            await anext(stream)


async def test_an_answer_without_an_end_marker_ends(
    endpoint: Endpoint, set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_call, "_TAIL_SECONDS", 0.05)
    endpoint.script(*endpoint.stream_steps(*endpoint.text("a"), end=False), "hang")
    setup = set_up()
    async with asyncio.timeout(HUNG_SECONDS):
        *_, last = await setup.ask()
        await endpoint.left.wait()
    assert last.content[0].text == "a"
    assert outcomes(setup) == [("completed", True)]


async def test_a_body_that_stays_open_after_its_end_marker_is_closed(
    endpoint: Endpoint, set_up: SetUp
) -> None:
    *steps, _ = endpoint.stream_steps(*endpoint.text("a"), endpoint.usage())
    endpoint.script(*steps, "hang")
    setup = set_up()
    async with asyncio.timeout(HUNG_SECONDS):
        *_, last = await setup.ask()
        await endpoint.left.wait()
    assert last.content[0].text == "a"
    assert outcomes(setup) == [("completed", False)]


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_answer_cut_at_any_byte_fails_or_is_whole(
    endpoint: Endpoint, set_up: SetUp, chunked: bool
) -> None:
    documents = [
        endpoint.chunk({"content": "é"}),
        endpoint.call(0, "c1", "f", "{}"),
        endpoint.chunk(finish="stop"),
        endpoint.usage(),
    ]
    head, *body = endpoint.stream_steps(*documents)
    if not chunked:
        head = head.replace(b"transfer-encoding: chunked\r\n", b"")
        body = [step.split(b"\r\n")[1] for step in body[:-1]]
    data = b"".join(body)
    last_needed = orjson.dumps(documents[2])
    whole_from = data.index(last_needed) + len(last_needed)
    setup = set_up(max_retries=0)
    for place in range(len(data)):
        endpoint.script(head + data[:place], "cut")
        async with asyncio.timeout(HUNG_SECONDS):
            try:
                *_, last = await setup.ask()
                whole = True
                assert [block.type for block in last.content] == ["text", "tool_call"]
            except ModelStreamError:
                whole = False
        assert whole == (place >= whole_from)
        assert setup.records[-1].outcome == ("completed" if whole else "failed")
    assert len(setup.records) == len(data)


async def test_a_head_cut_at_any_byte_is_an_unreachable_model(endpoint: Endpoint, set_up: SetUp) -> None:
    head = endpoint.head()
    setup = set_up(max_retries=0)
    for place in range(len(head)):
        endpoint.script(head[:place], "cut")
        async with asyncio.timeout(HUNG_SECONDS):
            with pytest.raises(ModelUnavailable):
                await setup.ask()
    assert len(setup.records) == len(head)


# --- the fallback ------------------------------------------------------------------


@pytest.fixture
async def spare(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    """A second endpoint."""
    spare = type(endpoint)()
    await spare.start()
    yield spare
    await spare.stop()


@pytest.fixture
async def with_spare(spare: Endpoint, set_up: SetUp) -> AsyncIterator[SetUp]:
    """Build models whose fallback is ``spare-model`` on the second endpoint."""
    settings = ModelSettings(base_url=spare.base_url, provider="second", max_retries=1)
    async with create_model_client(settings) as client:
        fallback = ChatEndpoint(client, settings, "spare-model")
        yield lambda **changes: set_up(options={"fallback": fallback}, **changes)


def booked(setup: Setup) -> list[tuple[str, str, str]]:
    return [(record.provider, record.model, record.outcome) for record in setup.records]


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
async def test_the_fallback_answers_when_the_tries_are_used_up(
    endpoint: Endpoint, spare: Endpoint, with_spare: SetUp, status: int
) -> None:
    for _ in range(3):
        endpoint.answer(status, {})
    spare.stream(*[document | {"model": "spare-1"} for document in (*spare.text("a"), spare.usage())])
    setup = with_spare(max_retries=2)

    *_, last = await setup.ask()

    assert last.content[0].text == "a"
    transient = status in (429, 500, 503)
    assert len(endpoint.received) == (3 if transient else 1)
    (request,) = spare.received
    assert request.body["model"] == "spare-model"
    assert request.body["messages"] == endpoint.received[0].body["messages"]
    # The key of the first endpoint is not for the second.
    assert "authorization" not in request.headers
    assert booked(setup) == [("second", "spare-1", "completed")]
    assert last.usage.metadata["model"] == "spare-1"


async def test_the_fallback_answers_for_an_endpoint_that_is_not_there(
    endpoint: Endpoint, spare: Endpoint, with_spare: SetUp
) -> None:
    await endpoint.stop()
    spare.stream(*spare.text("a"), spare.usage())
    setup = with_spare(max_retries=0)
    *_, last = await setup.ask()
    assert last.content[0].text == "a"
    assert [provider for provider, _, _ in booked(setup)] == ["second"]


async def test_a_try_that_can_have_cost_something_is_booked_once_beside_the_fallbacks(
    endpoint: Endpoint, spare: Endpoint, with_spare: SetUp
) -> None:
    endpoint.script(endpoint.head(), "cut")
    spare.answer(503, {})
    spare.stream(*spare.text("a"), spare.usage())
    setup = with_spare(max_retries=0)
    await setup.ask()
    assert booked(setup) == [("127.0.0.1", "m", "failed"), ("second", "m-1", "completed")]
    assert [record.estimated for record in setup.records] == [True, False]
    assert len({record.call_id for record in setup.records}) == 2


async def test_an_answer_that_has_begun_is_not_taken_over(
    endpoint: Endpoint, spare: Endpoint, with_spare: SetUp
) -> None:
    endpoint.script(*endpoint.stream_steps(endpoint.chunk({"content": "a"}), end=False), "cut")
    setup = with_spare()
    with pytest.raises(ModelStreamError):
        await setup.ask()
    assert spare.received == []


async def test_a_request_that_is_wrong_goes_no_further(
    endpoint: Endpoint, spare: Endpoint, with_spare: SetUp
) -> None:
    endpoint.answer(400, {})
    setup = with_spare()
    with pytest.raises(ModelRejected):
        await setup.ask()
    assert spare.received == []


async def test_the_last_failure_counts_when_the_fallback_fails_too(
    endpoint: Endpoint, spare: Endpoint, with_spare: SetUp
) -> None:
    endpoint.answer(503, {})
    spare.answer(500, {})
    spare.answer(402, {})
    setup = with_spare(max_retries=0)
    with pytest.raises(ModelUnavailable, match="payment"):
        await setup.ask()
    assert (len(endpoint.received), len(spare.received), setup.records) == (1, 2, [])
