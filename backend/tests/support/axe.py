"""The accessibility engine axe-core, run inside a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page


def violations(page: Page, engine: Path, within: str | None = None) -> list[str]:
    """Return what axe finds in the page as it is, one line for each element; empty when all is well.

    Args:
        page: The page.
        engine: ``axe.min.js``.
        within: Selector of the part that is judged; None for the whole page.
    """
    # By the debugger, not by a script element: the page's policy stays in force.
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(engine.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        "async (within) => (await axe.run(within ?? document, {resultTypes: ['violations']})).violations",
        within,
    )
    return [
        f"{violation['id']}: {' '.join(map(str, node['target']))}\n    {node['failureSummary']}\n    {node['html'][:200]}"
        for violation in found
        for node in violation["nodes"]
    ]
