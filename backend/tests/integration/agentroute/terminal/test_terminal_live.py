"""The terminal against the whole service: a real terminal, real keys, a service that restarts, pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from tests.support.embedded_service import API, embedded_service
from tests.support.limits import HUNG_SECONDS
from tests.support.processes import command_of, is_alive
from tests.support.pty_session import CTRL_C, ENTER, PtySession, pty_session

from agentroute.client import AgentRouteClient

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service, shared by the tests here."""
    with embedded_service(tmp_path_factory.mktemp("service") / "data") as url:
        yield url.removesuffix(API)


@pytest.fixture
def client(url: str) -> Iterator[AgentRouteClient]:
    with AgentRouteClient(url) as client:
        yield client


def say(terminal: PtySession, text: str) -> None:
    terminal.until_prompt()
    terminal.press(text + ENTER)


def leave(terminal: PtySession) -> None:
    terminal.until_prompt()
    terminal.press(CTRL_C)
    terminal.until("Ctrl-C again leaves")
    terminal.until_prompt()
    terminal.press(CTRL_C)
    assert terminal.wait() == 0


def test_a_conversation(url: str, client: AgentRouteClient) -> None:
    with pty_session(["chat", "--url", url]) as terminal:
        say(terminal, "think about 6 and calculate 6*7")
        terminal.until("The calculator says that 6*7 = 42.")
        assert terminal.text.count('→ calculate(expression="6*7")\n← 42\n') == 1
        assert "The user asks me to think." in terminal.text
        # Several lines, by a backslash.
        say(terminal, "one\\")
        terminal.press("two" + ENTER)
        terminal.until("one two")
        # A question, answered by keys: with other arguments, declined, left open and asked again.
        say(terminal, "remember that I like tea")
        terminal.until("[e] edit")
        terminal.press("e")
        terminal.until("arguments: ")
        terminal.press("\x7f\x7f, too" + '"}' + ENTER)
        terminal.until('Approved with {"text": "I like tea, too"}')
        terminal.until("I asked the memory tool to keep “I like tea, too”.")
        say(terminal, "remember that I like rain")
        terminal.until("[e] edit", 2)
        terminal.press(CTRL_C)
        terminal.until("The question stays open")
        say(terminal, "/answer")
        terminal.until("[e] edit", 3)
        terminal.press("d")
        terminal.until("Declined.")
        # Ctrl-C stops the run and not the program.
        say(terminal, "slowly")
        terminal.until("Slowly it is.")
        terminal.press(CTRL_C)
        terminal.until("Stopped.")
        say(terminal, "/title Quokkas")
        terminal.until("Title: Quokkas")
        say(terminal, "/usage")
        terminal.until("Last 30 days:")
        say(terminal, "/nonsense")
        terminal.until("There is no command /nonsense")
        say(terminal, "/new")
        terminal.until("A new thread.")
        say(terminal, "fail 503")
        terminal.until("(model-unavailable)")
        leave(terminal)
    (thread,) = client.threads("quokkas").threads
    assert [run.status for run in client.thread_runs(thread.thread_id).runs][::-1] == [
        "succeeded",
        "succeeded",
        "interrupted",
        "succeeded",
        "interrupted",
        "succeeded",
        "cancelled",
    ]


def test_a_thread_is_gone_on_with_while_the_service_restarts(url: str, client: AgentRouteClient) -> None:
    thread = client.ask("hello").thread_id
    with pty_session(["chat", "--url", url, "--thread", thread]) as terminal:
        terminal.until("\u203a hello")
        say(terminal, "slowly")
        terminal.until("Slowly it is.")
        kill_api(url)
        terminal.until("reconnecting")
        terminal.until("tokens in")
        leave(terminal)
    # What is in the scrollback is what is in the history, once.
    (answer,) = (
        each["content"] for each in client.all_messages(thread) if "Slowly" in str(each.get("content"))
    )
    assert "".join(terminal.text.split()).count("".join(answer.split())) == 1


def kill_api(url: str) -> None:
    """Kill the API process of the service; it is started again. Other services of this process stay."""
    port = httpx.URL(url).port
    (api,) = (
        child
        for child in psutil.Process().children(recursive=True)
        if is_alive(child)
        and "agentroute.cli serve" in " ".join(command_of(child))
        and any(line.laddr.port == port for line in child.net_connections("inet"))
    )
    api.kill()


def piped(*arguments: str, question: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentroute", *arguments],
        input=question,
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=False,
    )


def test_a_pipe_gets_the_answer_and_an_exit_code(url: str, client: AgentRouteClient) -> None:
    done = piped("chat", "--url", url, question="what is 6*7")
    assert (done.returncode, done.stdout) == (0, "The calculator says that 6*7 = 42.\n")
    assert done.stderr == '→ calculate(expression="6*7")\n← 42\n'
    failed = piped("chat", "--url", url, question="fail 503")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.endswith("(model-unavailable)\n")
    asked = piped("chat", "--url", url, question="remember that I like tea")
    assert asked.returncode == 1
    thread = asked.stderr.split()[-1]
    assert asked.stderr.endswith(f"Answer with: agentroute chat --thread {thread}\n")
    assert len(client.history(thread).pending_interrupts) == 1


def test_tail_follows_a_thread_until_ctrl_c(url: str, client: AgentRouteClient, tmp_path: Path) -> None:
    thread = client.ask("hello").thread_id
    with pty_session(["tail", thread, "--url", url]) as terminal:
        terminal.until("tokens in")
        client.ask("what is 6*7", thread_id=thread)
        terminal.until("The calculator says that 6*7 = 42.")
        assert "\u203a what is 6*7" in terminal.text
        terminal.press(CTRL_C)
        assert terminal.wait() == 0
    told = tmp_path / "events"
    command = [sys.executable, "-m", "agentroute", "tail", thread, "--url", url, "--json", "--cursor", "1-0"]
    with told.open("wb") as output, subprocess.Popen(command, stdout=output, env=dict(os.environ)) as process:
        last = client.history(thread).cursor
        while f'"cursor": "{last}"' not in told.read_text():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(HUNG_SECONDS) == 0
    events = [json.loads(line) for line in told.read_text().splitlines()]
    assert [each["event"]["type"] for each in events].count("RUN_FINISHED") == 2


def test_tail_ends_when_nobody_reads_it_any_more(url: str, client: AgentRouteClient) -> None:
    thread = client.ask("hello").thread_id
    command = [sys.executable, "-m", "agentroute", "tail", thread, "--url", url, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        last = client.history(thread).cursor.encode()
        while last not in process.stdout.readline():
            pass
        # Nothing more is written, and it ends all the same.
        process.stdout.close()
        assert process.wait(HUNG_SECONDS) == -signal.SIGPIPE


def test_threads_are_a_table_in_a_terminal(url: str, client: AgentRouteClient) -> None:
    thread = client.ask("hello").thread_id
    with pty_session(["threads", "--url", url], columns=120) as terminal:
        assert terminal.wait() == 0
    rows = [line.split() for line in terminal.text.split("\n")]
    assert rows[0] == ["thread", "title", "active", "messages", "cost"]
    assert [(row[1], row[-2:]) for row in rows if row[0] == thread] == [("hello", ["2", "$0"])]
    assert b"\x1b" in terminal.raw
    with pty_session(["threads", "--url", url], {"NO_COLOR": "1", "TERM": "dumb"}) as terminal:
        assert terminal.wait() == 0
    assert b"\x1b" not in terminal.raw
