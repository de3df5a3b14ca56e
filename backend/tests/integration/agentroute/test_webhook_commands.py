"""``agentroute webhooks`` against a database and a receiver: an operator sees what fails, tries it, and repairs it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import asyncpg
import pytest
from standardwebhooks import Webhook
from tests.support.webhook_receiver import SECRET
from typer.testing import CliRunner, Result

from agentroute.cli import app

_FILL = """
INSERT INTO agent_chat_session (tenant_id, user_id, thread_id) VALUES ('t', 'ada', 'thread-1');
INSERT INTO agent_run (session_id, tenant_id, user_id, run_id, task_id, idempotency_key, request_hash, input, status,
    ordinal, ended_at, next_hint_at, queue_deadline_at)
SELECT id, 't', 'ada', 'run-1', '', 'run-1', '', '{}', 'succeeded', 1, now(), now(), now() FROM agent_chat_session;
INSERT INTO agent_webhook_endpoint (name, events) VALUES ('crm', '{run.failed}'), ('log', '{run.failed}');
INSERT INTO agent_webhook_message (run_pk, lane, type, state, attempts, next_at)
SELECT r.id, 'crm', 'run.succeeded', s.state, 3, now() + interval '1 day' FROM agent_run AS r,
    (VALUES ('pending'), ('failed'), ('delivered'), ('delivered')) AS s(state);
"""


class Receiver(BaseHTTPRequestHandler):
    status = 204
    seen: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).seen.append((dict(self.headers), body))
        self.send_response(type(self).status)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[type[Receiver]]:
    kind = type("OwnReceiver", (Receiver,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    kind.url = f"http://127.0.0.1:{server.server_port}/secret-path"  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kind
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def database(database_url: str, receiver: type[Receiver], monkeypatch: pytest.MonkeyPatch) -> str:
    url = vars(receiver)["url"]
    named = [{"name": name, "url": url, "secrets": SECRET} for name in ("crm", "new")]
    monkeypatch.setenv("AGENT_DATABASE__URL", database_url)
    monkeypatch.setenv("AGENT_WEBHOOKS__ENDPOINTS", json.dumps(named))
    execute(database_url, _FILL)
    return database_url


def webhooks(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["webhooks", *arguments])


def execute(url: str, statement: str) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            if statement.startswith("SELECT"):
                return await connection.fetch(statement)
            # Several statements at once.
            await connection.execute(statement)
            return []
        finally:
            await connection.close()

    return asyncio.run(run())


def test_the_list_shows_what_waits_and_what_is_off(database: str) -> None:
    shown = webhooks("list", "--json")
    assert shown.exit_code == 0
    crm, log, new = json.loads(shown.stdout)
    assert (crm["state"], crm["pending"], crm["givenUp"]) == ("working", 1, 1)
    assert (log["state"], new["state"]) == ("not in the settings", "unknown to workers")
    # The rest of an address may be a secret.
    assert "secret-path" not in shown.stdout

    execute(
        database,
        "UPDATE agent_webhook_endpoint SET disabled_at = now(), last_error = 'status 410' WHERE name = 'crm'",
    )
    shown = webhooks("list")
    assert shown.exit_code == 1
    assert "disabled" in shown.stdout
    assert "status 410" in shown.stdout


def test_an_endpoint_is_enabled_and_its_messages_are_due(database: str) -> None:
    execute(database, "UPDATE agent_webhook_endpoint SET disabled_at = now()")
    done = webhooks("enable", "crm")
    assert (done.exit_code, done.stdout) == (
        0,
        "crm gets its messages again; 1 that had failed are tried now.\n",
    )
    assert execute(database, "SELECT 1 FROM agent_webhook_endpoint WHERE disabled_at IS NULL")
    assert execute(
        database, "SELECT 1 FROM agent_webhook_message WHERE state = 'pending' AND next_at <= now()"
    )


def test_messages_are_sent_again_with_their_ids(database: str) -> None:
    before = execute(database, "SELECT message_id FROM agent_webhook_message ORDER BY id")
    assert "1 messages to crm" in webhooks("replay", "crm").stdout
    assert webhooks("replay", "crm", "--delivered").exit_code == 2
    assert "2 messages" in webhooks("replay", "crm", "--delivered", "--since", "2026-01-01").stdout
    assert "0 messages" in webhooks("replay", "crm", "--delivered", "--since", "2999-01-01T00:00:00Z").stdout
    assert webhooks("replay", "crm", "--since", "yesterday").exit_code == 2
    assert execute(database, "SELECT message_id FROM agent_webhook_message ORDER BY id") == before
    assert len(execute(database, "SELECT 1 FROM agent_webhook_message WHERE state = 'pending'")) == 4


def test_a_message_tries_an_endpoint(receiver: type[Receiver]) -> None:
    done = webhooks("test", "crm")
    assert done.exit_code == 0, done.output
    [(headers, body)] = receiver.seen
    assert (
        Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})["type"]
        == "webhook.test"
    )
    receiver.status = 500
    failed = webhooks("test", "crm")
    assert (failed.exit_code, "status 500" in failed.stderr) == (1, True)
    assert "secret-path" not in failed.stderr


@pytest.mark.parametrize("command", ["test", "enable", "replay"])
def test_an_endpoint_that_does_not_exist_is_named(command: str) -> None:
    result = webhooks(command, "no-such")
    assert result.exit_code == 1
    assert "There is no endpoint 'no-such' here. AGENT_WEBHOOKS__ENDPOINTS names: crm, new." in result.stderr
