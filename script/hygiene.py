"""Checks of the repository as a whole, for script/check: what must never be committed, and the width of prose.

Prints one line per problem and exits with 1 when there is any. Reads tracked
files and new ones that git does not ignore.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lockfiles

ROOT = lockfiles.ROOT

# A registry's address belongs to the machine that installs: in a file it breaks mirrors and closed networks.
_REGISTRY = re.compile(
    r"https?://[^\s\"')]*/simple/?(?=[\s\"')]|$)"
    r"|https?://(files\.pythonhosted|registry\.npmjs|registry\.yarnpkg)\.(org|com)"
    r"|\"resolved\":\s*\"https?://"
)
_LEGACY_IMPORT = re.compile(r"^\s*(from|import)\s+core\.agent(\s|\.|$)")
_TEXT_LIMIT_BYTES = 5 << 20
_PROSE_CHARACTERS = 120
# The target of a link, and a bare address: neither can be broken into lines.
_ADDRESS = re.compile(r"(?<=\])\([^)\s]+\)|https?://\S+")


def _files() -> Iterator[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - from PATH
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    for name in listing.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and not path.is_symlink() and path.stat().st_size < _TEXT_LIMIT_BYTES:
            yield path


def _long_prose(lines: list[str]) -> Iterator[int]:
    """Yield the numbers of lines of Markdown prose that are too long; tables and code have their own form."""
    fenced = False
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and not line.startswith("|") and len(_ADDRESS.sub("", line)) > _PROSE_CHARACTERS:
            yield number


def _problems() -> Iterator[str]:
    for path in _files():
        name = path.relative_to(ROOT)
        if path.name == "uv.lock":
            yield f"{name}: names a registry; requirements.lock is what is committed"
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, start=1):
            if _REGISTRY.search(line):
                yield f"{name}:{number}: the address of a package registry"
            if path.suffix == ".py" and _LEGACY_IMPORT.match(line):
                yield f"{name}:{number}: imports core.agent; the package is core.agentscope"
        if path.suffix == ".md":
            for number in _long_prose(lines):
                yield f"{name}:{number}: more than {_PROSE_CHARACTERS} characters of prose in a line"
    yield from lockfiles.stale_reasons()


if __name__ == "__main__":
    problems = list(_problems())
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)
