"""The search function of a user: found by its reference, called once a search."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.agent.factory.lifespan import Lifespans
from core.agentscope.runtime.agent.factory.user_factory import AgentCodeInvalid
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.user_call import called
from core.agentscope.tools.user_module import import_attribute

_FORM = "write `async def search(query: str, run: AgentRun) -> list[Passage]`"


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A search function with what it shares between runs."""

    reference: str
    function: Callable[[str, AgentRun], Any]
    http: httpx.AsyncClient
    resources: Any = None

    async def __call__(self, query: str, run: AgentRun) -> Any:
        """Return what the function returns. A plain function runs in a thread, so that it may block.

        Raises:
            Exception: What the user's code raised.
        """
        return await called(self.function, query, run)


async def load_retrieval(reference: str, http: httpx.AsyncClient, lifespans: Lifespans) -> Retrieval:
    """Import a search function and open the resources of its module.

    Raises:
        AgentCodeInvalid: There is no such function, it takes other arguments, or its module has a bug.
        LifespanInvalid: The module's ``@lifespan`` failed.
    """
    try:
        module, function = import_attribute(reference)
    except ToolDefinitionError as exc:
        raise AgentCodeInvalid(f"knowledge.retrieve: {exc}") from exc
    check_function(reference, function)
    return Retrieval(reference, function, http, await lifespans.resources_of(module))


def check_function(reference: str, function: Any) -> None:
    """Refuse what cannot be a search function.

    Raises:
        AgentCodeInvalid: The message says what to write.
    """
    where = f"knowledge.retrieve: {reference}"
    if not callable(function) or isinstance(function, type):
        raise AgentCodeInvalid(f"{where}: not a function; {_FORM}")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise AgentCodeInvalid(f"{where}: yields; return a list of all passages: {_FORM}")
    try:
        inspect.signature(function).bind("query", None)
    except TypeError as exc:
        raise AgentCodeInvalid(f"{where}: cannot be called with a query and a run ({exc}); {_FORM}") from exc
    except ValueError:
        # A function of an extension module may not tell its signature.
        return
