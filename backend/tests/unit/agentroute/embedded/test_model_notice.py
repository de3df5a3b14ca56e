"""The word about the user's model: it comes when it is known, and nobody waits for it."""

from __future__ import annotations

import threading

import pytest
from tests.support.limits import HUNG_SECONDS

from agentroute import preflight
from agentroute.check_result import CheckResult
from agentroute.embedded.model_notice import tell_of_model
from core.config import Settings


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (CheckResult("Model", True, "big at a.example"), "Model: big at a.example"),
        (
            CheckResult("Model", False, "a.example does not answer", "Start it."),
            "warning: Model: a.example does not answer. Start it.",
        ),
    ],
)
def test_the_start_goes_on_and_the_word_follows(
    monkeypatch: pytest.MonkeyPatch, result: CheckResult, line: str
) -> None:
    known, said = threading.Event(), list[str]()

    async def check_model(_settings: Settings) -> CheckResult:
        assert known.wait(HUNG_SECONDS)
        return result

    monkeypatch.setattr(preflight, "check_model", check_model)
    thread = tell_of_model(Settings(), said.append)

    assert said == []
    known.set()
    thread.join(HUNG_SECONDS)
    assert said == [line]
