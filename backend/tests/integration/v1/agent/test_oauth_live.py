"""Logins at an MCP server over the whole service: the pages as a browser sees them, and what nobody else can do."""

from __future__ import annotations

import base64
import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from tests.support.authorization_server import AuthorizationServer, ProtectedServer, served
from tests.support.limits import HUNG_SECONDS
from tests.support.stack import OpenStack, Reply, Stack

PUBLIC = "http://agents.example.com"
PAGES = "/api/v1/agent/connections"
APP = "https://app.example.com"
PROFILE = """
name = "Support"
description = "Helps."
[[mcp]]
name = "mail"
url = "{url}"
auth = "oauth"
permission = "allow"
[mcp.oauth]
authorization_server = "{issuer}"
"""


@dataclass
class World:
    """The service, and the servers at which its users log in."""

    stack: Stack
    authority: AuthorizationServer
    mcp: ProtectedServer


@dataclass
class Browser:
    """A browser: keeps cookies, and goes where it is sent until it leaves this test's servers."""

    world: World
    client: httpx.AsyncClient
    seen: list[httpx.Response] = field(default_factory=list)

    async def open(self, url: str, form: dict[str, str] | None = None) -> httpx.Response:
        """Open an address, or send a form to it, and follow."""
        while True:
            here = url.replace(PUBLIC, self.world.stack.apis[0].url)
            answer = await (self.client.get(here) if form is None else self.client.post(here, data=form))
            self.seen.append(answer)
            url, form = answer.headers.get("location", ""), None
            if not url or url.startswith(APP):
                return answer

    async def press(self, url: str) -> httpx.Response:
        """Open the page of a login, and press its button."""
        page = await self.open(url)
        assert page.status_code == 200, page.text
        (value,) = re.findall(r'name="page" value="([0-9a-f]{64})"', page.text)
        return await self.open(url, {"page": value})


