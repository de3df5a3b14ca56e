"""What a user is told when the code of an agent's owner fails: the model of a factory's agent, or the agent itself.

The texts are for users. The exception's own words go to the log only: they may name hosts, keys and parts of prompts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx

from core.agentscope.runtime.model.foreign_calls import chain, cost_nothing, refusal_status
from core.agentscope.runtime.model.provider_words import names_content_filter, names_exhausted_quota
from core.errors import (
    AgentFailed,
    ContentFiltered,
    ContextTooLong,
    ModelStreamError,
    ModelTimeout,
    ModelUnavailable,
    RunFailure,
)

_TOO_LONG = re.compile(
    r"context[_ ]length|maximum context|context window|prompt is too long|too many tokens", re.IGNORECASE
)
_BY_STATUS = {
    401: "The agent's model refused its key. The operator should check the key of the model.",
    402: "The provider of the agent's model asks for payment. The operator should check the account.",
    403: "The agent's model refused its key or account. The operator should check the key of the model.",
    404: "The agent's model was not found. The operator should check its address and name.",
    429: "The agent's model is busy or its quota is exhausted. Try again later.",
}
_REFUSED = "The agent's model did not accept the request. If a new thread fails too, the operator should check its log."
_UNAVAILABLE = "The agent's model is not available right now. Try again later."
_AGENT = (
    "The agent failed because of an error in its own code. The operator finds it in the log of the worker."
)
_REFUSING = frozenset({400, 403, 413, 422})


def explained(error: BaseException, *, of_model: Callable[[BaseException], bool]) -> RunFailure:
    """Return the failure of a run whose agent raised an exception of its own.

    Args:
        error: What came out of the agent.
        of_model: Tells whether an error came out of a metered model call.
    """
    if not any(of_model(each) for each in chain(error)):
        return AgentFailed(_AGENT)
    words = " ".join(str(each) for each in chain(error))
    status = refusal_status(error)
    if status in _REFUSING and _TOO_LONG.search(words):
        return ContextTooLong("The conversation is too long for the agent's model. Start a new thread.")
    if status in _REFUSING and names_content_filter(words):
        return ContentFiltered(
            "The content filter of the model's provider refused this request. Change the message."
        )
    if status in {402, 403, 429} and names_exhausted_quota(words):
        return ModelUnavailable(_BY_STATUS[402])
    if status is not None:
        return ModelUnavailable(_BY_STATUS.get(status, _UNAVAILABLE if status >= 500 else _REFUSED))
    if any(isinstance(each, TimeoutError | httpx.TimeoutException) for each in chain(error)):
        return ModelTimeout("The agent's model did not answer in time. Try again.")
    if cost_nothing(error):
        return ModelUnavailable("The agent's model cannot be reached. The operator should check its address.")
    return ModelStreamError("The answer of the agent's model was cut off. Try again.")
