"""The routes of files. Their docstrings are the API reference."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from core import errors
from core.agentscope.schemas.files import FileItem, FileListResponse
from core.agentscope.schemas.links import FILES_PATH, file_url
from core.agentscope.schemas.page_place import NumberPlace
from core.files.catalogue import StoredFile
from core.files.file_name import content_disposition
from core.files.library import FileLibrary
from core.storage_errors import FileGone, StorageQuotaExceeded
from core.validation import read_parameter
from v1.agent.container import ApiContainer
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal
from v1.agent.file_form import FileForm
from v1.agent.file_range import is_unchanged, wanted_range
from v1.agent.openapi import FILE_EXAMPLE, FILES_EXAMPLE, answer, problems
from v1.agent.run_answers import json_answer

_ALWAYS = (errors.Unauthenticated, errors.StoreUnavailable, errors.FilesOff)
_ONE = (*_ALWAYS, errors.NotFound, errors.InvalidRequest)
_UPLOAD = (
    *_ALWAYS,
    errors.UploadTimeout,
    errors.BodyTooLarge,
    errors.FileQuotaExceeded,
    StorageQuotaExceeded,
    errors.UnsupportedMediaType,
    errors.InvalidRequest,
    errors.FileEmpty,
    errors.RateLimited,
    errors.Overloaded,
    errors.FilesUnavailable,
)

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "One file. Its first bytes decide its media type; its name is kept without directories.",
        }
    },
}

_SAFE = {
    # Whatever a file contains, a browser runs none of it and loads nothing for it.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Accept-Ranges": "bytes",
    # The bytes of an id never change, but they can be deleted: ask each time.
    "Cache-Control": "private, no-cache",
}

FileIdPath = Annotated[str, Path(alias="fileId", description="The file.", max_length=128)]

router = APIRouter(prefix=FILES_PATH, tags=["files"], dependencies=[Depends(current_principal)])


@router.post(
    "",
    status_code=201,
    response_model=FileItem,
    responses=answer(FILE_EXAMPLE, 201)
    | {
        200: {
            "model": FileItem,
            "description": "The caller had these bytes already.",
            "content": answer(FILE_EXAMPLE)[200]["content"],
        }
    }
    | problems(*_UPLOAD),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def upload_file(request: Request, principal: CurrentPrincipal, container: Container) -> Response:
    """Upload a file, for messages that name it: `{"type": "file", "value": fileId}` as the `source` of a part.

    The id is the SHA-256 of the bytes. The same bytes again are the same file: the answer is then 200 with the id that
    exists. A file that no message names within a day is deleted. Limits, by default: 32 MiB a file, 1,000 files and
    1 GiB of a user, and four uploads at once.
    """
    library = _library(container)
    with library.admit(principal):
        form = FileForm(request, library.settings, partial(container.rates.take, principal, "upload-bytes"))
        file, is_new = await library.save(
            principal, form.chunks(), form.described, least_bytes=form.least_bytes
        )
    return json_answer(_item(file), 201 if is_new else 200)


@router.get(
    "",
    response_model=FileListResponse,
    responses=answer(FILES_EXAMPLE) | problems(*_ALWAYS, errors.InvalidRequest),
)
async def list_files(
    principal: CurrentPrincipal,
    container: Container,
    limit: Annotated[int, Query(ge=1, le=100, description="How many files at most.")] = 30,
    before: Annotated[
        str | None, Query(max_length=64, description="`nextBefore` of the page before this one.")
    ] = None,
) -> Response:
    """List the caller's files, newest first. `nextBefore` is the start of the next page."""
    place = read_parameter("before", before, NumberPlace.parse)
    files = await _library(container).catalogue.list_page(
        principal, limit=limit + 1, before=None if place is None else place.number
    )
    page = files[:limit]
    following = str(NumberPlace(page[-1].id)) if len(files) > limit else None
    return json_answer(FileListResponse(files=[_item(file) for file in page], next_before=following))


@router.get(
    "/{fileId}",
    response_class=Response,
    responses={
        200: {
            "description": "The bytes.",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}, "example": "%PDF-1.7"}},
        },
        206: {"description": "The bytes of the range that was asked for."},
        304: {"description": "The client has the bytes (`If-None-Match`)."},
    }
    | problems(
        *_ONE,
        FileGone,
        errors.RangeNotSatisfiable,
        errors.RateLimited,
        errors.Overloaded,
        errors.FilesUnavailable,
    ),
)
async def read_file(
    request: Request, principal: CurrentPrincipal, container: Container, file_id: FileIdPath
) -> Response:
    """Read the bytes of a file, or one range of them. Another user's file looks absent, a deleted one that a message of
    yours still names is 410.

    Whatever the file is, a browser runs nothing in it: the answer has a `Content-Security-Policy` with `sandbox`, and
    `nosniff`. `ETag` is the id. By default, a user may have 16 downloads at once.
    """
    library = _library(container)
    file = await library.get(principal, file_id)
    etag = f'"{file.file_id}"'
    if is_unchanged(request.headers, etag):
        return Response(status_code=304, headers={**_SAFE, "ETag": etag})
    part = wanted_range(request.headers, etag, file.bytes)
    start, end = part or (0, file.bytes)
    headers = {
        **_SAFE,
        "ETag": etag,
        "Content-Length": str(end - start),
        "Content-Disposition": content_disposition(file.name, file.media_type),
        # Given here: the framework would add a charset to texts, which nobody knows.
        "Content-Type": file.media_type,
    }
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.bytes}"
    status = 200 if part is None else 206
    async with AsyncExitStack() as place:
        place.enter_context(library.admit_reader(principal))
        chunks = await library.open(file, start, end)
        return _Download(chunks, status, headers, place.pop_all())


@router.delete("/{fileId}", status_code=204, response_class=Response, responses=problems(*_ONE))
async def delete_file(principal: CurrentPrincipal, container: Container, file_id: FileIdPath) -> Response:
    """Delete a file. Messages that name it stay, and say that it is gone; a model reads a note in its place."""
    await _library(container).delete(principal, file_id)
    return Response(status_code=204)


class _Download(StreamingResponse):
    """The bytes of a file; its place is given back when the last byte has left, or the client has."""

    def __init__(
        self, chunks: AsyncIterator[bytes], status: int, headers: dict[str, str], place: AsyncExitStack
    ) -> None:
        super().__init__(chunks, status_code=status, headers=headers)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._place:
            await super().__call__(scope, receive, send)


def _library(container: ApiContainer) -> FileLibrary:
    if container.files is None:
        raise errors.FilesOff("This service stores no files. Send the content inline.")
    return container.files


def _item(file: StoredFile) -> FileItem:
    return FileItem(
        file_id=file.file_id,
        media_type=file.media_type,
        bytes=file.bytes,
        name=file.name,
        created_at=file.created_at,
        url=file_url(file.file_id),
    )
