"""Opens the page in the user's browser, where there is one."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping


def open_browser(url: str, say: Callable[[str], None]) -> threading.Thread | None:
    """Open an address in a thread of its own: a browser may take seconds to answer.

    Without a browser that shows pages in a window, says so. A browser in the terminal would take the terminal away from
    the service.

    Returns:
        The thread, which ends with the process; None if there is no browser.
    """
    if not _has_screen(os.environ, sys.platform):
        say(f"There is no browser here (no display). Open {url} yourself.")
        return None

    def show() -> None:
        try:
            opened = webbrowser.open(url)
        except webbrowser.Error:
            opened = False
        if not opened:
            say(f"No browser could be opened. Open {url} yourself.")

    thread = threading.Thread(target=show, name="browser", daemon=True)
    thread.start()
    return thread


def _has_screen(environ: Mapping[str, str], platform: str) -> bool:
    if platform in {"darwin", "win32"}:
        return True
    # WSL opens the browser of Windows; BROWSER is what the user wants to have opened.
    return any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"))
