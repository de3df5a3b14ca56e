"""The page behind a link that is a secret: plain HTML, no script, nothing from other hosts, told to nobody."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from string import Template

from starlette.responses import HTMLResponse

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:10vh auto;padding:0 1rem;color:#1c1c1e;background:#fff}"
    "h1{font-size:1.25rem}button,a.button{font:inherit;padding:.6rem 1.5rem;border:0;border-radius:.4rem;"
    "background:#1f5eff;color:#fff;text-decoration:none;cursor:pointer;display:inline-block}"
    "button.deny{background:#b3261e}p.note{color:#5a5a60;font-size:.9rem}"
    "pre{background:#f4f4f6;padding:.75rem;border-radius:.4rem;white-space:pre-wrap;overflow-wrap:anywhere}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
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


def link_page(title: str, body: str, *, status: int = 200, form_leads_to: str = "'self'") -> HTMLResponse:
    """Return a page.

    Args:
        title: Text.
        body: HTML, with everything escaped that came from somewhere else.
        status: Of HTTP.
        form_leads_to: Sources of ``form-action``, for redirects of the answer, too.
    """
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {form_leads_to}"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        # The address is the secret: it is told to nobody.
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex, nofollow",
    }
    text = _PAGE.substitute(title=escape(title), style=_STYLE, body=body)
    return HTMLResponse(text, status_code=status, headers=headers)
