"""``/docs``: Swagger UI from this process, for networks without access to a CDN."""

from __future__ import annotations

from importlib.resources import as_file, files

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_ASSETS = "/docs/assets"


def install_docs(app: FastAPI) -> None:
    """Serve the page and its script and style, which the package ``fastapi-offline`` brings."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        return get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            swagger_js_url=f"{root}{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{_ASSETS}/favicon.png",
        )

    with as_file(files("fastapi_offline") / "static") as directory:
        app.mount(_ASSETS, StaticFiles(directory=directory), name="docs-assets")
