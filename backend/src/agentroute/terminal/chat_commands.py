"""The commands of a chat, which begin with a slash."""

from __future__ import annotations

from collections.abc import Callable

from agentroute.client import AgentRouteError, NotFound
from agentroute.terminal.chat import Chat
from agentroute.terminal.shown import age_text, cost_text

COMMANDS = {
    "/new": "begin a new thread",
    "/threads": "list your threads; /threads WORDS searches",
    "/open": "open a thread: /open ID",
    "/title": "rename this thread: /title WORDS",
    "/answer": "ask the open questions again",
    "/usage": "tokens and cost of this thread, and of the last 30 days",
    "/help": "this list",
    "/quit": "leave; a run that is live goes on",
}
_LISTED_THREADS = 15


class QuitChat(Exception):
    """The user leaves."""


def run_command(chat: Chat, line: str) -> None:
    """Execute a command of a chat.

    Raises:
        QuitChat: It was ``/quit``.
    """
    name, _, rest = line.strip().partition(" ")
    command = _TABLE.get(name)
    if command is None:
        chat.view.note(f"There is no command {name}; /help lists them.", is_error=True)
        return
    try:
        command(chat, rest.strip())
    except AgentRouteError as exc:
        chat.view.note(str(exc), is_error=True)


def _new(chat: Chat, _rest: str) -> None:
    chat.begin()
    chat.view.note("A new thread.")


def _threads(chat: Chat, rest: str) -> None:
    found = chat.client.threads(rest or None, limit=_LISTED_THREADS).threads
    lines: list[str] = []
    for item in found:
        mark = "*" if item.thread_id == chat.thread_id else " "
        title = item.title or "(no title)"
        age = age_text(item.updated_at)
        lines.append(f"{mark} {item.thread_id}  {title}  (messages: {item.message_count}, {age})")
    lines.append("/open ID opens one." if found else "There is none.")
    chat.view.note("\n".join(lines))


def _open(chat: Chat, rest: str) -> None:
    if not rest:
        chat.view.note("Which one? /threads lists them.", is_error=True)
        return
    try:
        chat.open(rest)
    except NotFound:
        chat.view.note(f"There is no thread {rest}; /threads lists yours.", is_error=True)


def _title(chat: Chat, rest: str) -> None:
    if not chat.is_begun:
        chat.view.note("This thread has no messages yet.", is_error=True)
    elif rest:
        chat.view.note(f"Title: {chat.client.rename_thread(chat.thread_id, rest).title}")
    else:
        chat.view.note(f"Title: {chat.client.thread(chat.thread_id).title}")


def _answer(chat: Chat, _rest: str) -> None:
    if chat.open_questions:
        chat.answer()
    else:
        chat.view.note("No question is open.")


def _usage(chat: Chat, _rest: str) -> None:
    lines: list[str] = []
    if chat.is_begun:
        usage = chat.client.thread(chat.thread_id).usage
        cost = cost_text(usage.cost, is_complete=usage.cost_complete)
        lines.append(f"This thread: {usage.input_tokens:,} tokens in, {usage.output_tokens:,} out, {cost}")
    totals = chat.client.usage().totals
    cost = cost_text(totals.cost, is_complete=not totals.unknown_cost_calls)
    lines.append(
        f"Last 30 days: {totals.calls:,} calls, {totals.input_tokens:,} tokens in, {totals.output_tokens:,} out, {cost}"
    )
    chat.view.note("\n".join(lines))


def _help(chat: Chat, _rest: str) -> None:
    lines = [f"{name:<9} {what}" for name, what in COMMANDS.items()]
    lines.append("Enter sends. Alt-Enter, or a backslash before Enter, begins a new line.")
    lines.append("Ctrl-C stops a run. At the prompt, Ctrl-C twice leaves.")
    chat.view.note("\n".join(lines))


def _quit(_chat: Chat, _rest: str) -> None:
    raise QuitChat


_TABLE: dict[str, Callable[[Chat, str], None]] = {
    "/new": _new,
    "/threads": _threads,
    "/open": _open,
    "/title": _title,
    "/answer": _answer,
    "/usage": _usage,
    "/help": _help,
    "/quit": _quit,
    "/exit": _quit,
}
