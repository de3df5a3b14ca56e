"""Tool calls of a runner that have a result already, from one run to the next: the runner makes them again.

A run that waits for an approval, or with an agent that waits, is not kept in memory. The runner begins at its first line
when the user has answered. What it has called before then returns what it returned, and does not act. Calls are told
apart by name and arguments; of calls that are the same, the first result is returned first.

They are in the state of the thread from the end of a run that waits until the next one. A new message of the user begins
anew, and so does a runner that ended with a question or a client call of its own. See docs/adr/0044.
"""

from __future__ import annotations

import json
from typing import Any

from agentscope.event import ConfirmResult
from agentscope.state import AgentState

from core.agentscope.runtime.agent.runner import events as public
from core.agentscope.runtime.agent.thread_memory import GatedCall
from core.text import clean_json

_CALLS = "agentroute_calls"
"""In the state's ``middle_context``: key, id, content and state of each result, in order."""
_DECIDED = "agentroute_decided"
"""There, too: the user's decisions over calls that the runner has not made again yet."""


class KeptCalls:
    """The results of one runner's tool calls.

    Args:
        results: Those of the runs before.
    """

    def __init__(self, results: list[list[Any]]) -> None:
        self._results = results
        self._left = list(results)
        self.decided: list[dict[str, Any]] = []
        """Decisions for the next run."""

    @classmethod
    def taken_from(cls, state: AgentState, *, goes_on: bool) -> KeptCalls:
        """Take what a run left in the state; what is of no use any more is dropped."""
        state.middle_context.pop(_DECIDED, None)
        kept = state.middle_context.pop(_CALLS, [])
        return cls(kept if goes_on else [])

    def keep_in(self, state: AgentState) -> None:
        """Leave everything in the state for the run that goes on."""
        if self._results:
            state.middle_context[_CALLS] = self._results
        if self.decided:
            state.middle_context[_DECIDED] = self.decided

    def add(self, key: str, result: public.ToolResult, *, heard: bool = True) -> None:
        """Keep the result of a call. ``heard``: the runner has it, and does not get it again in this run."""
        self._results.append([key, result.tool_call_id, clean_json(result.content), result.state])
        if not heard:
            self._left.append(self._results[-1])

    def result(self, key: str) -> public.ToolResult | None:
        """Return the result of a call of a run before, each once."""
        for place, (known, call_id, content, state) in enumerate(self._left):
            if known == key:
                del self._left[place]
                return public.ToolResult(call_id, content, state)
        return None


def call_key(name: str, arguments: str) -> str:
    """Return what tells calls apart: the name, and the arguments in any order."""
    return json.dumps([name, json.loads(arguments)], sort_keys=True)


def decision_to_keep(decision: ConfirmResult, asked: str) -> dict[str, Any]:
    """Return a decision as it is stored. ``asked`` are the arguments that the user was shown."""
    call = decision.tool_call
    return {
        "tool_call_id": call.id,
        "tool_name": call.name,
        "arguments": asked,
        "approved": decision.confirmed,
        "edited": None if call.input == asked else json.loads(call.input),
    }


def kept_decisions(state: AgentState) -> list[GatedCall]:
    """Return the decisions over calls that a runner has not made again yet."""
    return [GatedCall(**each) for each in state.middle_context.get(_DECIDED, ())]
