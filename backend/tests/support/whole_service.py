"""A service that does all that it can do: every route, every background loop. For tests of what it sends to its stores."""

from __future__ import annotations

import base64
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast, get_args

import jwt
import pytest
from tests.support.manual_worker import manual_reaper
from tests.support.release_dump import LIMITS, WORKER, answers, filled, questions
from tests.support.stack import SECRET, Stack

from agentroute.webhook_loop import open_webhooks
from core.agentscope.events.queries.run_diagnoses import RunFilter
from core.agentscope.events.state_retention import drop_replaced
from core.agentscope.runtime.accept.link_answers import LinkAnswers
from core.agentscope.runtime.accept.threads import AgentThreads
from core.agentscope.runtime.work.chores import Turns
from core.agentscope.runtime.work.keep_chore import KeepChore
from core.agentscope.schemas.agent_runtime import RunStatus
from core.api_keys.keeper import KeyKeeper
from core.config import WorkerSettings
from core.connections.oauth.client_store import ClientStore
from core.connections.oauth.grants import OAuthClient
from core.connections.oauth.login_store import Attempt, LoginStore
from core.credential_errors import KeyEnded
from core.database import create_engine
from core.errors import InvalidRequest
from core.identity import Principal
from core.operator_errors import RequeueRefused
from core.schedules.fire_store import FireStore
from core.schedules.firer import ScheduleFirer
from core.webhooks.approval_token import LinkedQuestion
from core.webhooks.endpoints import enable_endpoint, list_endpoints, replay_all, replay_failed
from core.webhooks.outbox import Failure, Outbox
from v1.agent.connection_directory import ConnectionDirectory
from v1.agent.container import ApiContainer

ADA = Principal("default", "ada")
_NOBODY = "127.0.0.1:1"
_HOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK_HEADERS = {"Webhook-Url": f"http://{_NOBODY}/", "Webhook-Secret": _HOOK_SECRET}
"""Of a run that names an endpoint. Nobody listens there."""


def sections_for_everything(folder: Path) -> dict[str, Any]:
    """Return the settings that :func:`do_everything` needs.

    Args:
        folder: For files.
    """
    return {
        "limits": LIMITS,
        "worker": WORKER,
        "files": {"url": folder.as_uri(), "retention_days": 1},
        "secrets": {"key": base64.b64encode(bytes(range(32))).decode()},
        "server": {"public_url": "https://agents.example.com"},
        "webhooks": {
            "endpoints": [{"name": "all", "url": f"http://{_NOBODY}/", "secrets": _HOOK_SECRET}],
            "run_hosts": [_NOBODY],
            "private_hosts": [_NOBODY],
        },
    }


async def do_everything(stack: Stack) -> None:
    """Have a stack of one API process and one worker do everything, with something to do in each step."""
    async with filled(stack):
        await answers(stack, await questions(stack))
        await _pages(stack)
        await _operators(stack)
    # Later: a run waits for those that are held until then.
    await _files(stack)
    await _files_of_an_agent(stack)
    await _connections(stack)
    await _logins(stack)
    await _keys(stack)
    await _webhooks(stack)
    await _schedules(stack)
    await _chores(stack)


async def _pages(stack: Stack) -> None:
    """What clients ask beside what a recorded release was asked: later pages, connections, what waits."""
    asked: list[tuple[str, dict[str, str]]] = [
        ("/threads", {"limit": "2"}),
        ("/threads", {"limit": "1", "q": "hello"}),
        ("/threads", {"limit": "1", "agentId": "default"}),
        ("/threads", {"limit": "1", "agentId": "default", "q": "hello"}),
        *(("/usage", {"agentId": "default", "groupBy": group_by}) for group_by in ("day", "model", "thread")),
        ("/threads/chat", {}),
        ("/threads/chat/runs", {"limit": "1"}),
    ]
    for path, params in asked:
        first = await stack.request("GET", path, params=params)
        assert first.status == 200, first.body
        if before := first.json.get("nextBefore"):
            later = await stack.request("GET", path, params=params | {"before": before})
            assert later.status == 200, later.body
    traced = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    accepted = await stack.request("POST", "/runs", json=stack.run_body("hello"), headers=traced)
    assert accepted.status in {200, 202}, accepted.body
    page = await stack.history("chat", limit=1)
    await stack.history("chat", limit=1, before=page["nextBefore"])
    connected = {"threadId": "chat", "connect": "true"}
    await stack.request("GET", "/events", params=connected, headers={"Accept": "text/event-stream"})
    (api,) = stack.apis
    assert (await api.client("ada").get(f"{api.url}/readyz")).status_code == 200


