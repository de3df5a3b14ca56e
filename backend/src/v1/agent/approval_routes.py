"""The routes of links that answer a question. A browser opens them, and the address is the secret.

A ``GET`` only shows what is asked: mail scanners, link previews and browsers that load ahead open every address.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from core import errors
from core.agentscope.runtime.accept.link_answers import LinkAnswers, LinkNotGood
from core.agentscope.schemas.links import APPROVALS_PATH
from core.problem import passing
from v1.agent.approval_pages import outcome_page, question_page, refused_page
from v1.agent.browser_pages import AWAY_PAGE, outage_as_page, pages
from v1.agent.dependencies import Container

_GONE = "This address is not valid: it is not complete, or its question does not exist any more."
_AWAY = "This service cannot take the answer now. Wait a minute, and press the button again."
_NOT_NOW = "The answer is noted, but the assistant cannot go on now: {title}. Press the button again later."

LinkPath = Annotated[str, Path(alias="link", description="The random part of the link.", max_length=128)]

router = APIRouter(prefix=APPROVALS_PATH, tags=["approvals"])


def _away(error: errors.AgentBackendError) -> Response:
    return refused_page(_AWAY, status=error.status, retry=True)


@router.get(
    "/{link}",
    response_class=Response,
    responses=pages(
        {
            200: "The question, and a button.",
            404: "A page that says so: the address is not valid",
            409: "A page that says so: the question is answered, withdrawn or expired",
            **AWAY_PAGE,
        },
        errors.NotFound,
        errors.InvalidRequest,
    ),
)
@outage_as_page(_away)
async def open_approval(container: Container, link: LinkPath) -> Response:
    """Show the question of a link. For browsers; needs no token. Nothing is answered by opening it."""
    try:
        return question_page(await _links(container).show(link))
    except LinkNotGood:
        return refused_page(_GONE, status=404)


@router.post(
    "/{link}",
    response_class=Response,
    responses=pages(
        {
            200: "A page that says so: the question is answered.",
            404: "A page that says so: the address is not valid",
            409: "A page that says so: the question was answered before, withdrawn, or is expired",
            429: "A page that says so: the run that brings the answer cannot be accepted now",
            **AWAY_PAGE,
        },
        errors.NotFound,
        errors.InvalidRequest,
    ),
)
@outage_as_page(_away)
async def answer_approval(container: Container, link: LinkPath) -> Response:
    """Answer the question of a link, as `POST /resume` does. For browsers; needs no token. It answers once.

    If the thread has other open questions, it goes on when all of them have an answer.
    """
    links = _links(container)
    try:
        return outcome_page(await links.answer(link))
    except LinkNotGood:
        return refused_page(_GONE, status=404)
    except errors.AgentBackendError as exc:
        if passing(exc) is not None or isinstance(exc, errors.StoreUnavailable):
            raise
        status = exc.status if exc.status in {429, 503} else 409
        return refused_page(_NOT_NOW.format(title=exc.title), status=status, retry=True)


def _links(container: Container) -> LinkAnswers:
    if container.approvals is None:
        raise errors.NotFound("This service makes no links that answer questions.")
    return container.approvals
