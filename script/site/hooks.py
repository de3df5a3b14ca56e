"""Hooks of MkDocs for the documentation site: pages of the repository outside docs/, links, the API reference.

``mkdocs.yml`` names this file. The pages are written for two readers: people who read the repository, and people who
read the site. So a page links to other pages by their places in the repository, and the hooks turn these links into
those of the site. docs/adr/0049.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import api_reference
import repository_pages
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_ROOT = Path(__file__).resolve().parents[2]
_OPENAPI = "AGENTROUTE_OPENAPI"
"""The variable with the path of the OpenAPI document, which ``script/docs`` writes."""
_API = "reference/api.md"

# The theme's script loads these from other hosts, for diagrams and for browsers of the past. The site has neither.
_REMOTE_SCRIPT = re.compile(r"https://(?:unpkg\.com|api\.github\.com)/[\w@./-]*")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are outside docs/, and the API reference."""
    for place, site in repository_pages.found(_ROOT):
        content = (_ROOT / place).read_text(encoding="utf-8")
        files.append(File.generated(config, site, content=content))
    document = json.loads(Path(os.environ[_OPENAPI]).read_text(encoding="utf-8"))
    # In place of the page that says where the reference is.
    if stub := files.get_file_from_path(_API):
        files.remove(stub)
    files.append(File.generated(config, _API, content=api_reference.page(document)))
    _complete_navigation(config, files)
    return files


def _complete_navigation(config: MkDocsConfig, files: Files) -> None:
    """Put pages that ``mkdocs.yml`` does not name under "More": a new page is found before somebody gives it a place."""
    named = set(_leaves(config.nav))
    left = [
        page.src_uri
        for page in files.documentation_pages()
        if page.src_uri not in named and not page.src_uri.startswith("adr/")
    ]
    if left and config.nav:
        config.nav.append({"More": left})


def _leaves(nav: object) -> Iterator[str]:
    """Yield the pages of a navigation."""
    match nav:
        case str():
            yield nav
        case list():
            for each in nav:
                yield from _leaves(each)
        case dict():
            yield from _leaves(list(nav.values()))
        case _:
            pass


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of the repository into those of the site."""
    return repository_pages.for_site(markdown, page.file.src_uri, set(files.src_uris), _ROOT)


def on_post_build(*, config: MkDocsConfig) -> None:
    """Take the addresses of other hosts out of the theme's script."""
    for script in Path(config.site_dir, "assets", "javascripts").glob("*.js"):
        text = script.read_text(encoding="utf-8")
        replaced = _REMOTE_SCRIPT.sub("about:blank", text)
        if replaced != text:
            script.write_text(replaced, encoding="utf-8")
