"""Reads the file of an export. It is checked as a whole before anything of it is written."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.user_data.export_lines import END, FILE, FILE_BYTES, FILE_MISSING, FORMAT, MANIFEST, READABLE, TYPES

MAX_LINE_BYTES = 256 << 20
"""More than one message can have."""


class NotAnExport(Exception):
    """The file cannot be imported; the text says why and what to do. Nothing was written."""


@dataclass(frozen=True, slots=True)
class CheckedExport:
    """A file that is whole."""

    path: Path
    manifest: dict[str, Any]
    files: frozenset[str] = field(repr=False)
    """The ids of the files whose bytes it has."""

    def lines(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield every line as an object and as it is, without the manifest and the end."""
        with self.path.open("rb") as file:
            for raw in file:
                line = json.loads(raw)
                if line["type"] not in {MANIFEST, END}:
                    yield line, raw.decode()


def check_export(path: Path) -> CheckedExport:
    """Read a file from its beginning to its end; memory is bounded by its longest line.

    Raises:
        NotAnExport: It is no export, of another version, cut off or changed.
        OSError: It cannot be read.
    """
    digest, counts, lines = hashlib.sha256(), Counter[str](), 0
    manifest: dict[str, Any] | None = None
    end: dict[str, Any] | None = None
    bodies = _Bodies()
    with path.open("rb") as file:
        while raw := file.readline(MAX_LINE_BYTES):
            if end is not None:
                raise NotAnExport("There is something behind the last line of the export. Download it again.")
            line = _parsed(raw, lines)
            if lines == 0:
                manifest = _checked_manifest(line)
            if line["type"] == END:
                end = line
                continue
            lines += 1
            digest.update(raw)
            counts[line["type"]] += 1
            bodies.take(line)
    if manifest is None or end is None:
        raise NotAnExport("The export was cut off: its last line is missing. Download it again.")
    if end.get("sha256") != digest.hexdigest() or end.get("lines") != lines:
        raise NotAnExport("The export was changed or damaged: its digest is another one. Download it again.")
    for kind, count in manifest["counts"].items():
        if counts[kind] != count:
            raise NotAnExport(f"The export has {counts[kind]} lines '{kind}', and its manifest says {count}.")
    return CheckedExport(path, manifest, bodies.whole())


class _Bodies:
    """The bytes of the files: pieces of one file follow each other."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._whole: set[str] = set()
        self._open: str | None = None
        self._digest = hashlib.sha256()
        self._offset = 0
        self._have_begun = False

    def take(self, line: dict[str, Any]) -> None:
        if line["type"] not in {FILE_BYTES, FILE_MISSING}:
            if self._have_begun:
                # An import reads rows up to the first bytes.
                raise NotAnExport(f"The export has a line '{line['type']}' behind the bytes of files.")
            if line["type"] == FILE.type:
                self._ids.add(line["fileId"])
            return
        self._have_begun = True
        if line["type"] == FILE_BYTES:
            self._piece(line)
        else:
            self._ids.discard(line["fileId"])

    def whole(self) -> frozenset[str]:
        self._close()
        if missing := self._ids - self._whole:
            raise NotAnExport(f"The export lacks the bytes of a file: {min(missing)}. Download it again.")
        return frozenset(self._whole)

    def _piece(self, line: dict[str, Any]) -> None:
        if line["fileId"] != self._open:
            self._close()
            self._open, self._digest, self._offset = line["fileId"], hashlib.sha256(), 0
        data = data_of(line)
        if line["offset"] != self._offset:
            raise NotAnExport(f"The export lacks bytes of the file {self._open}. Download it again.")
        self._digest.update(data)
        self._offset += len(data)

    def _close(self) -> None:
        if self._open is None:
            return
        if self._digest.hexdigest() != self._open or self._open not in self._ids:
            raise NotAnExport(f"The bytes of the file {self._open} are others than its id says.")
        self._whole.add(self._open)
        self._open = None


def data_of(line: dict[str, Any]) -> bytes:
    """Return the bytes of a piece of a file."""
    return base64.b64decode(line["data"], validate=True)


def _parsed(raw: bytes, number: int) -> dict[str, Any]:
    if not raw.endswith(b"\n"):
        if number == 0:
            raise NotAnExport("The file is no export of AgentRoute: its first line is no manifest.")
        raise NotAnExport("The export was cut off in a line. Download it again.")
    try:
        line = json.loads(raw)
    except ValueError:
        line = None
    if not isinstance(line, dict) or line.get("type") not in TYPES:
        if number == 0:
            raise NotAnExport("The file is no export of AgentRoute: its first line is no manifest.")
        raise NotAnExport(f"Line {number + 1} of the export is none that this version knows.")
    return line


def _checked_manifest(line: dict[str, Any]) -> dict[str, Any]:
    if line["type"] != MANIFEST or line.get("format") != FORMAT or not isinstance(line.get("counts"), dict):
        raise NotAnExport("The file is no export of AgentRoute: its first line is no manifest.")
    version = line.get("version")
    if not isinstance(version, int) or version not in READABLE:
        known = " and ".join(map(str, sorted(READABLE)))
        raise NotAnExport(
            f"The export has version {version} of the format; this version of AgentRoute reads {known}."
        )
    return line
