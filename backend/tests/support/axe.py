"""The accessibility engine axe-core, run inside a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

COLOUR_RULES = ("color-contrast", "link-in-text-block")
"""The rules whose answer depends on the colours: in another theme, all others say the same."""


def violations(
    page: Page, engine: Path, within: str | None = None, rules: Sequence[str] | None = None
) -> list[str]:
    """Return what axe finds in the page as it is, one line for each element; empty when all is well.

    Args:
        page: The page.
        engine: ``axe.min.js``.
        within: Selector of the part that is judged; None for the whole page.
        rules: The rules by which it is judged; None for all that axe has.
    """
    # By the debugger, not by a script element: the page's policy stays in force.
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(engine.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        """async ([within, rules]) => {
          const options = { resultTypes: ["violations"], ...(rules && { runOnly: rules }) };
          return (await axe.run(within ?? document, options)).violations;
        }""",
        [within, rules],
    )
    return [
        f"{violation['id']}: {' '.join(map(str, node['target']))}\n    {node['failureSummary']}\n    {node['html'][:200]}"
        for violation in found
        for node in violation["nodes"]
    ]
