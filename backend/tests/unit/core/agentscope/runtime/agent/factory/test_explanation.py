"""What a user is told when a factory's agent fails, by what its model or its code raised."""

from __future__ import annotations

import httpx
import pytest

from core.agentscope.runtime.agent.factory.explanation import explained


class Refusal(Exception):
    """As the SDKs of providers raise it."""

    def __init__(self, status: int, text: str = "host shop.internal") -> None:
        super().__init__(text)
        self.status_code = status


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


CASES: dict[str, tuple[Exception, bool, str]] = {
    "a bug": (KeyError("host"), False, "agent-failed"),
    "a wrong key": (Refusal(401), True, "model-unavailable"),
    "too many requests": (Refusal(429), True, "model-unavailable"),
    "no credit": (Refusal(429, "insufficient_quota"), True, "model-unavailable"),
    "a broken provider": (Refusal(503), True, "model-unavailable"),
    "a wrong request": (Refusal(422), True, "model-unavailable"),
    "too long": (Refusal(400, "maximum context length is 8192 tokens"), True, "context-too-long"),
    "too long for Anthropic": (Refusal(400, "prompt is too long: 210000 tokens"), True, "context-too-long"),
    "filtered": (Refusal(400, "content_filter: the prompt was filtered"), True, "content-filtered"),
    "a timeout": (caused(ValueError("host"), httpx.ReadTimeout("host")), True, "model-timeout"),
    "not reachable": (caused(ValueError("host"), httpx.ConnectError("x")), True, "model-unavailable"),
    "cut off": (httpx.RemoteProtocolError("host shop"), True, "model-stream-error"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_failure_has_the_code_of_its_kind(case: str) -> None:
    error, of_model, code = CASES[case]

    failure = explained(error, of_model=lambda each: of_model and each is error)

    assert failure.code == code
    assert str(error) not in failure.detail


def test_an_error_around_that_of_a_model_is_the_model_s() -> None:
    refusal = Refusal(401)

    assert explained(caused(RuntimeError("x"), refusal), of_model=lambda each: each is refusal).code == (
        "model-unavailable"
    )
