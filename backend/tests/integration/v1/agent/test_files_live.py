"""Files over HTTP, on the whole service: upload, read, list, delete; hostile forms; another user's file."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.support.stack import OpenStack, Reply, Stack, eventually

from core.identity import Principal

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(range(200))
MAX_BYTES = 200_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, folder: Path) -> AsyncIterator[Stack]:
    files = {"url": folder.as_uri(), "max_file_bytes": MAX_BYTES, "max_downloads_per_user": 1}
    async with open_stack(files=files) as stack:
        yield stack


async def upload(
    stack: Stack, content: bytes, *, name: str = "a.png", type_: str = "text/html", user: str = "ada"
) -> Reply:
    return await stack.request("POST", "/files", user=user, files={"file": (name, content, type_)})


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_file_comes_back_as_it_was_sent(stack: Stack) -> None:
    first = await upload(stack, PNG, name="../../x/Bild ä.png")
    again = await upload(stack, PNG, name="b.png")
    got = await stack.request("GET", f"/files/{first.json['fileId']}")
    head = await stack.request("HEAD", f"/files/{first.json['fileId']}")

    assert (first.status, again.status) == (201, 200)
    assert set(first.json) == {"fileId", "mediaType", "bytes", "name", "createdAt", "url"}
    assert first.json["fileId"] == again.json["fileId"] == hashlib.sha256(PNG).hexdigest()
    assert (first.json["mediaType"], first.json["bytes"], first.json["name"]) == (
        "image/png",
        len(PNG),
        "Bild ä.png",
    )
    assert (got.status, got.body) == (200, PNG)
    assert got.headers["content-type"] == "image/png"
    assert got.headers["etag"] == f'"{first.json["fileId"]}"'
    assert got.headers["content-disposition"].startswith('inline; filename="b.png"')
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(PNG)))


async def test_a_user_has_only_so_many_downloads_at_once(stack: Stack) -> None:
    path = f"/files/{(await upload(stack, PNG)).json['fileId']}"
    (api,) = stack.apis
    principal = Principal("default", "ada")

    # One download is under way; the others of this file, one after the other, gave their places back.
    with api.app.state.container.files.admit_reader(principal):
        refused = await stack.request("GET", path)
        known = await stack.request("GET", path, headers={"If-None-Match": f'"{path[7:]}"'})

    assert refused.problem(429, "rate-limited")
    assert refused.headers["retry-after"] == "2"
    assert known.status == 304
    assert (await stack.request("GET", path)).status == (await stack.request("HEAD", path)).status == 200
    assert (await stack.request("GET", path)).body == PNG


async def test_a_part_of_a_file(stack: Stack) -> None:
    path = f"/files/{(await upload(stack, PNG)).json['fileId']}"

    part = await stack.request("GET", path, headers={"Range": "bytes=4-9"})
    known = await stack.request("GET", path, headers={"If-None-Match": part.headers["etag"]})
    behind = await stack.request("GET", path, headers={"Range": "bytes=9999-"})

    assert (part.status, part.body) == (206, PNG[4:10])
    assert part.headers["content-range"] == f"bytes 4-9/{len(PNG)}"
    assert (known.status, known.body) == (304, b"")
    assert behind.problem(416, "range-not-satisfiable")["bytes"] == len(PNG)
    assert behind.headers["content-range"] == f"bytes */{len(PNG)}"


@pytest.mark.parametrize(
    "content", [b"<svg onload='alert(1)'></svg>", b"<script>alert(1)</script>", b"plain"]
)
async def test_what_a_browser_could_run_is_harmless(stack: Stack, content: bytes) -> None:
    reply = await upload(stack, content)
    got = await stack.request("GET", f"/files/{reply.json['fileId']}")

    policy = [part.strip() for part in got.headers["content-security-policy"].split(";")]
    assert {"default-src 'none'", "sandbox"} <= set(policy)
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-type"] == reply.json["mediaType"]


async def test_a_file_of_another_user_looks_absent(stack: Stack) -> None:
    file_id = (await upload(stack, b"a secret", user="ada")).json["fileId"]

    foreign = await stack.request("GET", f"/files/{file_id}", user="eve")
    absent = await stack.request("GET", f"/files/{'0' * 64}", user="eve")
    deleted = await stack.request("DELETE", f"/files/{file_id}", user="eve")

    for reply in (foreign, absent, deleted):
        reply.problem(404, "not-found")
    assert foreign.json | {"instance": "", "requestId": ""} == absent.json | {"instance": "", "requestId": ""}
    assert (await stack.request("GET", "/files", user="eve")).json == {"files": [], "nextBefore": None}
    # The same bytes are a new file for the other user.
    assert (await upload(stack, b"a secret", user="eve")).status == 201


async def test_a_list_has_every_file_once_in_pages(stack: Stack) -> None:
    ids = [(await upload(stack, bytes([65 + number]), user="list")).json["fileId"] for number in range(5)]
    found: list[str] = []
    params = {"limit": "2"}
    while True:
        page = (await stack.request("GET", "/files", user="list", params=params)).json
        found += [item["fileId"] for item in page["files"]]
        if page["nextBefore"] is None:
            break
        params["before"] = page["nextBefore"]

    assert found == ids[::-1]
    (await stack.request("GET", "/files", params={"before": "x"})).problem(422, "invalid-request")


async def test_a_deleted_file_is_gone_and_may_come_back(stack: Stack, folder: Path) -> None:
    before = stored(folder)
    file_id = (await upload(stack, b"to be deleted")).json["fileId"]

    assert (await stack.request("DELETE", f"/files/{file_id}")).status == 204

    (await stack.request("GET", f"/files/{file_id}")).problem(404, "not-found")
    (await stack.request("DELETE", f"/files/{file_id}")).problem(404, "not-found")
    assert stored(folder) == before
    assert (await upload(stack, b"to be deleted")).status == 201


def form(*parts: bytes, end: bytes = b"--B--\r\n") -> bytes:
    return b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + end


def part(disposition: bytes, content: bytes = b"x") -> bytes:
    return b"Content-Disposition: " + disposition + b"\r\n\r\n" + content


FILE = b'form-data; name="file"; filename="a"'
HOSTILE = {
    "empty": (form(part(FILE, b"")), 422, "file-empty"),
    "no file": (form(part(b'form-data; name="other"')), 422, "invalid-request"),
    "no part": (form(), 422, "invalid-request"),
    "two files": (form(part(FILE), part(FILE)), 422, "invalid-request"),
    "another name": (form(part(b'form-data; name="upload"; filename="a"')), 422, "invalid-request"),
    "many parts": (form(part(FILE), *[part(b'form-data; name="x"')] * 99), 422, "invalid-request"),
    "cut off": (form(part(FILE), end=b""), 422, "invalid-request"),
    "no form": (b"not a form", 422, "invalid-request"),
    "endless header": (form(part(FILE + b'; x="' + b"y" * 20_000 + b'"')), 422, "invalid-request"),
    "too large": (form(part(FILE, bytes(MAX_BYTES + 1))), 413, "body-too-large"),
    "far too large": (form(part(FILE, bytes(MAX_BYTES * 3))), 413, "body-too-large"),
}


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_form_is_refused_and_leaves_nothing(
    stack: Stack, folder: Path, case: str, declared: bool
) -> None:
    body, status, code = HOSTILE[case]
    before = stored(folder)

    async def chunks() -> AsyncIterator[bytes]:
        for place in range(0, len(body), 10_000):
            yield body[place : place + 10_000]

    reply = await stack.request(
        "POST",
        "/files",
        content=body if declared else chunks(),
        headers={"Content-Type": "multipart/form-data; boundary=B"},
    )

    reply.problem(status, code)
    assert stored(folder) == before
    assert await stack.fetch("SELECT 1 FROM agent_file WHERE state <> 'ready'") == []


async def test_a_name_of_ten_kilobytes_is_cut(stack: Stack) -> None:
    reply = await upload(stack, b"named", name="n" * 10_000 + ".txt")

    assert reply.status == 201
    assert reply.json["name"] == "n" * 124 + ".txt"


async def test_what_is_no_form_is_refused(stack: Stack) -> None:
    (await stack.request("POST", "/files", json={})).problem(415, "unsupported-media-type")


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(stack: Stack, folder: Path) -> None:
    before = stored(folder)

    async def breaking() -> AsyncIterator[bytes]:
        yield form(part(FILE, b"x" * 1000), end=b"")[:-2]
        raise EOFError

    with pytest.raises((EOFError, httpx.HTTPError)):
        await stack.request(
            "POST", "/files", content=breaking(), headers={"Content-Type": "multipart/form-data; boundary=B"}
        )

    await eventually(lambda: _settled(stack))
    assert stored(folder) == before


async def _settled(stack: Stack) -> bool:
    return not await stack.fetch("SELECT 1 FROM agent_file WHERE state <> 'ready'")


async def test_without_a_store_files_are_off(open_stack: OpenStack) -> None:
    async with open_stack(workers=0) as off:
        (await upload(off, b"x")).problem(501, "files-off")
        (await off.request("GET", "/files")).problem(501, "files-off")
