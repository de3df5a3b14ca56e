"""CPU a delta of the model client: httpx alone, our chat model by aiohttp's and by httpx's connections, AgentScope's
own, and the agent on both.

From ``backend/``: ``uv run python ../bench/model_client.py``

A raw asyncio server in a child process plays an endpoint. "burst" sends a whole
answer at once, as after a pause in the network; "paced" sends one delta in each
packet, as a model writes. Only this process' CPU time counts (user and system,
`time.process_time`); the rounds of all clients alternate, medians are shown, so
a noisy machine moves the figures together and the ratios hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from agentscope.agent import Agent, InjectionConfig
from agentscope.credential import OpenAICredential
from agentscope.message import AssistantMsg, Msg, UserMsg
from agentscope.model import ChatModelBase, OpenAIChatModel
from agentscope.state import AgentState

from core.agentscope.runtime.model.call_services import CallServices
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.model_client import create_model_client
from core.agentscope.runtime.model.prices import load_prices
from core.config import ModelSettings

Client = Callable[[list[Msg]], Awaitable[int]]
"""Makes one call with the conversation; returns the characters it received."""

DELTA = " word"


def serve(port: Any, deltas: int) -> None:
    """Run the endpoint: ``/burst/v1`` and ``/paced/v1``."""
    envelope = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def frame(delta: dict[str, Any], finish: str | None = None, **members: Any) -> bytes:
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        data = b"data: %s\n\n" % json.dumps(envelope | {"choices": choices} | members).encode()
        return b"%x\r\n%s\r\n" % (len(data), data)

    usage = {"prompt_tokens": 10, "completion_tokens": deltas, "total_tokens": 10 + deltas}
    words = [frame({"content": DELTA}) for _ in range(deltas)]
    end = frame({}, "stop") + frame({}, None, usage=usage) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                length = request.lower().split(b"content-length:")[1].split(b"\r\n")[0]
                await reader.readexactly(int(length))
                if request.startswith(b"POST /burst"):
                    writer.write(head + b"".join(words) + end)
                else:
                    writer.write(head)
                    for word in words:
                        writer.write(word)
                        await asyncio.sleep(0.001)
                    writer.write(end)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 24)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(listen())


def conversation(turns: int) -> list[Msg]:
    """Return a conversation: about 330 tokens a turn, and a last question."""
    messages: list[Msg] = []
    for turn in range(turns):
        messages.append(UserMsg(name="user", content=f"Question {turn}: " + "why so " * 40))
        messages.append(AssistantMsg(name="assistant", content=f"Answer {turn}: " + "because " * 120))
    return [*messages, UserMsg(name="user", content="And now?")]


def plain_httpx(client: httpx.AsyncClient, url: str) -> Client:
    """The least a client can do: lines, JSON, the content."""

    async def call(messages: list[Msg]) -> int:
        said = [{"role": message.role, "content": message.get_text_content()} for message in messages]
        size = 0
        async with client.stream("POST", f"{url}/chat/completions", json={"messages": said}) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    choices = json.loads(line[6:])["choices"]
                    size += len(choices[0]["delta"].get("content") or "") if choices else 0
        return size

    return call


def model_alone(model: ChatModelBase) -> Client:
    """A model's stream, as an agent reads it."""

    async def call(messages: list[Msg]) -> int:
        size = 0
        stream: Any = await model(messages)
        async for response in stream:
            if not response.is_last:
                size += sum(len(block.text) for block in response.content)
        return size

    return call


def whole_agent(model: ChatModelBase) -> Client:
    """AgentScope's agent, a new one for each call."""

    async def call(messages: list[Msg]) -> int:
        *before, last = messages
        state = AgentState(session_id="bench", context=list(before))
        quiet = InjectionConfig(inject_runtime_state=False)
        agent = Agent(name="assistant", system_prompt="", model=model, state=state, injection_config=quiet)
        return sum([len(getattr(event, "delta", "")) async for event in agent.reply_stream(last)])

    return call


async def cpu_seconds(client: Client, messages: list[Msg], calls: int, parallel: int, size: int) -> float:
    """Return the CPU seconds of so many calls, and make sure that nothing was lost."""

    async def some() -> None:
        for _ in range(calls // parallel):
            received = await client(messages)
            if received != size:
                raise AssertionError(f"received {received} characters of {size}")

    began = time.process_time()
    await asyncio.gather(*(some() for _ in range(parallel)))
    return time.process_time() - began


async def measure(port: int, options: argparse.Namespace) -> None:
    """Measure all clients in all settings and print the tables."""
    size = len(DELTA) * options.deltas
    plan: list[tuple[str, str, int, int, int]] = [
        ("burst: µs of CPU a delta", "burst", 0, 8, 1),
        ("paced, 20 streams at once: µs of CPU a delta", "paced", 0, 20, 20),
        ("burst, 200 turns before: ms of CPU a call", "burst", 200, 2, 1),
    ]
    for title, route, turns, calls, parallel in plan:
        url = f"http://127.0.0.1:{port}/{route}/v1"
        settings = ModelSettings(base_url=url)
        async with create_model_client(settings) as shared, httpx.AsyncClient(trust_env=False) as plain:
            ours, ours_by_httpx = (
                OpenAICompatibleChatModel(
                    CallServices(client, settings, load_prices()),
                    model="m",
                    stage="execution",
                    record=lambda _: None,
                )
                for client in (shared, plain)
            )
            stock = OpenAIChatModel(
                credential=OpenAICredential.model_validate({"api_key": "x", "base_url": url}),
                model="m",
                client_kwargs={"http_client": plain},
            )
            clients = {
                "httpx + json": plain_httpx(plain, url),
                "our model": model_alone(ours),
                "our model by httpx": model_alone(ours_by_httpx),
                "AgentScope's model": model_alone(stock),
                "agent on ours": whole_agent(ours),
                "agent on AgentScope's": whole_agent(stock),
            }
            messages = conversation(turns)
            samples: dict[str, list[float]] = {name: [] for name in clients}
            for round_number in range(options.rounds + 1):
                for name, client in clients.items():
                    used = await cpu_seconds(client, messages, calls, parallel, size)
                    if round_number:  # the first round warms up
                        samples[name].append(used / calls)
        unit = 1e3 if turns else 1e6 / options.deltas
        base = statistics.median(samples["httpx + json"])
        print(f"\n{title} ({options.deltas} deltas an answer, median of {options.rounds} rounds)")
        for name, values in samples.items():
            middle = statistics.median(values)
            spread = f"{min(values) * unit:.1f}-{max(values) * unit:.1f}"
            print(f"  {name:<22} {middle * unit:8.1f}   {middle / base:6.2f} x httpx   ({spread})")


def main() -> None:
    """Start the endpoint, measure, stop it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--deltas", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    port: Any = multiprocessing.Value("i", 0)
    endpoint = multiprocessing.Process(target=serve, args=(port, options.deltas), daemon=True)
    endpoint.start()
    try:
        while not port.value:
            time.sleep(0.01)
        asyncio.run(measure(port.value, options))
    finally:
        endpoint.terminate()
        endpoint.join()


if __name__ == "__main__":
    main()
