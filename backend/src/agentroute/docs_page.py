"""``/docs``: Swagger UI from this process, for networks without access to a CDN."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import as_file, files

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_ASSETS = "/docs/assets"
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; "
    # Swagger UI draws its icons from data URLs, and styles its elements one by one.
    "img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self'"
)


def install_docs(app: FastAPI) -> None:
    """Serve the page and its script and style, which the package ``fastapi-offline`` brings."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            swagger_js_url=f"{root}{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{_ASSETS}/favicon.png",
        )
        page.headers["Content-Security-Policy"] = _policy(bytes(page.body))
        return page

    with as_file(files("fastapi_offline") / "static") as directory:
        app.mount(_ASSETS, StaticFiles(directory=directory), name="docs-assets")


def _policy(page: bytes) -> str:
    """Return the policy of a page: its own inline script may run, no other."""
    digests = (hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page))
    return _POLICY + "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
