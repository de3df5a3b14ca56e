"""``/``: the chat page. Its files, its policy, and what a checkout without a built page says.

The page is a client as any other: it uses public routes only, and the address of each is relative to the page's own.
So it works below a ``root_path``, and nothing in the files depends on where they are served. docs/adr/0047; what the
page leaves out of the official client, docs/adr/0051.
"""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, compile_path

from agentroute.page.built_files import INDEX, BuiltFile, BuiltFiles
from agentroute.page.errors import PageNotBuilt
from v1.agent.file_range import is_unchanged

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""``data:`` and ``blob:`` are attachments that the user has chosen; no other host is asked for anything."""


def install_page(app: FastAPI, files: BuiltFiles | None = None) -> None:
    """Serve the page at ``/`` and each of its files at its name.

    Args:
        app: The routes are added to it, behind all others.
        files: The built page; by default the one of this package.
    """
    built = BuiltFiles() if files is None else files
    for name in ("", *built.names()):
        _add(app, built, name)
    app.router.routes.append(_WithoutSlash())


class _WithoutSlash(Route):
    """The root path itself, as people type it: the page's addresses are relative to the path with a slash."""

    def __init__(self) -> None:
        super().__init__("/", _to_slash, methods=["GET"], include_in_schema=False)
        # An empty path exists only below a root path, and Starlette's routes begin with a slash.
        self.path_regex, self.path_format, self.param_convertors = compile_path("")


async def _to_slash(request: Request) -> Response:
    query = request.url.query
    # A path alone: an address would contain the host of the Host header. Not for ever: a proxy may be set up anew.
    return RedirectResponse(f"{request.scope['root_path']}/{'?' * bool(query)}{query}", status_code=307)


def _add(app: FastAPI, built: BuiltFiles, name: str) -> None:
    async def page_file(request: Request) -> Response:
        # In a thread: the first answer reads and compresses the file.
        file = await asyncio.to_thread(built.find, name or INDEX)
        if file is None:
            raise PageNotBuilt(
                "The chat page is not built. Run 'npm ci --ignore-scripts && npm run build' in clients/ (Node 20)."
            )
        return _answer(request, file)

    app.add_api_route(f"/{name}", page_file, include_in_schema=False, methods=["GET"])


def _answer(request: Request, file: BuiltFile) -> Response:
    zipped = "gzip" in request.headers.get("accept-encoding", "")
    tag = f'"{file.tag}{"-gzip" if zipped else ""}"'
    headers = {
        "Content-Security-Policy": POLICY,
        # Names without a hash: a browser asks each time, and is told that nothing has changed.
        "Cache-Control": "no-cache",
        "ETag": tag,
        "Vary": "Accept-Encoding",
    }
    if is_unchanged(request.headers, tag):
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(file.zipped if zipped else file.content, media_type=file.media_type, headers=headers)
