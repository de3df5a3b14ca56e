"""Which Markdown files outside docs/ are pages of the site, and how links of the repository become those of the site.

Pure, except for the look whether a file exists.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

_PLACES = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "apps/README.md": "how-to/flutter-app.md",
    "bench/README.md": "benches.md",
    "clients/js/README.md": "how-to/javascript.md",
    "deploy/litellm/README.md": "deploy/litellm.md",
}
"""Place in the repository → place on the site. Examples come by themselves."""

_EXAMPLE = re.compile(r"examples/(?P<name>[\w-]+)/README\.md")
_EXAMPLE_ON_SITE = re.compile(r"examples/(?P<name>[\w-]+)\.md")
_REPOSITORY = {site: place for place, site in _PLACES.items()}
_HOME = {"README.md": "index.md", "docs": "index.md", "docs/adr": "adr/README.md"}

_FENCE = re.compile(r"^\s*(```+|~~~+)")
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|//")
_MARK = re.compile(r"^[ \t]*<!--.*?-->[ \t]*\n", re.MULTILINE | re.DOTALL)


def found(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the pages outside docs/ that exist: place in the repository, place on the site."""
    examples = (path.relative_to(root).as_posix() for path in sorted((root / "examples").glob("*/README.md")))
    for place in (*_PLACES, *examples):
        site = site_place(place)
        if site and (root / place).is_file():
            yield place, site


def site_place(place: str) -> str | None:
    """Return the place on the site of a page outside docs/."""
    example = _EXAMPLE.fullmatch(place)
    return f"examples/{example['name']}.md" if example else _PLACES.get(place)


def repository_place(site: str) -> str:
    """Return the place in the repository of a page of the site."""
    example = _EXAMPLE_ON_SITE.fullmatch(site)
    return f"examples/{example['name']}/README.md" if example else _REPOSITORY.get(site, f"docs/{site}")


def for_site(markdown: str, site: str, pages: set[str], root: Path) -> str:
    """Return a page with links for the site, and without the marks for the tests of blocks.

    A link to a file that is no page of the site becomes plain text: the words stay.

    Args:
        markdown: The page, as it is in the repository.
        site: Its place on the site.
        pages: The places of all files of the site.
        root: The repository.
    """
    folder = posixpath.dirname(repository_place(site))

    def replaced(link: re.Match[str]) -> str:
        path, hash_, anchor = link["target"].partition("#")
        if not path or _ABSOLUTE.match(path):
            return link[0]
        place = posixpath.normpath(posixpath.join(folder, path))
        target = _on_site(place, pages, root)
        if target is None:
            return link["text"]
        relative = posixpath.relpath(target, posixpath.dirname(site) or ".")
        return f"{link['image']}[{link['text']}]({relative}{hash_}{anchor})"

    lines: list[str] = []
    fence = ""
    for line in _MARK.sub("", markdown).splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        lines.append(line if fence or mark else _LINK.sub(replaced, line))
    return "".join(lines)


def _on_site(place: str, pages: set[str], root: Path) -> str | None:
    """Return where a file of the repository is on the site; absent if it is no page of it."""
    target = site_place(place) or _HOME.get(place.rstrip("/"))
    if target is None and place.startswith("docs/"):
        target = place.removeprefix("docs/")
    if target is None and (root / place).is_dir():
        target = site_place(f"{place}/README.md")
    # A place in docs/ that does not exist stays a link: the strict build names it.
    return target if target in pages or place.startswith("docs/") else None
