"""The place of a call, for tests of tools."""

from __future__ import annotations

import pytest

from core.agentscope.tools.spec import ToolContext
from core.identity import Principal


@pytest.fixture
def context() -> ToolContext:
    return ToolContext(Principal("tenant", "user"), thread_id="t-1", run_id="r-1", tool_call_id="c-1")
