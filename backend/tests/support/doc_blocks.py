"""The fenced blocks of a Markdown page, and what a comment in front of one says about how a test runs it.

Conventions, which CONTRIBUTING.md tells the authors of pages:

- ``sh`` runs; each command must succeed, and an HTTP error is a failure. ``console`` has commands behind ``$`` and what
  they print: ``…`` stands for anything, white space does not count. ``python`` runs in one namespace a page.
- A block whose first line is a comment with a file's name (``# agent.toml``, ``// chat.mjs``) is that file.
- ``<!-- file: NAME -->`` says the same of a block that cannot have such a line.
- ``<!-- until: TEXT -->``: the commands run until they print TEXT, and are ended then.
- ``<!-- not run: REASON -->``: the block is not run, for one of `REASONS`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]

REASONS = {
    "needs a key": "It asks a provider, with a key that costs money.",
    "needs servers": "It names servers that only the reader has.",
    "takes minutes": "It is tested elsewhere, or measures.",
    "asks in the terminal": "It waits for what a person types.",
    "changes the system": "It installs packages or units on the machine.",
    "is a template": "It shows where something stands; the values are the reader's.",
}
"""Why a block may not be run."""

RUN = ("sh", "console", "python")
PARSED = ("json", "toml", "yaml", "js", "ts")
CHECKED = ("nginx", "ini", "sql")
"""Languages of ``tests/docs/test_configurations.py``."""
SHOWN = ("text", "diff", "markdown", "dart", "tsx", "html", "http", "dockerfile")
"""Languages that no test reads."""

_OPEN = re.compile(r"^(?P<indent>[ ]*)(?P<fence>```+)(?P<language>\S*).*$")
_MARK = re.compile(r"^\s*<!--\s*(?P<key>[a-z ]+?):\s*(?P<value>.*?)\s*-->\s*$")
_FILE = re.compile(r"^(?:#|//) (?P<name>[\w./-]+\.[a-z]+)$")
_MARKS = ("file", "until", "not run")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    file: str | None = None
    until: str | None = None
    not_run: str | None = None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


class MarkError(Exception):
    """A comment in front of a block that says nothing known."""


def pages() -> list[str]:
    """Return the pages whose blocks are tested, relative to the repository."""
    found = [
        ROOT / "README.md",
        *(page for page in (ROOT / "docs").rglob("*.md") if "adr" not in page.parts),
        *(ROOT / "examples").glob("*/README.md"),
        *(ROOT / "deploy").rglob("*.md"),
        *(page for page in (ROOT / "clients").rglob("*.md") if "node_modules" not in page.parts),
    ]
    return sorted(page.relative_to(ROOT).as_posix() for page in found)


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, in order.

    Raises:
        MarkError: A mark or a reason is unknown, or a mark stands in front of no block.
    """
    return list(parsed(page, (ROOT / page).read_text(encoding="utf-8")))


def parsed(page: str, text: str) -> Iterator[Block]:
    """Yield the blocks of a page with this text. Raises like `blocks`."""
    lines = iter(enumerate(text.splitlines(), start=1))
    marks: dict[str, str] = {}
    for number, line in lines:
        if mark := _MARK.match(line):
            marks |= _known(f"{page}:{number}", mark["key"], mark["value"])
        elif opening := _OPEN.match(line):
            body: list[str] = []
            for _, inner in lines:
                if inner.strip() == opening["fence"]:
                    break
                body.append(inner)
            block = textwrap.dedent("\n".join(body)) + "\n"
            named = _FILE.match(block.partition("\n")[0])
            yield Block(
                page,
                number,
                opening["language"],
                block,
                file=marks.get("file") or (named["name"] if named else None),
                until=marks.get("until"),
                not_run=marks.get("not run"),
            )
            marks = {}
        elif line.strip() and marks:
            raise MarkError(f"{page}:{number}: a mark without a block behind it")


def _known(place: str, key: str, value: str) -> dict[str, str]:
    if key not in _MARKS:
        raise MarkError(f"{place}: unknown mark {key!r}; known: {', '.join(_MARKS)}")
    if key == "not run" and value not in REASONS:
        raise MarkError(f"{place}: unknown reason {value!r}; known: {', '.join(REASONS)}")
    return {key: value}


@dataclass(frozen=True)
class Command:
    """A command of a ``console`` block, and what it shows."""

    text: str
    shown: str


def commands(console: str) -> list[Command]:
    """Return the commands of a ``console`` block: lines behind ``$``, with those that go on from them."""
    found: list[Command] = []
    command: list[str] = []
    shown: list[str] = []
    for line in console.splitlines():
        if line.startswith("$ "):
            if command:
                found.append(Command("\n".join(command), "\n".join(shown)))
            command, shown = [line[2:]], []
        elif command and not shown and _goes_on("\n".join(command)):
            command.append(line)
        else:
            shown.append(line)
    found.append(Command("\n".join(command), "\n".join(shown)))
    return found


def _goes_on(command: str) -> bool:
    """Whether a shell would read another line: an open quote, or a backslash at the end."""
    if command.endswith("\\"):
        return True
    plain = re.sub(r"\\.", "", command, flags=re.DOTALL)
    quote = ""
    for character in plain:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#":
            break
    return bool(quote)


def shows(shown: str, printed: str) -> bool:
    """Whether a command printed what the page shows: ``…`` is anything, white space does not count."""
    pattern = ".*?".join(re.escape(_packed(part)) for part in shown.split("…"))
    return re.fullmatch(pattern, _packed(printed), re.DOTALL) is not None


def _packed(text: str) -> str:
    return re.sub(r"\s+", "", text)
