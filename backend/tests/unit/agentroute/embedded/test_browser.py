"""``--open``: where there is a browser, it is used; where there is none, the address is said."""

from __future__ import annotations

import webbrowser

import pytest

from agentroute.embedded.browser import _has_screen, open_browser

URL = "http://127.0.0.1:8000/"


@pytest.mark.parametrize(
    ("environ", "platform", "has"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"WSL_DISTRO_NAME": "Debian"}, "linux", True),
        ({"BROWSER": "code"}, "linux", True),
        ({}, "darwin", True),
    ],
)
def test_a_browser_needs_a_screen(environ: dict[str, str], platform: str, has: bool) -> None:
    assert _has_screen(environ, platform) is has


@pytest.mark.parametrize(
    ("display", "opens", "said"),
    [
        ("", True, [f"There is no browser here (no display). Open {URL} yourself."]),
        (":0", True, []),
        (":0", False, [f"No browser could be opened. Open {URL} yourself."]),
    ],
)
def test_without_a_browser_the_address_is_said(
    monkeypatch: pytest.MonkeyPatch, display: str, opens: bool, said: list[str]
) -> None:
    for name in ("WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setattr("sys.platform", "linux")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or opens)
    told: list[str] = []

    if (thread := open_browser(URL, told.append)) is not None:
        thread.join()

    assert told == said
    assert opened == ([URL] if display else [])
