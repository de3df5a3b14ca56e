"""The pages of links that answer a question."""

from __future__ import annotations

from html import escape
from string import Template

import orjson
from starlette.responses import HTMLResponse

from core.agentscope.runtime.accept.link_answers import LinkOutcome, ShownQuestion
from v1.agent.link_page import link_page

MAX_ARGUMENT_CHARACTERS = 4000
_ASK = Template("""
<p>$message</p>$call
<form method="post"><p><button$kind>$verb</button></p></form>
<p class="note">The assistant of the user <b>$user</b> asks. Nothing has happened yet: only the button answers, and it
answers once. The link is good until $until.</p>
""")
_AGAIN = Template("""
<p>$message</p>$call
<p>The answer is noted: $answer. The assistant has not gone on yet. If other questions of the conversation have no
answer, it waits for them. Otherwise press the button again.</p>
<form method="post"><p><button$kind>$verb</button></p></form>
<p class="note">The assistant of the user <b>$user</b> asks. However often the button is pressed, it answers once. The
link is good until $until.</p>
""")
_STATES = {
    "answered": "This question is answered already.",
    "kept": "This question is answered already.",
    "withdrawn": "This question was withdrawn: the conversation has gone on without an answer, or was stopped.",
    "expired": "This question has expired. Nothing was done. Ask the assistant again.",
}


def question_page(question: ShownQuestion) -> HTMLResponse:
    """Return the page of a link: what is asked, and the one button."""
    # Nothing but another press brings an answer whose run could not be accepted.
    again = question.state == "kept" and question.approved is question.approves
    if question.state != "open" and not again:
        return _closed(question)
    verb = "Approve" if question.approves else "Deny"
    body = (_AGAIN if again else _ASK).substitute(
        message=escape(question.message),
        call=_call(question),
        verb=verb,
        answer="approved" if question.approves else "denied",
        kind="" if question.approves else ' class="deny"',
        user=escape(question.user_id),
        until=question.expires_at.strftime("%Y-%m-%d %H:%M UTC"),
    )
    return link_page("Not carried out yet" if again else f"{verb}?", body)


def outcome_page(outcome: LinkOutcome) -> HTMLResponse:
    """Return the page behind the button."""
    if not outcome.counted:
        return _closed(outcome.question)
    done = "Approved" if outcome.question.approves else "Denied"
    if outcome.remaining:
        number = "1 more question" if outcome.remaining == 1 else f"{outcome.remaining} more questions"
        more = f"The assistant goes on when {number} of this conversation have an answer, too."
    else:
        more = "The assistant goes on."
    return link_page(done, f"<p>{escape(more)} You can close this window.</p>")


def refused_page(words: str, *, status: int, retry: bool = False) -> HTMLResponse:
    """Return the page of a link that leads nowhere, or cannot be used now.

    Args:
        words: Why.
        status: Of HTTP.
        retry: The button may be pressed again.
    """
    form = '<form method="post"><p><button>Try again</button></p></form>' if retry else ""
    return link_page("Not answered", f"<p>{escape(words)}</p>{form}", status=status)


def _closed(question: ShownQuestion) -> HTMLResponse:
    words = _STATES.get(question.state, "")
    if question.approved is not None:
        words += " The answer was: approved." if question.approved else " The answer was: denied."
    title = "Already answered" if question.state in {"answered", "kept"} else "Not open any more"
    return link_page(title, f"<p>{escape(words)}</p><p>You can close this window.</p>", status=409)


def _call(question: ShownQuestion) -> str:
    if question.tool_name is None:
        return ""
    shown = _pretty(question.arguments or "")
    if len(shown) > MAX_ARGUMENT_CHARACTERS:
        shown = f"{shown[:MAX_ARGUMENT_CHARACTERS]}\n… {len(shown) - MAX_ARGUMENT_CHARACTERS} more characters: see the app"
    return f"<p>Tool: <b>{escape(question.tool_name)}</b></p><pre>{escape(shown)}</pre>"


def _pretty(arguments: str) -> str:
    try:
        return orjson.dumps(orjson.loads(arguments), option=orjson.OPT_INDENT_2).decode()
    except ValueError:
        return arguments
