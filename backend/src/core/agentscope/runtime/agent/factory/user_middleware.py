"""The middlewares that a profile names: found by their references, made once a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import httpx
from agentscope.middleware import MiddlewareBase

from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.agent.factory.lifespan import Lifespans
from core.agentscope.runtime.agent.factory.user_factory import AgentCodeInvalid
from core.agentscope.runtime.profile.middlewares import ProfileMiddleware
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.user_call import called
from core.agentscope.tools.user_module import import_attribute


class MiddlewareInvalid(ValueError):
    """What was made is no middleware. The message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class UserMiddleware:
    """One middleware with what it shares between runs."""

    where: str
    """Its place in the profile, and its reference."""
    make: Callable[..., Any] | MiddlewareBase
    """Makes it for a run; or the middleware itself, which all runs share."""
    http: httpx.AsyncClient
    arguments: Mapping[str, Any]
    run_name: str = ""
    """The parameter that takes the run; empty if none does."""
    resources: Any = None

    async def of(self, run: AgentRun) -> MiddlewareBase:
        """Return the middleware of a run. A plain function runs in a thread, so that it may block.

        Raises:
            MiddlewareInvalid: It is no middleware.
            Exception: What the user's code raised.
        """
        made: Any = self.make
        if not isinstance(made, MiddlewareBase):
            made = await called(made, **self.arguments, **({self.run_name: run} if self.run_name else {}))
        if not isinstance(made, MiddlewareBase):
            raise MiddlewareInvalid(
                f"{self.where}: returned {type(made).__name__}; return a middleware of AgentScope (MiddlewareBase)"
            )
        return made


async def load_middleware(
    place: int, named: ProfileMiddleware, http: httpx.AsyncClient, lifespans: Lifespans
) -> UserMiddleware:
    """Import what makes a middleware, and open the resources of its module.

    Raises:
        AgentCodeInvalid: There is no such attribute, it cannot make a middleware, its arguments do not fit, or its module
            has a bug.
        LifespanInvalid: The module's ``@lifespan`` failed.
    """
    where = f"middlewares[{place}]: {named.reference}"
    module, found = _found(where, named.reference)
    if isinstance(found, MiddlewareBase):
        if named.arguments:
            raise AgentCodeInvalid(
                f"{where}: is made already, so arguments have no effect; name its class or a function that makes it"
            )
        return UserMiddleware(where, found, http, {}, resources=await lifespans.resources_of(module))
    if not callable(found) or (isinstance(found, type) and not issubclass(found, MiddlewareBase)):
        kind = (
            f"the class {found.__name__}"
            if isinstance(found, type)
            else f"an object of type {type(found).__name__}"
        )
        raise AgentCodeInvalid(
            f"{where}: {kind} is no middleware; name a MiddlewareBase, its class, or a function that makes one"
        )
    run_name = _fits(where, found, named.arguments)
    resources = await lifespans.resources_of(module)
    return UserMiddleware(where, found, http, named.arguments, run_name, resources)


def _found(where: str, reference: str) -> tuple[ModuleType, Any]:
    try:
        return import_attribute(reference)
    except ToolDefinitionError as exc:
        raise AgentCodeInvalid(f"{where.removesuffix(reference)}{exc}") from exc


def _fits(where: str, make: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """Return the name of the parameter that takes the run: it is called ``run``, or annotated ``AgentRun``.

    Raises:
        AgentCodeInvalid: The arguments do not fit.
    """
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return ""
    run_name = next((each.name for each in parameters if _takes_run(each)), "")
    if run_name in arguments:
        raise AgentCodeInvalid(f"{where}: arguments.{run_name} is the run itself; choose another name")
    try:
        inspect.signature(make).bind(**arguments, **({run_name: None} if run_name else {}))
    except TypeError as exc:
        names = ", ".join(each.name for each in parameters if each.name != run_name) or "none"
        raise AgentCodeInvalid(
            f"{where}: {exc}; set arguments = {{…}}: its arguments are {names}, and the run if it takes run: AgentRun"
        ) from exc
    return run_name


def _takes_run(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    # Text, if the module postpones annotations.
    return (
        parameter.name == "run"
        or annotation is AgentRun
        or (isinstance(annotation, str) and annotation.rpartition(".")[2] == AgentRun.__name__)
    )
