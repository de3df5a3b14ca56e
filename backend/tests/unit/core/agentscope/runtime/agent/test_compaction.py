"""What AgentScope is told about long contexts: it may summarise, and must not truncate."""

from __future__ import annotations

import pytest

from core.agentscope.runtime.agent.compaction import context_config
from core.agentscope.runtime.profile.profile import Context


@pytest.mark.parametrize("trigger_ratio", [0.1, 0.11, 0.7, 0.9])
def test_every_trigger_a_profile_may_set_leaves_room_for_what_is_kept(trigger_ratio: float) -> None:
    config = context_config(Context(trigger_ratio=trigger_ratio))

    assert config.trigger_ratio == trigger_ratio
    assert 0 < config.reserve_ratio < trigger_ratio


def test_nothing_is_truncated_when_a_summary_fails_and_no_image_is_dropped() -> None:
    config = context_config(Context(tool_result_tokens=123))

    assert config.compression_fallback_to_truncation is False
    assert config.max_image_num > 1000
    assert config.tool_result_limit == 123
