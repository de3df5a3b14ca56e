"""ASGI middleware: every path that answers ``GET`` answers ``HEAD``, with the same headers and no body.

Source: RFC 9110, section 9.3.2. Monitors and link checkers send ``HEAD``.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from v1.agent.dependencies import ASKED_BY_HEAD


class HeadRequests:
    """Lets the application answer a ``HEAD`` as a ``GET``, and ends the answer after its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = asyncio.Event()

        async def only_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answered.set()

        async def until_answered() -> Message:
            # An event stream ends only when its client leaves: this client leaves after the headers.
            left = asyncio.ensure_future(receive())
            done = asyncio.ensure_future(answered.wait())
            try:
                await asyncio.wait({left, done}, return_when=asyncio.FIRST_COMPLETED)
                return await left if left.done() and not answered.is_set() else {"type": "http.disconnect"}
            finally:
                left.cancel()
                done.cancel()

        await self._app({**scope, "method": "GET", ASKED_BY_HEAD: True}, until_answered, only_headers)
