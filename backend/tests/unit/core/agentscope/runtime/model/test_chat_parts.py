"""Text and reasoning of what an endpoint sends, whatever its parts are."""

from __future__ import annotations

from typing import Any

import pytest

from core.agentscope.runtime.model.chat_parts import reasoning_of


@pytest.mark.parametrize("kind", [None, True, 5, "", [], {}, {"a": 1}, ["thinking"]], ids=repr)
def test_a_part_whose_type_is_no_text_is_no_reasoning(kind: Any) -> None:
    part = {"type": kind, "text": "hm"}

    assert reasoning_of({"content": [part]}) == ""
    assert reasoning_of({"reasoning_details": [part], "thinking_blocks": [part]}) == ""
    assert reasoning_of({"content": [part, {"type": "thinking", "text": "so"}]}) == "so"
