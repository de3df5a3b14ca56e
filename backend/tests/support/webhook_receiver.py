"""A receiver of webhooks that remembers what it was sent, and answers as a test says. Checks with the official verifier."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from standardwebhooks import Webhook
from tests.support.stack import eventually, serving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass(frozen=True)
class Delivery:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def type(self) -> str:
        return self.json["type"]

    @property
    def data(self) -> dict[str, Any]:
        return self.json["data"]

    def verified(self, *secrets: str) -> bool:
        """Have the official library check the request with each of these secrets; it raises what is wrong."""
        for secret in secrets:
            Webhook(secret).verify(self.body, dict(self.headers))
        return True


@dataclass
class WebhookReceiver:
    """An ASGI application. Every path is a receiver."""

    url: str = ""
    deliveries: list[Delivery] = field(default_factory=list)
    answers: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    """What a path answers next; then 204."""
    hanging: dict[str, asyncio.Event] = field(default_factory=dict)
    """A path that answers when its event is set."""

    def will_answer(self, path: str, *statuses: int, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.setdefault(path, []).extend((status, named) for status in statuses)

    def of(self, path: str, **data: Any) -> list[Delivery]:
        """Return what came to a path, about something."""
        return [each for each in self.deliveries if each.path == path and data.items() <= each.data.items()]

    async def got(self, path: str, count: int = 1, **data: Any) -> list[Delivery]:
        """Wait for so many requests to a path."""

        async def there() -> list[Delivery]:
            found = self.of(path, **data)
            return found if len(found) >= count else []

        return await eventually(there)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        path = scope["path"]
        assert scope["method"] == "POST"
        self.deliveries.append(Delivery(path, headers, body))
        if path in self.hanging:
            await self.hanging[path].wait()
        queue = self.answers.get(path, [])
        status, told = queue.pop(0) if queue else (204, {})
        head = [(name.encode(), value.encode()) for name, value in told.items()]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[WebhookReceiver]:
    """Serve a receiver."""
    receiver = WebhookReceiver()
    async with serving(receiver, lifespan=False) as receiver.url:
        yield receiver


def endpoint(receiver: WebhookReceiver, name: str, **members: Any) -> dict[str, Any]:
    """Return the settings of an endpoint whose path is its name."""
    return {"name": name, "url": f"{receiver.url}/{name}", "secrets": SECRET, **members}
