"""Frame times of the chat page in Chromium: a thread of a thousand messages scrolled, and an answer that streams into it.

Also how long the page takes to be usable. Needs Chromium (``script/chromium``) and a running service with the demo
model; nothing but the API and the page is used::

    script/run --port 8100 &
    backend/.venv/bin/python bench/page_frames.py --url http://127.0.0.1:8100
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).parents[1] / "backend"))

from tests.support.chromium import chromium

MESSAGES = 1000
_MARKDOWN = """Number **{n}**, with a [link](https://example.com/{n}) and `code`.

- an item of a list
- another one, with *stress*

```python
def f(x):
    return x + {n}
```

| a | b |
| - | - |
| 1 | {n} |
"""
_PLAIN = "Some words that make a paragraph of a usual length, so that the list is as long as lists are. " * 4

# Counts frames while something goes on; a frame that the page itself delayed is a long one.
_RECORD = """() => {
  const frames = []; let last = performance.now(); window.__frames = frames; window.__stop = false;
  const tick = (now) => { frames.push(now - last); last = now; if (!window.__stop) requestAnimationFrame(tick); };
  requestAnimationFrame((now) => { last = now; requestAnimationFrame(tick); });
}"""
_SCROLL = """async ({ pixels, upwards }) => {
  const box = document.querySelector(".message-scroll");
  const edge = () => (upwards ? box.scrollTop <= 0 && !document.querySelector(".older")
                              : box.scrollTop + box.clientHeight >= box.scrollHeight - 1);
  for (let still = 0; still < 30; ) {
    box.scrollTop += upwards ? -pixels : pixels;
    await new Promise(requestAnimationFrame);
    still = edge() ? still + 1 : 0;
  }
}"""


@dataclass(frozen=True, slots=True)
class Frames:
    """Frame times in milliseconds."""

    times: list[float]

    def __str__(self) -> str:
        ordered = sorted(self.times)
        at = {share: ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.95, 0.99)}
        long = sum(time > 50 for time in ordered)
        return (
            f"{len(ordered)} frames, p50 {at[0.5]:.1f}, p95 {at[0.95]:.1f}, p99 {at[0.99]:.1f}, "
            f"max {ordered[-1]:.1f} ms; {long} above 50 ms"
        )


def _long_thread(url: str) -> str:
    """Begin a thread with an imported conversation; returns its id."""
    messages: list[dict[str, str]] = []
    for n in range((MESSAGES - 2) // 2):
        answer = _MARKDOWN.format(n=n) if n % 3 == 0 else f"Answer {n}. {_PLAIN}"
        messages += [
            {"id": f"u-{n}", "role": "user", "content": f"Question {n}: what about this?"},
            {"id": f"a-{n}", "role": "assistant", "content": answer},
        ]
    messages.append({"id": "last", "role": "user", "content": "hello"})
    thread = f"bench-{uuid4().hex[:12]}"
    request = urllib.request.Request(  # noqa: S310 - the address is the operator's own
        f"{url}/api/v1/agent/runs",
        json.dumps({"threadId": thread, "messages": messages}).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).read()  # noqa: S310
    return thread


def _recorded(page: Page) -> Frames:
    page.evaluate("window.__stop = true")
    return Frames(page.evaluate("window.__frames"))


def _usable(page: Page, url: str) -> float:
    """Return the milliseconds from the start of the navigation until the user can write."""
    page.goto(url)
    page.get_by_role("textbox", name="Message").wait_for()
    return page.evaluate("performance.now()")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--pixels", type=int, default=120, help="scrolled in each frame")
    asked = parser.parse_args()
    thread = _long_thread(asked.url)
    with chromium() as browser:
        times = []
        for _ in range(5):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            times.append(_usable(page, asked.url))
            page.close()
        print(f"usable after: {', '.join(f'{time:.0f}' for time in times)} ms (cold contexts)")
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        print(f"the long thread usable after: {_usable(page, f'{asked.url}/#/t/{thread}'):.0f} ms")
        page.locator(".message").last.wait_for()
        for name, upwards in (
            ("up, loading older pages", True),
            ("down", False),
            ("up again", True),
            ("down again", False),
        ):
            page.evaluate(_RECORD)
            page.evaluate(_SCROLL, {"pixels": asked.pixels, "upwards": upwards})
            print(f"scroll {name}: {_recorded(page)}")
        print(f"messages in the page: {page.locator('.message').count()}")
        page.get_by_role("textbox", name="Message").fill("slowly, think about it")
        page.evaluate(_RECORD)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Stop").wait_for()
        page.get_by_role("button", name="Stop").wait_for(state="detached", timeout=120_000)
        print(f"an answer streams: {_recorded(page)}")


if __name__ == "__main__":
    main()
