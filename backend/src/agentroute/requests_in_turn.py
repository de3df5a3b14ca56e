"""ASGI middleware: requests for streams that come in one instant are answered one after the other.

Otherwise the last of fifty requests is parsed before the first is accepted, and the workers wait meanwhile.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.turns import Turns
from v1.agent.parking import parking_of

AT_ONCE = 3
MOST_SECONDS = 0.05
"""How long a request can hold up others. Accepting a run takes a twentieth of it."""
PATIENCE_SECONDS = 0.2
"""How long a request waits. If so many wait, the processor is not what they wait for: the order brings nothing then."""


class RequestsInTurn:
    """Gives requests a place until their answer begins.

    Only requests whose answer is a stream (the server offers them ``PARKING``), and of these only what has been received
    to its end: nobody waits for the network of another client.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns = Turns(AT_ONCE, MOST_SECONDS, patience_seconds=PATIENCE_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parking = parking_of(scope)
        if parking is None or not parking.is_possible():
            await self._app(scope, receive, send)
            return
        async with self._turns.place() as leave:

            async def leaving(message: Message) -> None:
                # The stream itself may take hours.
                leave()
                await send(message)

            await self._app(scope, receive, leaving)
