"""Which tests run in one process: those of a file, and all of a folder whose fixtures are dear."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

_WHOLE = ("tests/browser/", "tests/clients/", "tests/integration/litellm/")
"""Folders whose tests share services and programs; in two processes, each would start its own."""


class FolderScheduling(LoadFileScheduling):
    """``--dist loadfile``, but some folders count as one file."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in _WHOLE if nodeid.startswith(folder)), super()._split_scope(nodeid))
