"""The HTTP application: routes, middleware, and the resources they need while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from agentroute import health, problem_pages
from agentroute.admin_port import AdminPort
from agentroute.cors import Cors
from agentroute.docs_page import install_docs
from agentroute.head_requests import HeadRequests
from agentroute.http_context import HttpContext
from agentroute.page.routes import install_page
from agentroute.plain_address import PlainAddress
from agentroute.requests_in_turn import RequestsInTurn
from core.config import Settings
from core.problem import ErrorBoundary, install_problem_handlers
from v1.agent import (
    admin_routes,
    agent_routes,
    approval_routes,
    connection_routes,
    file_routes,
    key_routes,
    login_routes,
    memory_routes,
    operator_routes,
    schedule_routes,
    thread_routes,
    ticket_routes,
    transcribe,
    usage_routes,
    user_data_routes,
)
from v1.agent import router as agent
from v1.agent.container import ApiContainer
from v1.agent.openapi import add_schemas
from v1.agent.route_access import add_scopes

_DESCRIPTION = """Runs an AgentScope agent as a durable, resumable service that speaks AG-UI 1.0.

Errors are problem documents (RFC 9457); GET the `type` URI of a problem for an explanation."""


class AgentRouteApp(FastAPI):
    """FastAPI, plus the models of bodies that routes read themselves."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            add_schemas(super().openapi())
            add_scopes(super().openapi())
        return super().openapi()


def create_app(
    settings: Settings, *, container: ApiContainer | None = None, supervisor: int | None = None
) -> FastAPI:
    """Build the application.

    Args:
        settings: Read once by the caller.
        container: Open resources that the caller also closes. When absent, the
            lifespan opens and closes the process's own.
        supervisor: In embedded mode, the descriptor of the line to the supervisor: the routes of that mode exist.

    Raises:
        ConfigurationError: From the lifespan, when the settings exclude each other.
    """
    server = settings.server
    app = AgentRouteApp(
        title="AgentRoute",
        version=version("agentroute"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if server.docs else None,
        # A redirect to the path without its slash would contain the host from the Host header.
        redirect_slashes=False,
        lifespan=lambda app: _lifespan(app, settings, container, supervisor),
    )
    # Also without a lifespan: an in-process client may not run one.
    app.state.container = container
    install_problem_handlers(app)
    for router in (
        agent.router,
        agent_routes.router,
        thread_routes.router,
        usage_routes.router,
        user_data_routes.router,
        file_routes.router,
        login_routes.router,
        memory_routes.router,
        approval_routes.router,
        connection_routes.router,
        key_routes.router,
        schedule_routes.router,
        ticket_routes.router,
        transcribe.router,
        admin_routes.router,
        operator_routes.router,
        health.router,
        problem_pages.router,
    ):
        app.include_router(router)
    if supervisor is not None:
        # Here: no other API process needs them.
        from agentroute.embedded_api.routes import router as embedded

        app.state.settings = settings
        app.include_router(embedded)
    if server.docs:
        install_docs(app)
    if server.page:
        install_page(app)
    # The last one added is the outermost. CORS lies outside the boundary, or a page
    # could not read why its request failed.
    if server.admin_port is not None:
        app.add_middleware(AdminPort, port=server.admin_port, only=server.admin_only)
    app.add_middleware(PlainAddress)
    app.add_middleware(ErrorBoundary)
    app.add_middleware(HeadRequests)
    app.add_middleware(
        Cors,
        origins=server.cors_origins,
        loopback=server.cors_loopback or settings.identity.mode == "local",
    )
    app.add_middleware(RequestsInTurn)
    app.add_middleware(HttpContext)
    return app


@asynccontextmanager
async def _lifespan(
    app: FastAPI, settings: Settings, given: ApiContainer | None, supervisor: int | None
) -> AsyncIterator[None]:
    async with AsyncExitStack() as resources:
        if given is None:
            app.state.container = await resources.enter_async_context(_open_container(settings))
        if supervisor is not None:
            from agentroute.embedded_api.supervisor_client import SupervisorClient

            # Last: it says that this process serves.
            app.state.supervisor = await resources.enter_async_context(SupervisorClient.connect(supervisor))
        yield


def _open_container(settings: Settings) -> AbstractAsyncContextManager[ApiContainer]:
    # Here: an application that is given a container needs neither driver nor broker.
    from agentroute.container import open_api_container

    return open_api_container(settings)
