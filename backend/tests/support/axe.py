"""The accessibility engine axe-core, run inside a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

COLOUR_RULES = ("color-contrast", "link-in-text-block")
"""The rules whose answer depends on the colours: in another theme, all others say the same."""


_REST = """async () => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  // What turns for ever, as a sign of waiting, has no end to wait for.
  const moving = () => document.getAnimations().filter(
    (animation) => animation.playState === "running" && Number.isFinite(animation.effect?.getComputedTiming().endTime),
  );
  do {
    await Promise.allSettled(moving().map((animation) => animation.finished));
    // What a change of style or the end of another one begins is there after the next frame.
    await frame();
    await frame();
  } while (moving().length > 0);
}"""


def wait_for_rest(page: Page) -> None:
    """Return when every transition and animation of the page has ended, however fast it is.

    Colours pass into one another, and what opens fades in: in between they have any contrast.
    """
    page.evaluate(_REST)


def violations(
    page: Page, engine: Path, within: str | None = None, rules: Sequence[str] | None = None
) -> list[str]:
    """Return what axe finds in the page at rest, one line for each element; empty when all is well.

    Args:
        page: The page.
        engine: ``axe.min.js``.
        within: Selector of the part that is judged; None for the whole page.
        rules: The rules by which it is judged; None for all that axe has.
    """
    wait_for_rest(page)
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
