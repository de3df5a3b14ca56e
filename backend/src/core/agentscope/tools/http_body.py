"""Reads the body of an untrusted HTTP answer: never more than a stated size, in memory or unpacked."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

import httpx

from core.agentscope.tools.errors import ToolError

# Text encodings of the web besides UTF-8. Any name Python knows would be too many: "idna" and "punycode" take
# quadratic time, "unicode_escape" is no encoding of a page.
_CHARSETS = re.compile(
    r"""utf-?16(-?(le|be))? | (us-)?ascii | latin-?1 | iso-?8859-\d{1,2} | (windows-|cp)125\d
    | gbk | gb2312 | gb18030 | big5 | euc-(jp|kr) | shift_jis | koi8-[ru]""",
    re.VERBOSE,
)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
_META_BYTES = 1024  # HTML, section 4.2.5.4: the declaration is within the first 1024 bytes
_GZIP_OR_ZLIB = 47  # zlib: largest window, header detected


@dataclass(frozen=True, slots=True)
class Body:
    data: bytes
    truncated: bool
    """There was more than ``max_bytes``."""


async def read_body(response: httpx.Response, max_bytes: int) -> Body:
    """Read at most ``max_bytes`` of the unpacked body, and leave the rest on the wire.

    httpx's own decoders are not used: one 64 KiB read can unpack to 64 MiB.

    Raises:
        ToolError: The body is packed in another way than gzip or deflate, or it is damaged.
        httpx.HTTPError: The connection broke.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise ToolError("The server sent an encoding that was not asked for.")
    unpack = zlib.decompressobj(_GZIP_OR_ZLIB) if "gzip" in encoding or encoding == "deflate" else None
    data = bytearray()
    async for chunk in response.aiter_raw():
        room = max_bytes + 1 - len(data)  # one more, to know whether there was more
        try:
            data += unpack.decompress(chunk, room) if unpack else chunk[:room]
        except zlib.error as exc:
            raise ToolError("The server's answer is damaged.") from exc
        if len(data) > max_bytes:
            return Body(bytes(data[:max_bytes]), truncated=True)
        if unpack and unpack.eof:
            break  # what a server sends after the end would only pile up in the unpacker
    return Body(bytes(data), truncated=False)


def decode_body(data: bytes, charset: str | None, *, is_html: bool) -> str:
    """Decode text by the declared charset, the page's own declaration, or UTF-8; never fails."""
    if charset is None and is_html and (match := _META_CHARSET.search(data[:_META_BYTES])):
        charset = match[1].decode("ascii")
    name = (charset or "").strip().lower()
    return data.decode(name if _CHARSETS.fullmatch(name) else "utf-8-sig", errors="replace")