async def _operators(stack: Stack) -> None:
    """What operators, and owners, ask about runs in every state; and what operators do to them."""
    container: ApiContainer = stack.apis[0].app.state.container
    desk = container.operators
    assert desk is not None
    every = get_args(RunStatus)
    of_thread = RunFilter(statuses=every, tenant_id="default", user_id="ada", thread_id="live")
    for wanted in (RunFilter(), of_thread, RunFilter(statuses=every), RunFilter(cause="no-worker")):
        page = await desk.reads.list_runs(wanted, limit=2)
        await desk.reads.list_runs(wanted, limit=2, before=page.next_before)
    for item in (await desk.reads.list_runs(RunFilter(statuses=every), limit=200)).runs:
        owner = Principal(item.tenant_id, item.user_id)
        assert (await container.diagnosis.why(owner, item.thread_id, item.run_id)).cause
        assert (await desk.reads.get_run(item.id, tenant_id=None)).id == item.id
        with suppress(RequeueRefused):
            await desk.writes.requeue(item.id, tenant_id=None, by="test")
        if item.status == "cancelled":
            assert await desk.writes.cancel(item.id, tenant_id=None, by="test") == "cancelled"


async def _files(stack: Stack) -> None:
    """What becomes of files: stored, listed, read, refused, named by a message, deleted alone and with a thread."""
    ids: list[str] = []
    for content in (b"one", b"two", b"two"):
        stored = await stack.request("POST", "/files", files={"file": ("a.txt", content)})
        assert stored.status in {200, 201}, stored.body
        ids.append(stored.json["fileId"])
    (await stack.request("POST", "/files", files={"file": ("a", b"")})).problem(422, "file-empty")
    page = await stack.request("GET", "/files", params={"limit": "1"})
    await stack.request("GET", "/files", params={"limit": "1", "before": page.json["nextBefore"]})
    assert (await stack.request("GET", f"/files/{ids[0]}")).body == b"one"
    assert (await stack.request("DELETE", f"/files/{ids[0]}")).status == 204
    source = {"type": "file", "value": ids[1]}
    data = {"type": "data", "value": base64.b64encode(bytes(100_000)).decode(), "mimeType": "image/png"}
    for number, part in enumerate(
        ({"type": "document", "source": source}, {"type": "image", "source": data})
    ):
        message = {"id": f"with-file-{number}", "role": "user", "content": [part]}
        await stack.stream_run(thread="with-files", messages=[message])
    assert (await stack.request("DELETE", "/threads/with-files")).status == 204


async def _files_of_an_agent(stack: Stack) -> None:
    """The same with a credential that is limited to an agent."""
    now = int(time.time())
    claims = {"sub": "ada", "iat": now, "exp": now + 600, "scope": "run read agent:default"}
    limited = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}
    stored = await stack.request("POST", "/files", files={"file": ("a.txt", b"three")}, headers=limited)
    file = stored.json["fileId"]
    part = {"type": "document", "source": {"type": "file", "value": file}}
    body = stack.run_body(
        thread="of-an-agent", messages=[{"id": "of-an-agent", "role": "user", "content": [part]}]
    )
    for _ in range(2):
        assert (await stack.request("POST", "/runs", json=body, headers=limited)).status == 202
    await stack.ended("of-an-agent")
    assert (await stack.request("GET", "/files", headers=limited)).json["files"]
    assert (await stack.request("GET", f"/files/{file}", headers=limited)).body == b"three"
    assert (await stack.request("DELETE", f"/files/{file}", headers=limited)).status == 204
    for headers in (limited, {}):
        (await stack.request("GET", f"/files/{file}", headers=headers)).problem(410, "file-gone")
    assert (await stack.request("DELETE", "/threads/of-an-agent", headers=limited)).status == 204


async def _connections(stack: Stack) -> None:
    """What becomes of a user's connection: made, listed, found, refreshed, refused, forgotten."""
    (api,) = stack.apis
    directory: ConnectionDirectory = api.app.state.container.connections
    store = directory.store
    await store.save(ADA, "github", "", "oauth", "old", renewable=True)
    await store.list_all(ADA)
    async with store.locked(ADA, "github", "") as held:
        assert await held.replace("new") is not None
    async with store.locked(ADA, "no-such", "") as held:
        assert held.connection is None
    found = await store.find(ADA, "github", "")
    assert found is not None
    await store.refuse(ADA, found)
    assert await store.forget(ADA, "github")


