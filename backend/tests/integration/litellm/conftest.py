"""The LiteLLM proxy of this folder; see ``tests/support/litellm_proxy.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.litellm_proxy import Proxy, WithoutCost, configured_prices, install, running
from tests.support.stack import DemoModel, serving

from agentroute.demo.model import create_demo_app


@pytest.fixture(scope="package")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    """The proxy of the folder: it starts once, in front of a scripted model that names no cost."""
    await install()
    requests: list[dict[str, Any]] = []
    demo = create_demo_app(delay_seconds=0.001, recorder=lambda _route, body: requests.append(body))
    log = tmp_path_factory.mktemp("litellm") / "proxy.log"
    async with (
        serving(WithoutCost(demo), lifespan=False) as upstream,
        running(f"{upstream}/v1", log) as url,
    ):
        yield Proxy(f"{url}/v1", DemoModel(f"{upstream}/v1", requests), configured_prices())
