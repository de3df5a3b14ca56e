"""The routes of logins at MCP servers. Their docstrings are the API reference.

Those that a browser opens have no token of this service: the address is the secret. Their answers are pages.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import partial
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.responses import RedirectResponse

from core import connection_errors, errors
from core.agentscope.schemas.connections import LoginCommand, LoginResponse
from core.agentscope.schemas.links import CONNECTIONS_PATH
from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.login import LinkNotGood, Logins, Outcome, TooManyAttempts
from core.validation import parse
from v1.agent.browser_pages import AWAY_PAGE, outage_as_page, pages
from v1.agent.connection_routes import ServerPath
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal
from v1.agent.login_pages import ask_page, done_page, failed_page
from v1.agent.openapi import BODY_ERRORS, LOGIN_EXAMPLE, LOGIN_EXAMPLES, answer, json_body, problems
from v1.agent.run_answers import json_answer

_MAX_FORM_BYTES = 4096
_GONE = "This address is not valid any more: it was used, or it has expired. Ask the assistant again for what you wanted."
_AWAY = "This service cannot finish that now. Wait a minute, and open the address of the login again."
_TOO_OFTEN = "This address was tried too often. Ask the assistant again for what you wanted."
_NOT_BEGUN_HERE = "This login was not begun in this browser, was finished before, or took too long. Open the address of the login again."
_NOT_THIS_PAGE = (
    "Cookies are off, or this page was open for too long. Allow cookies for this page, and try again."
)

LinkPath = Annotated[str, Path(alias="loginId", description="The random part of the link.", max_length=128)]


def _away(error: errors.AgentBackendError) -> Response:
    return failed_page(_AWAY, status=error.status)


router = APIRouter(prefix=CONNECTIONS_PATH, tags=["connections"])


@router.post(
    "/{server}/login",
    response_model=LoginResponse,
    dependencies=[Depends(current_principal)],
    responses=answer(LOGIN_EXAMPLE)
    | problems(
        errors.Unauthenticated,
        errors.StoreUnavailable,
        errors.NotFound,
        errors.InvalidRequest,
        *BODY_ERRORS,
        connection_errors.LoginNotWanted,
    ),
    openapi_extra=json_body(LoginCommand, LOGIN_EXAMPLES),
)
async def begin_login(
    request: Request, principal: CurrentPrincipal, container: Container, server: ServerPath
) -> Response:
    """Begin a login at a server with `auth = "oauth"`, before any run asks for it. The caller's user opens `url`.

    At the end, the browser goes to `returnUrl` with `connection` (the server) and `status` (`connected`, `denied`,
    `error`) in the query; without it, to a page that says that the window can be closed. `returnUrl` is at one of the
    origins of `AGENT_SERVER__CORS_ORIGINS`, or on this machine where pages of this machine may call.
    """
    container.connections.find_login_server(principal, server)
    async with container.bodies.read(request, principal, partial(parse, LoginCommand)) as command:
        if command.return_url is not None and not container.login_origins.allows(command.return_url):
            told = "is not at one of the origins that may call this service"
            raise errors.InvalidRequest(
                f"'returnUrl' {told}.", errors=[{"pointer": "/returnUrl", "message": told}]
            )
        url = await _logins(container).begin(principal, server, return_url=command.return_url)
    return json_answer(LoginResponse(url=url))


@router.get(
    "/login/{loginId}",
    response_class=Response,
    responses=pages(
        {
            200: "The page of the login.",
            404: "A page that says so: the address is not valid any more",
            **AWAY_PAGE,
        },
        errors.NotFound,
        errors.InvalidRequest,
    ),
)
@outage_as_page(_away)
async def open_login(request: Request, container: Container, login_id: LinkPath) -> Response:
    """Show the page of a login: whose assistant asks for access to which account. For browsers; needs no token."""
    logins = _logins(container)
    try:
        found = await logins.open(login_id)
    except LinkNotGood:
        return failed_page(_GONE, status=404)
    browser = _browser(request, logins) or secrets.token_urlsafe(32)
    page = ask_page(found.server, found.host, found.user, _field(browser))
    _set_cookie(page, logins, browser)
    return page


@router.post(
    "/login/{loginId}",
    status_code=303,
    response_class=Response,
    responses={303: {"description": "The browser goes on to the authorization server."}}
    | pages(
        {
            403: "A page that says so: the button was not pressed on the page of this login",
            404: "A page that says so: the address is not valid any more",
            429: "A page that says so: the address was tried too often",
            502: "A page that says so: the login cannot begin at the authorization server",
            **AWAY_PAGE,
        },
        errors.NotFound,
        errors.InvalidRequest,
    ),
)
@outage_as_page(_away)
async def leave_for_login(request: Request, container: Container, login_id: LinkPath) -> Response:
    """Leave the page of a login for the authorization server. For browsers; needs no token, but the page's cookie."""
    logins = _logins(container)
    browser = _browser(request, logins)
    if not browser or not hmac.compare_digest(
        (await _sent_field(request)).encode(), _field(browser).encode()
    ):
        return failed_page(_NOT_THIS_PAGE, logins.links.page(login_id), status=403)
    try:
        url = await logins.leave(login_id, browser)
    except LinkNotGood:
        return failed_page(_GONE, status=404)
    except TooManyAttempts:
        return failed_page(_TOO_OFTEN, status=429)
    except OAuthFailed as exc:
        return failed_page(exc.words, logins.links.page(login_id), status=502)
    return RedirectResponse(url, status_code=303, headers={"Cache-Control": "no-store"})