async def _keys(stack: Stack) -> None:
    container = stack.apis[0].app.state.container
    keeper: KeyKeeper = container.keys
    made = await keeper.create(tenant_id="default", user_id="robot", by="cli")
    reply = await stack.request("GET", "/threads", headers={"Authorization": f"Bearer {made.key}"})
    assert reply.status == 200, reply.body
    key_id = made.known.key_id
    await keeper.page("default", user_id="robot", ended=True, limit=10)
    await keeper.page("default", limit=10, before=(made.known.created_at, key_id))
    await keeper.rotate("default", key_id, by="cli")
    await keeper.revoke("default", key_id, by="cli")
    with pytest.raises(KeyEnded):
        await keeper.rotate("default", key_id, by="cli")
    # Written once a minute, and at the end of the process, which the statements of this test do not see.
    await keeper._store.note_uses({key_id: made.known.created_at})


async def _schedules(stack: Stack) -> None:
    """What becomes of schedules: made, listed, changed, fired, refused, postponed, paused, forgotten, deleted."""
    firer = FirerByHand(stack)
    daily = {"type": "cron", "cron": "0 9 * * *", "timezone": "Europe/Berlin"}
    for name in ("one", "two", "three"):
        body = {
            "scheduleId": name,
            "trigger": daily,
            "message": "hello",
            "missed": "all",
            "threadId": "scheduled",
        }
        made = await stack.request("POST", "/schedules", json=body)
        assert made.status == 201, made.body
    page = await stack.request("GET", "/schedules", params={"limit": "1"})
    await stack.request("GET", "/schedules", params={"limit": "1", "before": page.json["nextBefore"]})
    for change in ({"enabled": False}, {"enabled": True}):
        assert (await stack.request("PATCH", "/schedules/two", json=change)).status == 200
    assert (await stack.request("POST", "/schedules/one/trigger")).status == 202
    await stack.fetch(
        "UPDATE agent_schedule SET decided_to = now() - interval '2 days', next_at = now() WHERE schedule_id = 'three'"
    )
    await firer.use()
    assert (await stack.request("GET", "/schedules/three")).json["lastFires"]
    assert (await stack.request("DELETE", "/schedules/one")).status == 204


class FirerByHand:
    """A worker's part of schedules, which does what it is told."""

    def __init__(self, stack: Stack) -> None:
        self._engine = create_engine(stack.settings.database, application_name="agentroute-firer")

    async def use(self) -> None:
        """Take each step once."""
        store = FireStore(self._engine, authorized_days=90)
        firer = ScheduleFirer(Turns(self._engine), store, Refusing(), retention_days=30)
        await store.has_work()
        await store.plan_due(10)
        for due in (await store.lease(10)).fires:
            assert await store.postpone(due.fire, 0.0, code="queue-full", detail="Full.")
        await firer.look()
        for due in (await store.lease(10)).fires:
            await store.pause(due, code="credential-ended", detail="Ended.")
            await store.settle(due.fire, "failed", code="credential-ended", detail="Ended.")
        await firer.tend()
        await store.forget(days=30, rows=10)
        await self._engine.dispose()


class Refusing:
    """Accepts nothing, for ever."""

    async def accept(self, *_request: Any, **_names: Any) -> Any:
        raise InvalidRequest("No.")

    async def find_accepted(self, *_request: Any, **_names: Any) -> None:
        return None


async def _logins(stack: Stack) -> None:
    """What becomes of logins and of the clients that they need."""
    (api,) = stack.apis
    connections: ConnectionDirectory = api.app.state.container.connections
    parts = connections.store._engine, connections.store._vault
    logins, clients = LoginStore(*parts), ClientStore(*parts)
    link = await logins.begin(ADA, "mail", "", lasts_seconds=60)
    login = await logins.find(link)
    assert login is not None
    attempt = Attempt(
        link,
        "",
        "",
        "",
        "",
        None,
        "",
        names_issuer=True,
        client_id="",
        client_secret=None,
        client_auth="none",
    )
    assert await logins.leave(login, attempt, state="s", browser="b")
    assert await logins.come_back("s", "b") is not None
    await logins.finish(login)
    for turn in range(3):
        await clients.save("issuer", "back", OAuthClient("me"), scopes=(), expires_at=None, instead_of=None)
        if turn == 1:
            await stack.fetch("UPDATE agent_oauth_client SET expires_at = now() WHERE client_id = 'me'")
    await clients.forget("issuer", "me")