@pytest.fixture(scope="module")
async def world(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    authority = AuthorizationServer()
    async with served(authority) as (url, mcp):
        profile = tmp_path_factory.mktemp("oauth") / "agent.toml"
        profile.write_text(PROFILE.format(url=url, issuer=authority.issuer))
        secrets = {"key": base64.b64encode(os.urandom(32)).decode()}
        server = {"public_url": PUBLIC, "cors_origins": [APP]}
        async with open_stack(profile_path=profile, secrets=secrets, server=server) as stack:
            yield World(stack, authority, mcp)


@asynccontextmanager
async def browser(world: World) -> AsyncIterator[Browser]:
    async with httpx.AsyncClient(timeout=HUNG_SECONDS, trust_env=False) as client:
        yield Browser(world, client)


async def begin(world: World, user: str, **body: str) -> str:
    answer = await world.stack.request("POST", "/connections/mail/login", user=user, json=body)
    assert answer.status == 200, answer.body
    url = answer.json["url"]
    assert url.startswith(f"{PUBLIC}{PAGES}/login/")
    return url


async def state(world: World, user: str) -> str:
    (item,) = (await world.stack.request("GET", "/connections", user=user)).json["connections"]
    return item["state"]


async def test_a_user_logs_in_with_a_browser_and_forgets_the_login(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    url = await begin(world, "ada")
    async with browser(world) as ada:
        page = await ada.open(url)
        assert "<b>ada</b>" in page.text
        assert "<b>mail</b> (127.0.0.1)" in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
        cookie = page.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Path=/"))

        done = await ada.press(url)

        assert done.status_code == 200
        assert "Your account at mail is connected." in done.text
        assert "<script" not in "".join(answer.text for answer in ada.seen)
        # Used up.
        assert (await ada.open(url)).status_code == 404
    assert await state(world, "ada") == "connected"
    assert await state(world, "eve") == "absent"

    # Without the lines of the test's own client and servers.
    own = [record for record in caplog.records if record.name not in ("httpx", "uvicorn.access")]
    logged = "".join([*(record.getMessage() for record in own), capsys.readouterr().out])
    assert "oauth_login_done" in logged
    canaries = [*world.authority.seen, url.rpartition("/")[2], cookie.partition("=")[2].partition(";")[0]]
    assert len(canaries) > 3
    assert [canary for canary in canaries if canary in logged] == []

    answer = await world.stack.request("DELETE", "/connections/mail")
    assert answer.status == 204
    assert await state(world, "ada") == "absent"
    assert world.authority.counts["revoke"] == 1


async def test_a_form_of_another_site_and_another_browser_lead_nowhere(world: World) -> None:
    url = await begin(world, "eve")
    async with browser(world) as victim, browser(world) as eve:
        # Eve makes her own way to the authorization server, and sends its address to the victim.
        page = await eve.open(url)
        (value,) = re.findall(r'name="page" value="([0-9a-f]{64})"', page.text)
        here = url.replace(PUBLIC, world.stack.apis[0].url)
        left = await eve.client.post(here, data={"page": value})
        assert left.status_code == 303
        answer = await victim.open(left.headers["location"])
        assert (answer.status_code, "was not begun in this browser" in answer.text) == (400, True)
        # A form that sends itself, without the page of the login.
        for data in ({}, {"page": value}, {"page": "é"}, {"page": "é" * 5000}):
            assert (await victim.client.post(here, data=data)).status_code == 403
    assert await state(world, "eve") == "absent"


async def test_an_application_gets_its_user_back(world: World) -> None:
    back = f"{APP}/settings?tab=mail"
    async with browser(world) as bob:
        answer = await bob.press(await begin(world, "bob", returnUrl=back))
        assert answer.headers["location"] == f"{back}&connection=mail&status=connected"

        world.authority.denies = True
        try:
            answer = await bob.press(await begin(world, "bob", returnUrl=back))
            assert answer.headers["location"] == f"{back}&connection=mail&status=denied"
            url = await begin(world, "cy")
            answer = await bob.press(url)
            assert "You did not agree. Nothing was connected." in answer.text
            assert f'href="{url}"' in answer.text
        finally:
            world.authority.denies = False
        world.authority.away = True
        try:
            answer = await bob.press(await begin(world, "cy"))
            assert (answer.status_code, "HTTP 503" in answer.text) == (502, True)
        finally:
            world.authority.away = False


@pytest.mark.parametrize(
    ("server", "body", "status", "code"),
    [
        ("nothing", {}, 404, "not-found"),
        ("mail", {"returnUrl": "https://evil.example/"}, 422, "invalid-request"),
        ("mail", {"returnUrl": "https://app.example.com.evil.example/"}, 422, "invalid-request"),
        ("mail", {"returnUrl": "https://app.example.com@evil.example/"}, 422, "invalid-request"),
        ("mail", {"returnUrl": "https://evil.example\\@app.example.com/"}, 422, "invalid-request"),
        ("mail", {"returnUrl": "javascript:alert(1)"}, 422, "invalid-request"),
    ],
)
async def test_a_login_that_cannot_begin(
    world: World, server: str, body: dict[str, object], status: int, code: str
) -> None:
    answer = await world.stack.request("POST", f"/connections/{server}/login", json=body)

    assert (answer.status, answer.json["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/login/guessed", 404), ("/callback/mail", 400), ("/callback/mail?state=guessed&code=x", 400)],
)
async def test_addresses_that_nobody_gave_out(world: World, path: str, status: int) -> None:
    async with browser(world) as anybody:
        answer = await anybody.open(f"{PUBLIC}{PAGES}{path}")

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "guessed" not in answer.text


def question(reply: Reply) -> dict[str, Any]:
    """Return the one interrupt with which a run ended."""
    end = reply.events[-1]
    assert end["type"] == "RUN_FINISHED", end
    (found,) = end["outcome"]["interrupts"]
    assert found["reason"] == "connection_required"
    assert set(found["metadata"]) == {"server", "auth", "url"}
    return found


def results(reply: Reply) -> list[str]:
    return [event["content"] for event in reply.events if event["type"] == "TOOL_CALL_RESULT"]


async def go_on(world: World, thread: str, asked: dict[str, Any], user: str) -> Reply:
    answer = {"interruptId": asked["id"], "status": "resolved"}
    return await world.stack.stream_run(
        body={**world.stack.run_body(None, thread=thread), "resume": [answer]}, path="/resume", user=user
    )


async def test_a_run_asks_for_the_login_and_makes_the_call_once(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    stack, thread = world.stack, world.stack.new_id("thread")
    world.authority.subject = "zoe@mail.example"
    called = len(world.mcp.calls)
    # Nobody has logged in, so nobody knows the tools: the model asks for the login.
    asked = question(await stack.stream_run("call the tool mail__connect with {}", thread=thread, user="zoe"))
    # The user comes back the next day, to other processes.
    await stack.stop_worker(stack.workers[0])
    await stack.start_worker()
    async with browser(world) as zoe:
        assert "is connected" in (await zoe.press(asked["metadata"]["url"])).text

    reply = await go_on(world, thread, asked, "zoe")

    assert results(reply) == ["The user is connected to mail. Its tools: mail__whoami."]
    reply = await stack.stream_run("call the tool mail__whoami with {}", thread=thread, user="zoe")
    assert results(reply) == ["This is the mail of zoe@mail.example."]
    assert world.mcp.calls[called:] == ["zoe@mail.example"]

    # The grant is withdrawn at the server: the very same call is made after a new login, once.
    world.authority.end_everything()
    asked = question(await stack.stream_run("call the tool mail__whoami with {}", thread=thread, user="zoe"))
    async with browser(world) as zoe:
        assert "is connected" in (await zoe.press(asked["metadata"]["url"])).text
    reply = await go_on(world, thread, asked, "zoe")
    assert results(reply) == ["This is the mail of zoe@mail.example."]
    assert len(world.mcp.calls) == called + 2

    # Whatever came to this process left no trace in the log, in any row, or with the client.
    tables = await stack.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [await stack.fetch(f'SELECT * FROM "{row["tablename"]}"') for row in tables]  # noqa: S608
    traces = repr(rows) + capsys.readouterr().out + repr(reply.frames)
    assert [canary for canary in world.authority.seen if canary in traces] == []


async def test_a_user_who_does_not_log_in_gets_an_answer_without_the_call(world: World) -> None:
    stack, thread = world.stack, world.stack.new_id("thread")
    asked = question(await stack.stream_run("call the tool mail__connect with {}", thread=thread, user="tom"))
    answer = {"interruptId": asked["id"], "status": "cancelled"}

    body = {**stack.run_body(None, thread=thread), "resume": [answer]}
    reply = await stack.stream_run(body=body, path="/resume", user="tom")

    assert reply.events[-1]["type"] == "RUN_FINISHED"
    assert "did not connect" in "".join(results(reply))
    # The link is still good: the user may log in later.
    async with browser(world) as tom:
        assert (await tom.open(asked["metadata"]["url"])).status_code == 200
