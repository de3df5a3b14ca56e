"""The pages that a user sees during a login at an MCP server: plain HTML, no script, nothing from other hosts."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from string import Template

from starlette.responses import HTMLResponse

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:12vh auto;padding:0 1rem;color:#1c1c1e;background:#fff}"
    "h1{font-size:1.25rem}button,a.button{font:inherit;padding:.5rem 1.25rem;border:0;border-radius:.4rem;"
    "background:#1f5eff;color:#fff;text-decoration:none;cursor:pointer;display:inline-block}"
    "p.note{color:#5a5a60;font-size:.9rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'; "
    # The answer to the form leads to the authorization server: browsers hold redirects against this, too.
    "form-action 'self' https: http:"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    # The address is the secret: it is told to nobody.
    "Referrer-Policy": "no-referrer",
}
_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex">
<title>$title</title>
<style>$style</style>
</head>
<body><h1>$title</h1>$body</body>
</html>
""")
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
    text = _PAGE.substitute(title=escape(title), style=_STYLE, body=body)
    return HTMLResponse(text, status_code=status, headers=_HEADERS)
