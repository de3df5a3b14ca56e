"""Whether every cursor that clients hold goes on exactly, or is refused with a clear code."""

from __future__ import annotations

from tests.support.stack import Stack

from core.agentscope.schemas.cursor import Cursor

Shown = dict[str, list[tuple[str, bytes]]]
"""By thread: what its clients have seen, in order."""


async def log_of(stack: Stack, thread: str) -> list[tuple[str, bytes]]:
    """Return the log of a thread, as clients see it."""
    rows = await stack.fetch(
        """SELECT e.ordinal, e.seq, e.payload FROM agent_run_event AS e JOIN agent_chat_session AS s ON s.id = e.session_id
        WHERE s.thread_id = $1 ORDER BY e.ordinal, e.seq""",
        thread,
    )
    return [(f"{row['ordinal']}-{row['seq']}", row["payload"].encode()) for row in rows]


async def wrong_cursors(stack: Stack, shown: Shown) -> tuple[list[str], int, int]:
    """Return the cursors from which a client would not get to the log, and how many were exact and refused."""
    wrong: list[str] = []
    exact = refused = 0
    for thread, seen in shown.items():
        log = await log_of(stack, thread)
        for place, (cursor, _) in enumerate(seen):
            told = await told_after(stack, thread, cursor, log)
            if told is None:
                refused += 1
            elif seen[: place + 1] + told == log:
                exact += 1
            else:
                wrong.append(f"{thread} {cursor}")
    return wrong, exact, refused


async def told_after(
    stack: Stack, thread: str, cursor: str, log: list[tuple[str, bytes]]
) -> list[tuple[str, bytes]] | None:
    """Return what a client gets after a cursor, to the end of the log; ``None`` if it is refused."""
    client = stack.apis[0].client("ada")
    params = {"threadId": thread, "cursor": cursor}
    async with client.stream(
        "GET", "/events", params=params, headers={"Accept": "text/event-stream"}
    ) as answer:
        if answer.status_code != 200:
            problem = await answer.aread()
            assert (answer.status_code, b'"code":"cursor-ahead"' in problem) == (400, True), problem
            assert b'"historyUrl"' in problem
            return None
    if Cursor.parse(cursor) >= Cursor.parse(log[-1][0]):
        return []
    async with stack.open_events(thread, cursor=cursor) as stream:
        while (frame := await stream.next()) is not None and frame.id != log[-1][0]:
            pass
        return [(frame.id, frame.data) for frame in stream.frames]