async def _webhooks(stack: Stack) -> None:
    """What becomes of messages: written, sent, refused, taken, enabled, sent again; and of answers by links."""
    body = stack.run_body("fetch http://127.0.0.1:9/ and also fetch http://127.0.0.1:9/2", thread="hooked")
    accepted = await stack.request("POST", "/runs", json=body, headers=HOOK_HEADERS)
    assert accepted.status == 202, accepted.body
    await stack.ended("hooked")
    engine = create_engine(stack.settings.database, application_name="agentroute-webhooks")
    try:
        deliveries = await open_webhooks(stack.settings, engine, Turns(engine))
        await stack.fetch("UPDATE agent_webhook_message SET next_at = now()")
        await deliveries.tend()
        await deliveries.idle()
        outbox = Outbox(engine)
        await stack.fetch("UPDATE agent_webhook_message SET next_at = now()")
        [claimed, *_] = await outbox.claim({"all": 4})
        await outbox.failed(claimed, Failure("status 410", gone=True))
        assert await enable_endpoint(engine, "all") is not None
        await outbox.delivered(claimed)
        await replay_failed(engine, "all", since=None)
        await replay_all(engine, "all", since=datetime.now(UTC) - timedelta(hours=1))
        assert await list_endpoints(engine)
        await outbox.forget(days=1, rows=10)
    finally:
        await engine.dispose()
    links: LinkAnswers = stack.apis[0].app.state.container.approvals
    asked = await stack.fetch(
        """SELECT i.id, i.interrupt_id, i.run_pk, r.run_id FROM agent_interrupt AS i JOIN agent_run AS r ON r.id = i.run_pk
        JOIN agent_chat_session AS s ON s.id = r.session_id WHERE s.thread_id = 'hooked'"""
    )
    for row in asked:
        question = LinkedQuestion(row["id"], row["interrupt_id"], row["run_pk"], row["run_id"])
        link = links._tokens.make(question, approves=False)
        await links.show(link)
        assert (await links.answer(link)).counted
    await stack.ended("hooked")


async def _chores(stack: Stack) -> None:
    """What the workers do in the background, with something to do in each step."""
    async with manual_reaper(stack.settings) as reaper:
        await stack.fetch("UPDATE agent_interrupt SET expires_at = now() WHERE status = 'open'")
        await stack.fetch(
            "UPDATE agent_run SET ended_at = ended_at - interval '90 days' WHERE ended_at IS NOT NULL"
        )
        await reaper.tend()
        await reaper.reap()
        await reaper.prune()
    (api,) = stack.apis
    container: ApiContainer = api.app.state.container
    assert container.files is not None
    stored = await stack.request("POST", "/files", files={"file": ("a.txt", b"old")})
    part = {"type": "document", "source": {"type": "file", "value": stored.json["fileId"]}}
    await stack.stream_run(
        thread="old-file", messages=[{"id": "old-file", "role": "user", "content": [part]}]
    )
    await stack.fetch("UPDATE agent_file SET used_at = used_at - interval '90 days'")
    assert await container.files.clean_up() > 0
    await _kept_for_a_time(stack, container)


async def _kept_for_a_time(stack: Stack, container: ApiContainer) -> None:
    """What becomes of threads, notes, states and usage that are past their time: of all of it that is left."""
    times = {
        "checkpoint_retention_days": 1,
        "last_checkpoint_retention_days": 1,
        "memory_retention_days": 1,
        "usage_retention_days": 1,
        "thread_retention_days": 1,
    }
    for table in ("agent_memory", "agent_model_call", "agent_transcription"):
        await stack.fetch(f"UPDATE {table} SET created_at = created_at - interval '90 days'")  # noqa: S608  constants
    engine = container.exports.engine
    threads = cast("AgentThreads", container.threads)
    chore = KeepChore(engine, Turns(engine), WorkerSettings.model_validate(times), threads.delete_idle)
    # States that newer ones replaced went with what their runs were asked: they are looked for all the same.
    for row in await stack.fetch("SELECT id FROM agent_chat_session LIMIT 1"):
        await drop_replaced(engine, row["id"], days=1)
    assert await chore.drop_states() > 0
    assert await chore.drop_notes() > 0
    assert await chore.drop_usage() > 0
    await stack.fetch("UPDATE agent_chat_session SET updated_at = now() - interval '90 days'")
    assert await chore.drop_threads() > 0
