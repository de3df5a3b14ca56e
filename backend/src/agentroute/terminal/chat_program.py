"""``agentroute chat``: a conversation in a terminal, or one question and its answer in a pipe."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentroute.client import AgentItem, AgentRouteClient, AgentRouteError, Retry
from agentroute.terminal.chat import Chat
from agentroute.terminal.harmless import harmless
from agentroute.terminal.plain_view import PlainView
from agentroute.terminal.service import Service, TerminalError, existing_thread

if TYPE_CHECKING:
    from agentroute.terminal.live_view import LiveView
    from agentroute.terminal.prompting import Asker

_RETRIES = 1000
"""Of requests, once the service has answered: whoever looks at the terminal presses Ctrl-C."""
_PIPE_RETRIES = 4
_PIPE_RECONNECT_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """What the command was given."""

    thread_id: str | None = None
    agent_id: str | None = None
    url: str | None = None
    token_file: Path | None = None


def run_chat(options: ChatOptions) -> int:
    """Talk until the user leaves; returns the exit code.

    Raises:
        AgentRouteError: The service cannot be reached, or refuses.
        TerminalError: The thread or the agent does not exist.
    """
    service = Service.of(options.url, options.token_file)
    agent = _checked(service, options)
    if not sys.stdin.isatty():
        return _run_once(service, options)
    view = make_view()
    with service.client(
        max_retries=_RETRIES, reconnect_seconds=None, on_retry=lambda retry: tell_retry(view, retry)
    ) as client:
        return _talk(client, view, options, agent, service.url)


def make_view() -> LiveView | PlainView:
    """Return the view for standard output: for a terminal that can be drawn on, or for anything else."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        from rich.console import Console

        from agentroute.terminal.live_view import LiveView

        return LiveView(Console(highlight=False))
    return PlainView(sys.stdout, sys.stderr)


def tell_retry(view: LiveView | PlainView, retry: Retry) -> None:
    """Show that the service is not there at the moment. A stream at its greatest age is no news."""
    if retry.reason:
        view.wait_for("the service does not answer, reconnecting")


def _checked(service: Service, options: ChatOptions) -> AgentItem | None:
    """Return the agent of the conversation; ask for everything that may be wrong, before anything is shown."""
    with service.client() as client:
        agents = client.agents()
        wanted = options.agent_id
        if options.thread_id is not None:
            wanted = existing_thread(client, options.thread_id).agent_id or wanted
        elif wanted is not None and wanted not in {agent.id for agent in agents}:
            known = ", ".join(agent.id for agent in agents) or "none"
            raise TerminalError(f"there is no agent {wanted}; you may use: {known}")
    return next((agent for agent in agents if agent.id == wanted or (wanted is None and agent.default)), None)


def _run_once(service: Service, options: ChatOptions) -> int:
    """Answer what standard input says; returns 1 if there was no answer."""
    text = sys.stdin.read().strip()
    if not text:
        raise TerminalError("standard input is empty: write a question, or run the command in a terminal")
    view = PlainView(sys.stdout, sys.stderr)
    with service.client(
        max_retries=_PIPE_RETRIES,
        reconnect_seconds=_PIPE_RECONNECT_SECONDS,
        on_retry=lambda retry: tell_retry(view, retry),
    ) as client:
        chat = Chat(client, view, None, agent_id=options.agent_id)
        chat.begin()
        if options.thread_id is not None:
            chat.thread_id, chat.is_begun = options.thread_id, True
        return 0 if chat.say(text) else 1


def _talk(
    client: AgentRouteClient,
    view: LiveView | PlainView,
    options: ChatOptions,
    agent: AgentItem | None,
    url: str,
) -> int:
    from agentroute.terminal.chat_commands import COMMANDS, QuitChat
    from agentroute.terminal.prompting import TerminalAsker

    asker = TerminalAsker(COMMANDS)
    chat = Chat(client, view, asker, agent_id=options.agent_id)
    view.note(f"{agent.name if agent else 'AgentRoute'} · {url} · /help lists the commands")
    if options.thread_id is None:
        chat.begin()
        if agent is not None and agent.greeting:
            view.note(agent.greeting)
    else:
        chat.open(options.thread_id)
    with suppress(QuitChat):
        _loop(chat, asker)
    if chat.is_begun:
        view.note(f"Go on with: agentroute chat --thread {harmless(chat.thread_id)}")
    return 0


def _loop(chat: Chat, asker: Asker) -> None:
    """Take one message after the other. Ends at Ctrl-D, and at Ctrl-C twice."""
    from agentroute.terminal.chat_commands import run_command

    is_leaving = False
    while True:
        try:
            text = asker.message().strip()
            is_leaving = False
            if text.startswith("/"):
                run_command(chat, text)
            elif text:
                chat.say(text)
            elif chat.open_questions:
                chat.answer()
        except EOFError:
            return
        except KeyboardInterrupt:
            if is_leaving:
                return
            is_leaving = True
            chat.view.note("Ctrl-C again leaves; so does /quit.")
        except AgentRouteError as exc:
            chat.view.note(str(exc), is_error=True)
