"""The pages that a user sees during a login at an MCP server."""

from __future__ import annotations

from html import escape
from string import Template

from starlette.responses import HTMLResponse

from v1.agent.link_page import link_page

# The answer to the form leads to the authorization server: browsers hold redirects against this, too.
_LEADS_TO = "'self' https: http:"
_ASK = Template("""
<p>The assistant of the user <b>$user</b> asks for access to <b>your</b> account at <b>$server</b> ($host).
You log in there; the assistant does not see your password.</p>
<form method="post"><input type="hidden" name="page" value="$field"><p><button>Continue</button></p></form>
<p class="note">Did somebody send you this address, or are you not $user? Then close this page:
$user would get access to your account.</p>
""")


def ask_page(server: str, host: str, user: str, field: str) -> HTMLResponse:
    """Return the page of a link: who connects what, and a button.

    Args:
        server: Its name in the profile.
        host: Where it is.
        user: For whom the account is connected.
        field: What the form sends back, to show that it was this page.
    """
    values = {"server": server, "host": host, "user": user, "field": field}
    body = _ASK.substitute({name: escape(value, quote=True) for name, value in values.items()})
    return _page(f"Connect your account at {server}", body)


def done_page(words: str) -> HTMLResponse:
    """Return the page at the end of a login."""
    return _page("Connected", f"<p>{escape(words)}</p><p>You can close this window and go back.</p>")


def failed_page(words: str, again: str | None = None, *, status: int = 200) -> HTMLResponse:
    """Return the page of a login that did not succeed.

    Args:
        words: Why.
        again: Address from which the user can try again.
        status: Of HTTP.
    """
    link = (
        "" if again is None else f'<p><a class="button" href="{escape(again, quote=True)}">Try again</a></p>'
    )
    return _page("Not connected", f"<p>{escape(words)}</p>{link}", status=status)


def _page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    return link_page(title, body, status=status, form_leads_to=_LEADS_TO)
