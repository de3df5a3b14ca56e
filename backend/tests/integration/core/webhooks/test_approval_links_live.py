"""A link of a notification answers its question: once, by its button alone, for who has the link."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.limits import HUNG_SECONDS
from tests.support.stack import OpenStack, Stack, Web
from tests.support.webhook_receiver import WebhookReceiver, endpoint, webhook_receiver

from core.agentscope.runtime.accept.link_answers import LinkAnswers
from core.agentscope.schemas.accepted import AcceptedRun
from core.webhooks.approval_token import ApprovalTokens, LinkedQuestion

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(scope="module")
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, receiver: WebhookReceiver) -> AsyncIterator[Stack]:
    sections: dict[str, Any] = {
        "secrets": {"key": KEY},
        "server": {"public_url": "https://agents.example.com/"},
        "webhooks": {"endpoints": [endpoint(receiver, "all")]},
    }
    async with open_stack(**sections) as stack:
        yield stack


async def asked(stack: Stack, receiver: WebhookReceiver, text: str, **members: Any) -> tuple[str, list[Any]]:
    """Have a run ask; returns its thread, and what the webhook says of its questions."""
    body = stack.run_body(text, **members)
    await stack.stream_run(body=body)
    [delivery] = await receiver.got("/all", runId=body["runId"])
    return body["threadId"], delivery.data["interrupts"]


async def visit(
    stack: Stack, url: str, method: str = "GET", client: httpx.AsyncClient | None = None
) -> httpx.Response:
    """Open a link as a browser does: without any credential."""
    path = urlsplit(url).path
    if client is not None:
        return await client.request(method, f"{stack.apis[0].url}{path}")
    async with httpx.AsyncClient(trust_env=False, timeout=HUNG_SECONDS) as once:
        return await visit(stack, url, method, once)


async def statuses(stack: Stack, thread: str) -> list[str]:
    return [row["status"] for row in await stack.runs(thread)]


async def test_opening_a_link_answers_nothing_and_its_button_does(
    stack: Stack, receiver: WebhookReceiver, web: Web
) -> None:
    thread, [question] = await asked(stack, receiver, f"fetch {web.url}/approved")

    for method in ("GET", "HEAD", "GET"):
        page = await visit(stack, question["approveUrl"], method)
        assert page.status_code == 200
    assert f"{web.url}/approved" in page.text
    assert "<button>Approve</button>" in page.text
    assert await statuses(stack, thread) == ["interrupted"]
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "/approved" not in web.hits

    done = await visit(stack, question["approveUrl"], "POST")

    assert done.status_code == 200
    assert "Approved" in done.text
    await stack.ended(thread)
    assert web.hits.count("/approved") == 1
    assert await statuses(stack, thread) == ["interrupted", "succeeded"]
    # The other link of the same question is used up, too.
    for url, method in (
        (question["denyUrl"], "POST"),
        (question["denyUrl"], "GET"),
        (question["approveUrl"], "GET"),
    ):
        again = await visit(stack, url, method)
        assert again.status_code == 409
        assert "Already answered" in again.text
        assert "The answer was: approved." in again.text
    # The user who comes back to the app is told as if somebody had answered there.
    answer = [{"interruptId": question["id"], "status": "resolved", "payload": {"approved": True}}]
    (await stack.resume(thread, answer)).problem(409, "interrupt-resolved")


async def test_fifty_taps_at_once_answer_once(stack: Stack, receiver: WebhookReceiver, web: Web) -> None:
    thread, [question] = await asked(stack, receiver, f"fetch {web.url}/fifty")

    async with httpx.AsyncClient(trust_env=False, timeout=HUNG_SECONDS) as client:
        taps = [visit(stack, question["approveUrl"], "POST", client) for _ in range(50)]
        pages = await asyncio.gather(*taps)

    found = sorted(page.status_code for page in pages)
    assert found == [200] + [409] * 49
    assert all("Already answered" in page.text for page in pages if page.status_code == 409)
    await stack.ended(thread)
    assert web.hits.count("/fifty") == 1
    assert await statuses(stack, thread) == ["interrupted", "succeeded"]


async def test_yes_and_no_at_once_are_one_answer(stack: Stack, receiver: WebhookReceiver, web: Web) -> None:
    thread, [question] = await asked(stack, receiver, f"fetch {web.url}/either")

    pages = await asyncio.gather(
        *(visit(stack, question[name], "POST") for name in ("approveUrl", "denyUrl") * 5)
    )

    [counted] = [page for page in pages if page.status_code == 200]
    await stack.ended(thread)
    assert web.hits.count("/either") == (1 if "Approved" in counted.text else 0)
    assert len(await stack.runs(thread)) == 2


async def test_a_denied_call_is_not_made(stack: Stack, receiver: WebhookReceiver, web: Web) -> None:
    thread, [question] = await asked(stack, receiver, f"fetch {web.url}/denied")
    assert "Denied" in (await visit(stack, question["denyUrl"], "POST")).text
    await stack.ended(thread)
    assert "/denied" not in web.hits


async def test_a_thread_goes_on_when_all_of_its_questions_have_an_answer(
    stack: Stack, receiver: WebhookReceiver, web: Web
) -> None:
    thread, [first, second] = await asked(
        stack, receiver, f"fetch {web.url}/of-two-1 and also fetch {web.url}/of-two-2"
    )
    page = await visit(stack, first["approveUrl"], "POST")
    assert "1 more question" in page.text
    assert await statuses(stack, thread) == ["interrupted"]
    again = await visit(stack, first["denyUrl"], "POST")
    assert (again.status_code, "The answer was: approved." in again.text) == (409, True)

    assert (await visit(stack, second["denyUrl"], "POST")).status_code == 200

    await stack.ended(thread)
    assert web.hits.count("/of-two-1") == 1
    assert "/of-two-2" not in web.hits


async def test_an_answer_in_the_app_wins_over_one_that_waits(
    stack: Stack, receiver: WebhookReceiver, web: Web
) -> None:
    thread, questions = await asked(
        stack, receiver, f"fetch {web.url}/in-app-1 and also fetch {web.url}/in-app-2"
    )
    await visit(stack, questions[0]["approveUrl"], "POST")
    answers = [
        {"interruptId": question["id"], "status": "resolved", "payload": {"approved": False}}
        for question in questions
    ]
    assert (await stack.resume(thread, answers)).end["outcome"] == {"type": "success"}
    assert not {"/in-app-1", "/in-app-2"} & set(web.hits)
    late = await visit(stack, questions[1]["approveUrl"], "POST")
    assert (late.status_code, "The answer was: denied." in late.text) == (409, True)


async def test_a_tap_after_a_crash_makes_the_run_that_is_missing(
    stack: Stack, receiver: WebhookReceiver, web: Web
) -> None:
    thread, [question] = await asked(stack, receiver, f"fetch {web.url}/crashed")
    # The process died between the answer and its run.
    await stack.fetch("UPDATE agent_interrupt SET link_answer = true WHERE interrupt_id = $1", question["id"])
    for method in ("GET", "POST"):
        assert (await visit(stack, question["denyUrl"], method)).status_code == 409
    page = await visit(stack, question["approveUrl"])
    assert (page.status_code, "<button>Approve</button>" in page.text) == (200, True)
    assert "The answer is noted: approved." in page.text
    assert await statuses(stack, thread) == ["interrupted"]
    assert (await visit(stack, question["approveUrl"], "POST")).status_code == 200
    await stack.ended(thread)
    assert web.hits.count("/crashed") == 1


async def test_a_run_that_cannot_be_accepted_now_can_be_tried_again(
    stack: Stack, receiver: WebhookReceiver, web: Web
) -> None:
    thread, [question] = await asked(stack, receiver, f"fetch {web.url}/later")
    full = await stack.start_api(limits={"max_runs_per_user": 1})
    busy = stack.run_body("count slowly to 500")
    try:
        async with stack.open_run(body=busy) as stream:
            await stream.until("TEXT_MESSAGE_CONTENT")
            path = urlsplit(question["approveUrl"]).path
            async with httpx.AsyncClient(trust_env=False, timeout=HUNG_SECONDS) as client:
                refused = await client.post(f"{full.url}{path}")
            assert refused.status_code == 429
            assert "Try again" in refused.text
            await stack.cancel(busy["threadId"], busy["runId"])
            await stream.to_end()
    finally:
        await stack.stop_api(full)
    # Whoever has closed that page opens the link again.
    assert "<button>Approve</button>" in (await visit(stack, question["approveUrl"])).text
    assert (await visit(stack, question["approveUrl"], "POST")).status_code == 200
    await stack.ended(thread)
    assert web.hits.count("/later") == 1


async def test_runs_by_link_count_in_the_rate_of_their_user(
    stack: Stack, receiver: WebhookReceiver, web: Web
) -> None:
    asking = [await asked(stack, receiver, f"fetch {web.url}/rate-{number}") for number in range(2)]
    strict = await stack.start_api(rates={"user_runs_per_minute": 1})
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=HUNG_SECONDS) as client:
            paths = [urlsplit(question["approveUrl"]).path for _, [question] in asking]
            pages = [await client.post(f"{strict.url}{path}") for path in paths]
    finally:
        await stack.stop_api(strict)
    assert [page.status_code for page in pages] == [200, 429]
    assert "Try again" in pages[1].text
    assert (await visit(stack, paths[1], "POST")).status_code == 200
    for thread, _ in asking:
        await stack.ended(thread)


async def test_who_is_slower_than_the_app_sees_the_answer_of_the_app(
    stack: Stack, receiver: WebhookReceiver, web: Web
) -> None:
    thread, [question] = await asked(stack, receiver, f"fetch {web.url}/slower")
    links: LinkAnswers = stack.apis[0].app.state.container.approvals
    runs = links._runs

    class Slower:
        async def accept(self, *given: Any, **named: Any) -> AcceptedRun:
            answer = {"interruptId": question["id"], "status": "resolved", "payload": {"approved": False}}
            await stack.resume(thread, [answer])
            return await runs.accept(*given, **named)

    slower = LinkAnswers(links._engine, Slower(), ApprovalTokens([bytes(range(32))]))
    outcome = await slower.answer(question["approveUrl"].rpartition("/")[2])

    assert not outcome.counted
    assert (outcome.question.state, outcome.question.approved) == ("answered", False)
    assert "/slower" not in web.hits


@pytest.mark.parametrize("how", ["expired", "withdrawn"])
async def test_what_is_over_is_not_answered(
    stack: Stack, receiver: WebhookReceiver, web: Web, how: str
) -> None:
    thread, [question] = await asked(stack, receiver, f"fetch {web.url}/over-{how}")
    if how == "expired":
        await stack.fetch(
            "UPDATE agent_interrupt SET expires_at = now() WHERE interrupt_id = $1", question["id"]
        )
    else:
        [run] = await stack.runs(thread)
        await stack.cancel(thread, run["run_id"])
    for method in ("GET", "POST"):
        page = await visit(stack, question["approveUrl"], method)
        assert (page.status_code, how in page.text) == (409, True)
    assert len(await stack.runs(thread)) == 1


async def test_no_other_token_opens_a_question(stack: Stack, receiver: WebhookReceiver, web: Web) -> None:
    thread, [question] = await asked(stack, receiver, f"fetch {web.url}/forged")
    [row] = await stack.fetch(
        "SELECT i.id, i.run_pk, r.run_id FROM agent_interrupt AS i JOIN agent_run AS r ON r.id = i.run_pk WHERE interrupt_id = $1",
        question["id"],
    )
    linked = LinkedQuestion(row["id"], question["id"], row["run_pk"], row["run_id"])
    good = question["approveUrl"].rpartition("/")[2]
    assert ApprovalTokens([bytes(range(32))]).make(linked, approves=True) == good
    data = base64.urlsafe_b64decode(good.removeprefix("arl_"))
    changed = [
        ApprovalTokens([bytes(32)]).make(linked, approves=True),
        "arl_" + base64.urlsafe_b64encode(data[:8] + b"\0" + data[9:]).decode().rstrip("="),
        "arl_" + base64.urlsafe_b64encode((2**63).to_bytes(8, "big") + data[8:]).decode().rstrip("="),
        good[:-2],
        f"{good}AA",
        good.upper(),
        "arl_",
        "arl_ä",
        "nothing",
        "%00",
    ]
    for token in changed:
        for method in ("GET", "POST"):
            page = await visit(stack, f"/api/v1/agent/approvals/{token}", method)
            assert page.status_code in {404, 422}, (token, page.text)
    assert await statuses(stack, thread) == ["interrupted"]


async def test_a_text_of_a_model_is_no_markup_of_the_page(
    stack: Stack, receiver: WebhookReceiver, web: Web
) -> None:
    _, [question] = await asked(stack, receiver, f'fetch {web.url}/<b>bold</b>"><script>1</script>')
    page = await visit(stack, question["approveUrl"])
    assert "<script>" not in page.text
    assert "<b>bold" not in page.text


async def test_a_link_is_in_no_log_line(
    stack: Stack, receiver: WebhookReceiver, web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    _, [question] = await asked(stack, receiver, f"fetch {web.url}/logged")
    capsys.readouterr()
    await visit(stack, question["denyUrl"])
    await visit(stack, question["denyUrl"], "POST")
    logged = capsys.readouterr().out
    assert "/api/v1/agent/approvals/[redacted]" in logged
    assert "arl_" not in logged


async def test_without_a_public_address_there_are_no_links(
    open_stack: OpenStack, receiver: WebhookReceiver, web: Web
) -> None:
    async with open_stack(webhooks={"endpoints": [endpoint(receiver, "none")]}) as stack:
        body = stack.run_body(f"fetch {web.url}/none", run="run-without-links")
        await stack.stream_run(body=body)
        [delivery] = await receiver.got("/none", runId="run-without-links")
        assert not {"approveUrl", "denyUrl"} & delivery.data["interrupts"][0].keys()
        page = await stack.request("GET", "/approvals/arl_x")
        page.problem(404, "not-found")
