"""The commands against a service that is scripted, or not there: exit codes, lines of errors, tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agentroute.cli import app
from agentroute.client import ThreadItem
from agentroute.client.inputs import new_id
from agentroute.terminal.thread_programs import _print_table

THREAD = {
    "threadId": "t-1",
    "title": "Tea\tand\x1b[2J",
    "createdAt": "2026-11-27T18:00:00Z",
    "updatedAt": "2026-11-27T18:00:00Z",
    "messageCount": 3,
}
TITLE = "Quokkas and where they live"
AGENT = {"id": "default", "name": "A", "default": True}


class _Service(ThreadingHTTPServer):
    """Answers reads; wants the token "good" if it wants one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = ""
        self.seen: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        service = self.server
        assert isinstance(service, _Service)
        service.seen.append(self.path)
        path = self.path.removeprefix("/api/v1/agent").partition("?")[0]
        if service.token and self.headers.get("Authorization") != f"Bearer {service.token}":
            self._say(401, {"code": "unauthenticated", "detail": "A token is needed."})
        elif path == "/agents":
            self._say(200, {"agents": [AGENT]})
        elif path == "/threads":
            self._say(200, {"threads": [THREAD]})
        else:
            self._say(404, {"code": "not-found", "detail": "No such thread."})

    def log_message(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  silent
        pass

    def _say(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Service]:
    with _Service() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("AGENTROUTE_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.delenv("AGENTROUTE_TOKEN", raising=False)
        yield server
        server.shutdown()


def run(*arguments: str, stdin: str = "hello") -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


COMMANDS = [["chat"], ["threads"], ["tail", "t-9"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each[0])
@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--url", "http://127.0.0.1:9"],
            "error: Nothing answers at http://127.0.0.1:9. Is AgentRoute running there?",
        ),
        (["--url", "localhost"], "error: 'localhost' is no address: write one like http://127.0.0.1:8000"),
        (
            ["--token-file", "/no/such/file"],
            "error: the token file /no/such/file cannot be read: No such file",
        ),
    ],
    ids=["away", "no-address", "no-file"],
)
def test_what_is_wrong_is_one_line(command: list[str], options: list[str], line: str) -> None:
    result = run(*command, *options)
    assert result.exit_code == 1
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each[0])
def test_a_service_that_wants_a_token_is_given_one(
    command: list[str], service: _Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.token = "good"
    without = run(*command)
    assert (without.exit_code, without.stderr) == (
        1,
        "error: A token is needed. Set AGENTROUTE_TOKEN, or name a file with --token-file.\n",
    )
    (tmp_path / "token").write_text("good\n")
    monkeypatch.setenv("AGENTROUTE_TOKEN", "bad")
    assert "A token is needed" not in run(*command, "--token-file", str(tmp_path / "token")).stderr
    monkeypatch.setenv("AGENTROUTE_TOKEN", "good")
    assert "A token is needed" not in run(*command).stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["tail", "t-9"], "error: there is no thread t-9: `agentroute threads` lists yours\n"),
        (["chat", "--thread", "t-9"], "error: there is no thread t-9: `agentroute threads` lists yours\n"),
        (["chat", "--agent", "nobody"], "error: there is no agent nobody; you may use: default\n"),
    ],
    ids=["tail", "thread", "agent"],
)
def test_what_does_not_exist_is_named(service: _Service, arguments: list[str], line: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (1, line)


def test_an_empty_pipe_asks_nothing(service: _Service) -> None:
    result = run("chat", stdin=" \n")
    assert (result.exit_code, result.stderr.count("standard input is empty")) == (1, 1)


def test_threads_in_a_pipe_are_one_line_each(service: _Service) -> None:
    result = run("threads", "tea", "time", "--limit", "5")
    assert result.stdout == "t-1\t2026-11-27T18:00:00+00:00\t3\tTea and\\x1b[2J\n"
    assert service.seen == ["/api/v1/agent/threads?q=tea+time&limit=5"]


@pytest.mark.parametrize(("columns", "title"), [(200, TITLE), (80, "Quokkas…"), (60, "Quokka…")])
def test_in_the_table_of_threads_the_titles_give_way_and_no_id_is_cut(
    columns: int, title: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    ids = [new_id("thread"), new_id("thread")]
    at = datetime.now(UTC) - timedelta(minutes=10, seconds=30)
    _print_table(tuple(ThreadItem(thread_id=each, title=TITLE, created_at=at, updated_at=at) for each in ids))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["thread", *ids]
    assert [f"  {title}  " in line for line in lines] == [False, True, True]
    assert all(len(line) <= columns for line in lines)


@pytest.mark.parametrize("command", ["chat", "threads", "tail"])
def test_the_help_says_where_the_service_is(command: str) -> None:
    shown = run(command, "--help").stdout
    for word in ("AGENTROUTE_URL", "AGENTROUTE_TOKEN", "127.0.0.1:8000"):
        assert word in shown
