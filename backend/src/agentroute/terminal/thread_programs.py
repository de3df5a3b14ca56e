"""``agentroute threads`` lists threads, ``agentroute tail`` shows what happens in one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from agentroute.client import AgentRouteClient, ThreadItem
from agentroute.terminal.chat_program import make_view, tell_retry
from agentroute.terminal.harmless import harmless
from agentroute.terminal.plain_view import PlainView
from agentroute.terminal.reader_gone import end_without_reader
from agentroute.terminal.service import Service, existing_thread
from agentroute.terminal.shown import age_text, cost_text

_WIDTH_OF_OTHERS = 40
"""Room for a short title, its age, the messages and the cost; a narrower terminal shows no messages and no cost."""


def run_threads(
    query: str | None, *, limit: int, agent_id: str | None, url: str | None, token_file: Path | None
) -> int:
    """List the newest threads: a table in a terminal, otherwise one line each with tabs.

    Raises:
        AgentRouteError: The service cannot be reached, or refuses.
        TerminalError: The address or the token file is not one.
    """
    with Service.of(url, token_file).client() as client:
        found = client.threads(query, agent_id=agent_id, limit=limit).threads
    if sys.stdout.isatty():
        _print_table(found)
    else:
        for item in found:
            fields = (item.thread_id, item.updated_at.isoformat(), str(item.message_count), item.title or "")
            print("\t".join(harmless(each).replace("\t", " ").replace("\n", " ") for each in fields))
    return 0


def _print_table(found: tuple[ThreadItem, ...]) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not found:
        print("There is no thread.")
        return
    console = Console(highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    # An id is copied, so it is never cut: the title gives way, the one column that may be wrapped. Its text is cut instead.
    widest_id = max(cell_len(harmless(each.thread_id)) for each in found)
    table.add_column("thread", no_wrap=True, min_width=widest_id)
    table.add_column("title", min_width=len("title"), overflow="ellipsis")
    others = ("active", "messages", "cost") if console.width >= widest_id + _WIDTH_OF_OTHERS else ("active",)
    for name in others:
        table.add_column(name, no_wrap=True)
    for item in found:
        state = (
            "live"
            if item.active_run
            else "asks you"
            if item.pending_interrupts
            else age_text(item.updated_at)
        )
        usage = item.usage
        # The head of the column says of what.
        cost = "unknown" if usage.cost is None else cost_text(usage.cost, is_complete=usage.cost_complete)
        cells = (item.thread_id, item.title or "", state, str(item.message_count), cost)
        table.add_row(*(Text(harmless(cell), no_wrap=True) for cell in cells[: len(others) + 2]))
    console.print(table)


def run_tail(
    thread_id: str, *, as_json: bool, cursor: str | None, url: str | None, token_file: Path | None
) -> int:
    """Show what happens in a thread, from its live or latest run on, until Ctrl-C.

    Raises:
        AgentRouteError: The service refuses, or the thread was deleted.
        TerminalError: There is no such thread.
    """
    service = Service.of(url, token_file)
    with service.client() as client:
        existing_thread(client, thread_id)
    end_without_reader()
    view = PlainView(sys.stdout, sys.stderr) if as_json else make_view()
    with service.client(reconnect_seconds=None, on_retry=lambda retry: tell_retry(view, retry)) as client:
        try:
            if as_json:
                _print_events(client, thread_id, cursor)
            else:
                with view, client.events(thread_id, cursor=cursor) as events:
                    for event in events:
                        view.see(event)
        except KeyboardInterrupt:
            pass
    return 0


def _print_events(client: AgentRouteClient, thread_id: str, cursor: str | None) -> None:
    with client.events(thread_id, cursor=cursor) as events:
        for event in events:
            # ASCII: a terminal may show it.
            print(json.dumps({"cursor": event.cursor, "event": dict(event.raw)}), flush=True)
