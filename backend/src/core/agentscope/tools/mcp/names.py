"""The names under which the tools of MCP servers are offered: ``server__tool``.

A name depends on the server and the tool alone, never on what else is listed: it stays the same when the list changes,
and after a restart. Two tools never have one name:

* A server's name holds no ``__`` and does not end in ``_``, so the first ``__`` of a name ends the server's part.
* A tool whose own name fits keeps it. Any other name gets a hash of the whole: a name with characters that providers
  refuse, one that would be too long, and one that looks as if it had a hash already.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container

from core.agentscope.schemas.tool_name import MAX_CHARACTERS

MAX_SERVER_CHARACTERS = 32
SERVER_NAME = rf"(?=.{{1,{MAX_SERVER_CHARACTERS}}}\Z)[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*\Z"
SEPARATOR = "__"
CONNECT = "connect"
"""The tool by which the model asks for the user's login, at servers that see the user."""
_HASH_CHARACTERS = 10
_REFUSED = re.compile(r"[^A-Za-z0-9_-]")
_LOOKS_HASHED = re.compile(rf"_[0-9a-f]{{{_HASH_CHARACTERS}}}\Z")


def offered_name(server: str, tool: str, reserved: Container[str] = ()) -> str:
    """Return the name under which a server's tool is offered to the model.

    Args:
        server: Matches ``SERVER_NAME``.
        tool: As the server calls it; any text.
        reserved: Names that are ours at this server. A tool that has one gets a hash.
    """
    room = MAX_CHARACTERS - len(server) - len(SEPARATOR)
    fits = tool and tool not in reserved
    if fits and len(tool) <= room and not _REFUSED.search(tool) and not _LOOKS_HASHED.search(tool):
        return f"{server}{SEPARATOR}{tool}"
    digest = hashlib.sha256(tool.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
    kept = _REFUSED.sub("_", tool[: room - _HASH_CHARACTERS - 1])
    return f"{server}{SEPARATOR}{kept}_{digest}"


def server_of(name: str) -> str:
    """Return the server's part of an offered name; empty if the name has none."""
    server, separator, _ = name.partition(SEPARATOR)
    return server if separator else ""
