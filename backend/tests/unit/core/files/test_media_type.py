"""What a file is: by its bytes, whatever is claimed; a claim counts among texts alone."""

from __future__ import annotations

import io
import zipfile

import pytest

from core.files.media_type import HEAD_BYTES, UNKNOWN, media_type_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(20)


def archive() -> bytes:
    """A small archive of much: nobody may open it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(10_000_000))
    return packed.getvalue()


CASES = {
    "png": (PNG, "text/html", "image/png"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(40), "", "image/jpeg"),
    "gif": (b"GIF89a" + bytes(20), "", "image/gif"),
    "webp": (b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(20), "", "image/webp"),
    "pdf": (b"%PDF-1.7\n" + bytes(20), "text/plain", "application/pdf"),
    "wav": (b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(20), "", "audio/wav"),
    "zip": (archive(), "image/png", "application/zip"),
    "text": (b"hello", "", "text/plain"),
    "text, claimed as csv": (b"a,b\n1,2\n", "text/CSV; charset=utf-8", "text/csv"),
    "text, claimed as json": (b"{}", "application/json", "application/json"),
    "text, claimed as linked data": (b"{}", "application/ld+json", "application/ld+json"),
    "text, claimed as a drawing": (b"hello", "image/svg+xml", "text/plain"),
    "text, claimed as an image": (b"hello", "image/png", "text/plain"),
    "text, with a claim that is no type": (b"hello", "text/x\r\nSet-Cookie: a", "text/plain"),
    "svg": (b'\xef\xbb\xbf <?xml version="1.0"?>\n<svg xmlns="x">', "image/png", "image/svg+xml"),
    "html": (b"\n<!DOCTYPE html><p>", "text/plain", "text/html"),
    "script": (b"<script>alert(1)</script>", "text/plain", "text/html"),
    "cut in a character": (b"x" + "é".encode() * HEAD_BYTES, "text/markdown", "text/markdown"),
    "bytes": (b"\x00\x01\x02", "text/plain", UNKNOWN),
    "not UTF-8": (b"caf\xe9 au lait", "text/plain", UNKNOWN),
}


@pytest.mark.parametrize("name", CASES)
def test_the_bytes_decide(name: str) -> None:
    content, claimed, expected = CASES[name]

    assert media_type_of(content[:HEAD_BYTES], claimed) == expected
