"""Links of the repository become links of the site, and nothing else of a page changes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

_ROOT = Path(__file__).parents[4]
_PAGES = {"agents.md", "index.md", "adr/README.md", "architecture.md", "examples/knowledge.md"}


@pytest.fixture(scope="module")
def pages() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location(
        "repository_pages", _ROOT / "script" / "site" / "repository_pages.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("site", "written", "shown"),
    [
        ("agents.md", "[a](../ARCHITECTURE.md#map)", "[a](architecture.md#map)"),
        ("agents.md", "[a](../examples/knowledge/README.md)", "[a](examples/knowledge.md)"),
        ("agents.md", "[a](../examples/knowledge)", "[a](examples/knowledge.md)"),
        ("agents.md", "[a](adr/)", "[a](adr/README.md)"),
        ("examples/knowledge.md", "[a](../../docs/agents.md)", "[a](../agents.md)"),
        ("architecture.md", "[a](README.md)", "[a](index.md)"),
        ("architecture.md", "see [the `code`](backend/pyproject.toml)", "see the `code`"),
        ("agents.md", "[a](#anchor) [b](https://example.com)", "[a](#anchor) [b](https://example.com)"),
        ("agents.md", "[a](missing.md)", "[a](missing.md)"),
        ("agents.md", "```sh\n[a](../ARCHITECTURE.md)\n```", "```sh\n[a](../ARCHITECTURE.md)\n```"),
        ("agents.md", "<!-- not run: needs a key -->\n```sh\nls\n```", "```sh\nls\n```"),
    ],
)
def test_a_link_leads_to_the_same_page_on_the_site(
    pages: ModuleType, site: str, written: str, shown: str
) -> None:
    assert pages.for_site(written, site, _PAGES, _ROOT) == shown


def test_every_example_is_a_page_of_the_site(pages: ModuleType) -> None:
    found = dict(pages.found(_ROOT))
    for readme in (_ROOT / "examples").glob("*/README.md"):
        assert found[readme.relative_to(_ROOT).as_posix()] == f"examples/{readme.parent.name}.md"
