"""A real LiteLLM proxy, started by ``script/litellm`` with the configuration that ships.

Its environment is installed into ``.tools/litellm`` when it is not there yet.
Where that cannot be done (no package index), the tests skip with the reason;
in CI (``CI=true``) they fail.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.support.limits import HUNG_SECONDS, PROXY_START_SECONDS
from tests.support.ports import reserved_port
from tests.support.stack import DemoModel, Row

from agentroute.embedded.child_process import dying_with_parent

ROOT = Path(__file__).parents[3]
KEY = "sk-of-the-proxy-0123456789abcdef"
_SCRIPT = ROOT / "script" / "litellm"
_CONFIG = ROOT / "deploy" / "litellm" / "config.yaml"


@dataclass(frozen=True)
class Price:
    """US dollars a token, as the configuration writes them."""

    input: Decimal
    cached: Decimal
    output: Decimal

    def of(self, call: Row) -> Decimal:
        """Return what a call of the ledger costs, exactly."""
        fresh = call["input_tokens"] - call["cached_input_tokens"]
        return (
            fresh * self.input
            + call["cached_input_tokens"] * self.cached
            + call["output_tokens"] * self.output
        )


@dataclass(frozen=True)
class Proxy:
    """The running proxy and what is behind it."""

    url: str
    upstream: DemoModel
    prices: Mapping[str, Price]
    """By the name that callers use."""


class WithoutCost:
    """Takes the cost out of the demo model's streams, as most providers have none: the proxy has to price them."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def without(message: dict[str, Any]) -> None:
            if b"chat.completion.chunk" in message.get("body", b""):
                message["body"] = message["body"].replace(b',"cost":0', b"")
            await send(message)

        await self._app(scope, receive, without)


async def install() -> None:
    """Install the proxy's environment, or end the test with the reason why it cannot be had."""
    install = await asyncio.create_subprocess_exec(
        _SCRIPT, "--install", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await install.communicate()
    if install.returncode:
        reason = f"LiteLLM cannot be installed here: {said.decode(errors='replace')[-1000:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@asynccontextmanager
async def running(upstream: str, log: Path) -> AsyncIterator[str]:
    """Run the proxy in front of an upstream; yields its base URL without the version."""
    port = reserved_port()
    env = os.environ | {
        "LITELLM_MASTER_KEY": KEY,
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": upstream,
        "NO_PROXY": "127.0.0.1",
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *dying_with_parent([str(_SCRIPT), "--port", str(port)], signal.SIGKILL),
            # Not the checkout: the command has to work from any folder.
            cwd=log.parent,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await _ready(process, url, log)
        yield url
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(HUNG_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _ready(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(PROXY_START_SECONDS):
        while True:
            assert process.returncode is None, f"the proxy did not start: {_tail(log)}"
            with suppress(httpx.TransportError):
                if (await client.get(f"{url}/health/liveliness")).is_success:
                    return
            await asyncio.sleep(0.2)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def configured_prices() -> dict[str, Price]:
    """Read the prices of the configuration, by the name that callers use."""
    # Read as text: a YAML number would be a double already.
    config: Any = yaml.load(_CONFIG.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - it builds texts only
    return {
        model["model_name"]: Price(
            Decimal(params["input_cost_per_token"]),
            Decimal(params["cache_read_input_token_cost"]),
            Decimal(params["output_cost_per_token"]),
        )
        for model in config["model_list"]
        if "cache_read_input_token_cost" in (params := model["litellm_params"])
    }