@router.get(
    "/callback/{server}",
    response_class=Response,
    responses={303: {"description": "The browser goes to `returnUrl`."}}
    | pages(
        {
            200: "A page that says what became of the login.",
            400: "A page that says so: this browser has begun no such login",
            **AWAY_PAGE,
        },
        errors.NotFound,
        errors.InvalidRequest,
    ),
)
@outage_as_page(_away)
async def finish_login(request: Request, container: Container, server: ServerPath) -> Response:
    """Take what the authorization server gives to the user's browser, and connect the user. Register this address there.

    For browsers; needs no token. Of the query: `code`, `state`, `iss` and `error` of OAuth 2.1 and RFC 9207.
    """
    logins = _logins(container)
    try:
        outcome = await logins.come_back(server, request.query_params, _browser(request, logins))
    except LinkNotGood:
        return failed_page(_NOT_BEGUN_HERE, status=400)
    if outcome.return_url is not None:
        return RedirectResponse(_returned(outcome, outcome.return_url), status_code=303)
    return done_page(outcome.words) if outcome.connected else failed_page(outcome.words, outcome.again)


def _logins(container: Container) -> Logins:
    if container.logins is None:
        raise errors.NotFound("No agent of this service has a server at which users log in.")
    return container.logins


def _returned(outcome: Outcome, url: str) -> str:
    parts = urlsplit(url)
    status = "connected" if outcome.connected else "denied" if outcome.denied else "error"
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += [("connection", outcome.server), ("status", status)]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _cookie_name(logins: Logins) -> str:
    # __Host-: no other host of the same domain can set it.
    return "__Host-agentroute-login" if logins.links.is_https else "agentroute-login"


def _browser(request: Request, logins: Logins) -> str:
    return request.cookies.get(_cookie_name(logins), "")[:128]


def _set_cookie(page: Response, logins: Logins, browser: str) -> None:
    # Lax: it comes with the return from the authorization server, and with no form of another site.
    page.set_cookie(
        _cookie_name(logins),
        browser,
        max_age=3600,
        path="/",
        secure=logins.links.is_https,
        httponly=True,
        samesite="lax",
    )


def _field(browser: str) -> str:
    """Return what only a page that was made for this browser knows."""
    return hashlib.sha256(b"agentroute login page\0" + browser.encode()).hexdigest()


async def _sent_field(request: Request) -> str:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_FORM_BYTES:
            return ""
    return dict(parse_qsl(body.decode("ascii", "replace"))).get("page", "")
