"""How long a newcomer waits: from ``git clone`` to a streamed answer in the browser, with one command.

    (cd backend && .venv/bin/python -P ../bench/first_answer.py)

- ``cold``: a fresh clone, nothing in uv's or pip's caches: everything is downloaded.
- ``cached``: another fresh clone, with what the first one has downloaded.
- ``warm``: ``script/run`` again in that clone.

Each runs ``script/run``, opens the address that it prints in a headless Chromium (``script/chromium``), sends a message,
and stops everything. The browser itself runs already: a user's does, too. Times are seconds since the command;
what a step took is behind it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).parents[1] / "backend"))

from tests.support.chromium import chromium

_ROOT = Path(__file__).resolve().parents[1]
_MESSAGE = "what is 6*7"
_PATIENCE_MILLISECONDS = 120_000
_FIRST_WORDS = "() => document.querySelector('.message.assistant')?.textContent.trim()"


class Watch:
    """Seconds since the command of a newcomer, step by step."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = self._before = time.monotonic()

    def step(self, what: str) -> None:
        """Print when a step was over, and what it took."""
        now = time.monotonic()
        print(
            f"{self._name:7} {what:34} {now - self._began:7.2f} s   {now - self._before:+7.2f} s", flush=True
        )
        self._before = now


def clone(checkout: Path, watch: Watch) -> None:
    """Clone this repository's HEAD; a clone over a network takes its own time."""
    subprocess.run(
        ["git", "clone", "--quiet", "--no-local", str(_ROOT), str(checkout)],  # noqa: S607  the user's own git
        check=True,
    )
    watch.step("cloned")


def answer(checkout: Path, env: dict[str, str], browser: Browser, watch: Watch) -> None:
    """Start everything, and ask one question in the page."""
    with _running(checkout, env) as lines:
        url = _wait_until_ready(lines, watch)
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_MILLISECONDS)
        page.goto(url)
        field = page.get_by_role("textbox", name="Message")
        field.fill(_MESSAGE)
        watch.step("the page takes a message")
        field.press("Enter")
        page.wait_for_function(_FIRST_WORDS, polling="raf")
        watch.step("first words are seen")
        page.get_by_role("button", name="Stop").wait_for(state="hidden")
        watch.step("the answer is complete")
        said = page.get_by_role("list", name="Messages").inner_text()
        context.close()
    if "42" not in said:
        sys.exit(f"the answer is wrong: {said}")


def _wait_until_ready(lines: Iterator[str], watch: Watch) -> str:
    said: list[str] = []
    for line in lines:
        said.append(line)
        if line.startswith("Starting "):
            watch.step("installed, servers are starting")
        if line.startswith("AgentRoute is ready: "):
            watch.step("ready")
            return urljoin(line.split()[3], "/")
    sys.exit("it did not start:\n" + "".join(said))


@contextmanager
def _running(checkout: Path, env: dict[str, str]) -> Iterator[Iterator[str]]:
    with subprocess.Popen(
        [str(checkout / "script/run"), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=checkout,
        env=env,
    ) as process:
        try:
            yield iter(process.stdout or ())
        finally:
            process.send_signal(signal.SIGTERM)
            if process.stdout:
                process.stdout.read()


def _environment(folder: Path) -> dict[str, str]:
    """The user's environment, without our settings, and with caches of its own."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AGENT_", "VIRTUAL_ENV"))
    }
    # The bytecode that an installation leaves is part of what is measured.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"UV_CACHE_DIR": str(folder / "uv-cache"), "PIP_CACHE_DIR": str(folder / "pip-cache")}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1, help="How often the warm start is measured.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="first-answer-") as name, chromium() as browser:
        folder = Path(name)
        env = _environment(folder)
        print(f"{'':42} {'since begin':>11}   {'step':>9}")
        for case in ("cold", "cached"):
            watch = Watch(case)
            clone(folder / case, watch)
            answer(folder / case, env, browser, watch)
        for _ in range(options.rounds):
            answer(folder / "cached", env, browser, Watch("warm"))


if __name__ == "__main__":
    main()
