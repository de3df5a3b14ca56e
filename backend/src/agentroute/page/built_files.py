"""The files of the built chat page: what there is, and one file with its tag and its compressed form."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

BUILT = Path(__file__).parent / "built"
INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """One file as it is sent."""

    media_type: str
    content: bytes
    zipped: bytes
    tag: str
    """Hash of the content, without quotes."""


class BuiltFiles:
    """The files of a folder. A file is read again when it has changed, so a build is seen without a restart.

    Args:
        folder: What ``npm run build`` wrote. It may be missing in a checkout.
    """

    def __init__(self, folder: Path = BUILT) -> None:
        self._folder = folder
        self._read: dict[str, tuple[tuple[int, int], BuiltFile]] = {}

    def names(self) -> list[str]:
        """Return the names of all files except the index; only these have routes."""
        if not self._folder.is_dir():
            return []
        return sorted(
            path.name for path in self._folder.iterdir() if path.suffix in _TYPES and path.name != INDEX
        )

    def find(self, name: str) -> BuiltFile | None:
        """Return a file; ``None`` when it is not there."""
        path = self._folder / name
        try:
            stat = path.stat()
            version = (stat.st_mtime_ns, stat.st_size)
            known = self._read.get(name)
            if known is None or known[0] != version:
                known = self._read[name] = (version, _file(path))
        except FileNotFoundError:
            return None
        return known[1]


def _file(path: Path) -> BuiltFile:
    content = path.read_bytes()
    return BuiltFile(
        media_type=_TYPES[path.suffix],
        content=content,
        # mtime: the same bytes in every process, as the tag says.
        zipped=gzip.compress(content, 9, mtime=0),
        tag=hashlib.sha256(content).hexdigest()[:32],
    )
