"""The routes of the embedded mode. They exist only in an API process that a supervisor of ours has started.

They are for the page of this machine (``guard``), and in no OpenAPI document: other clients have no use for them.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, cast

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import SecretStr
from starlette.background import BackgroundTask

from agentroute.embedded_api.guard import require_own_page
from agentroute.embedded_api.model_check import check_model, find_endpoint, refuse_unlisted
from agentroute.embedded_api.schemas import NO_KEY, EndpointCommand, ModelCommand
from agentroute.embedded_api.supervisor_client import SupervisorClient
from agentroute.preflight import find_local_servers
from core.config import Settings
from core.embedded_errors import ModelFixed, ModelNotUsed, ProcessUnavailable, SupervisorUnavailable
from core.errors import NotFound
from core.log import never_log
from core.redaction import secret_forms
from core.validation import parse
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal

EMBEDDED_PREFIX = "/api/v1/embedded"
_USE_SECONDS = 150.0
"""A new worker may take two minutes to become ready: the factory of an agent alone may take one."""

router = APIRouter(
    prefix=EMBEDDED_PREFIX,
    dependencies=[Depends(require_own_page), Depends(current_principal)],
    include_in_schema=False,
)


async def open_supervisor(request: Request) -> SupervisorClient:
    """Return the line to the supervisor.

    Raises:
        SupervisorUnavailable: It is not open yet.
    """
    client = getattr(request.app.state, "supervisor", None)
    if client is None:
        raise SupervisorUnavailable("The service is just starting.")
    return cast("SupervisorClient", client)


Supervisor = Annotated[SupervisorClient, Depends(open_supervisor)]


@router.get("/model")
async def get_model(supervisor: Supervisor) -> Response:
    """Return which model new runs use, and the model servers that run on this machine.

    ``source`` is ``demo`` (scripted, no AI), ``chosen`` (on the page) or ``environment``. ``variables`` are those that
    decide; with any of them, nothing can be chosen here. The key is never shown.
    """
    used, found = await asyncio.gather(supervisor.ask("model"), find_local_servers())
    servers = [{"title": each.title, "baseUrl": each.base_url, "models": each.models} for each in found]
    return _json({**_shown(used), "found": servers})


@router.post("/models")
async def list_endpoint_models(
    request: Request, principal: CurrentPrincipal, container: Container, supervisor: Supervisor
) -> Response:
    """List the models of an endpoint. ``baseUrl`` of the answer is the address as it works."""
    async with container.bodies.read(request, principal, partial(parse, EndpointCommand)) as command:
        used = await supervisor.ask("model")
        endpoint = await find_endpoint(command.base_url, _key(command, used))
    refuse_unlisted(endpoint)
    return _json({"baseUrl": endpoint.base_url, "models": endpoint.names})


@router.put("/model")
async def choose_model(
    request: Request, principal: CurrentPrincipal, container: Container, supervisor: Supervisor
) -> Response:
    """Use another model from the next run on. It is asked for a few words first, and kept for the next start.

    A new worker takes over; live runs end with the model they began with. Then the API starts again, so streams end, and
    clients go on with their cursors. ``note`` says how requests are adapted for the model.
    """
    settings = _settings(request)
    async with container.bodies.read(request, principal, partial(parse, ModelCommand)) as command:
        used = await supervisor.ask("model")
        _refuse_fixed(used)
        key = _key(command, used)
        checked = await check_model(
            command.base_url, key, command.name, settings.model, settings.profile_path
        )
    choice = {"base_url": checked.base_url, "name": command.name, "api_key": key.get_secret_value()}
    await _use(supervisor, choice)
    return _json({**_shown(await supervisor.ask("model")), "note": checked.note})


@router.delete("/model")
async def forget_model(supervisor: Supervisor) -> Response:
    """Use the scripted demo model again, and forget the chosen one with its key."""
    used = await supervisor.ask("model")
    _refuse_fixed(used)
    if used["source"] != "demo":
        await _use(supervisor, None)
    return _json(_shown(await supervisor.ask("model")))


@router.get("/processes")
async def list_processes(supervisor: Supervisor) -> Response:
    """Return the worker, the API and Redis: since when they run, how often they were restarted, the last kill.

    ``state`` is ``running``, ``starting``, ``down``, or ``elsewhere`` for a server of your own.
    """
    return _json(await supervisor.ask("processes"))


@router.post("/processes/{name}/kill")
async def kill_process(name: str, supervisor: Supervisor) -> Response:
    """Kill the ``worker``, the ``api`` or ``redis`` as a crash would (SIGKILL). It is started again at once.

    ``GET /processes`` says when it was back. The API dies after this answer is sent.
    """
    if name not in {"worker", "api", "redis"}:
        raise NotFound("The processes are worker, api and redis.")
    if name == "api":
        answer = await supervisor.ask("processes")
        pid = next(each["pid"] for each in answer["processes"] if each["name"] == name)
        killed = {"name": name, "pid": pid, "killedAt": datetime.now(UTC).isoformat()}
        return _json(killed, status=202, background=BackgroundTask(_kill_self, supervisor))
    killed = await supervisor.ask("kill", process=name)
    if reason := killed.get("refused"):
        raise ProcessUnavailable(reason)
    return _json({"name": name, **killed}, status=202)


async def _kill_self(supervisor: SupervisorClient) -> None:
    supervisor.tell("kill", process="api")


async def _use(supervisor: SupervisorClient, choice: dict[str, Any] | None) -> None:
    answer = await supervisor.ask("use", seconds=_USE_SECONDS, choice=choice)
    if reason := answer.get("refused"):
        raise ModelNotUsed(f"The model before stays in use: {reason}.")


def _refuse_fixed(used: dict[str, Any]) -> None:
    if variables := used["variables"]:
        raise ModelFixed(
            f"{' and '.join(variables)} of the environment decides. Remove it and start again to choose here.",
            variables=variables,
        )


def _key(command: EndpointCommand, used: dict[str, Any]) -> SecretStr:
    """Return the key to send. The kept one is for its own address only."""
    if command.api_key is not None:
        never_log(secret_forms(command.api_key.get_secret_value()))
        return command.api_key
    kept = used["source"] == "chosen" and used["base_url"].rstrip("/") == command.base_url.rstrip("/")
    return SecretStr(used["api_key"]) if kept else NO_KEY


def _shown(used: dict[str, Any]) -> dict[str, Any]:
    return {
        "source": used["source"],
        "baseUrl": None if used["source"] == "demo" else used["base_url"],
        "name": used["name"],
        "hasKey": bool(used["api_key"]),
        "variables": used["variables"],
    }


def _settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


def _json(
    document: dict[str, Any], *, status: int = 200, background: BackgroundTask | None = None
) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json", background=background)
