"""Attachments by picker, drop and paste; what is refused before it is sent; the microphone."""

from __future__ import annotations

import base64
import io
import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import FilePayload, Locator, Page, Route, expect
from tests.support.browser_tab import NewTab
from tests.support.page_watch import PageWatch


def _png(red: int, width: int = 64, height: int = 48) -> bytes:
    """A picture that goes from one colour to another."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = b"".join(b"\0" + b"".join(bytes((red, 4 * x, 5 * y)) for x in range(width)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _wav() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * 800)
    return out.getvalue()


def _chip(page: Page, name: str) -> Locator:
    return page.get_by_role("list", name="Attachments").get_by_role("listitem").filter(has_text=name)


def _file(name: str, mime: str, content: bytes) -> FilePayload:
    return FilePayload(name=name, mimeType=mime, buffer=content)


def _hand_over(page: Page, event: str, name: str, mime: str, content: bytes) -> None:
    """Paste or drop a file, as the operating system does."""
    page.evaluate(
        """([event, name, type, content]) => {
          const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], name, { type }));
          const target = document.querySelector("textarea[aria-label='Message']");
          const more = { bubbles: true, cancelable: true };
          if (event === "paste") target.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, ...more }));
          else target.dispatchEvent(new DragEvent(event, { dataTransfer: data, ...more }));
        }""",
        [event, name, mime, base64.b64encode(content).decode()],
    )


def test_files_are_attached_shown_and_there_after_a_reload(
    chat_page: Page,
    screenshot: Callable[..., None],
    axe: Callable[..., None],
    api: httpx.Client,
    tmp_path: Path,
) -> None:
    page = chat_page
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach files").click()
    chooser.value.set_files(
        [
            _file("bill.pdf", "application/pdf", b"%PDF-1.4\n%%EOF\n"),
            _file("tone.wav", "audio/wav", _wav()),
            _file("notes.md", "", b"# Notes\n"),
            _file("code.zip", "application/zip", b"PK\x03\x04"),
            _file("long.txt", "text/plain", b"x" * ((128 << 10) + 1)),
        ]
    )
    _hand_over(page, "paste", "image.png", "image/png", _png(40))
    _hand_over(page, "dragenter", "photo.png", "image/png", _png(200))
    expect(page.get_by_text("Drop files to attach them")).to_be_visible()
    screenshot(page, "attachments-drop", looks=("light",))
    _hand_over(page, "drop", "photo.png", "image/png", _png(200))
    expect(page.get_by_text("Drop files to attach them")).to_be_hidden()
    # Refused before anything is sent.
    expect(_chip(page, "code.zip")).to_contain_text("Only images, PDF, text, WAV and MP3.")
    expect(_chip(page, "long.txt")).to_contain_text("A text may have 128 KB.")
    page.get_by_role("textbox", name="Message", exact=True).fill("what do you see?")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    expect(page.get_by_text("Uploading")).to_have_count(0)
    axe(page)
    screenshot(page, "attachments-tray")
    for name in ("code.zip", "long.txt"):
        page.get_by_role("button", name=f"Remove {name}").click()
    # What is uploaded is part of the draft.
    page.reload()
    expect(_chip(page, "photo.png")).to_be_visible()
    expect(_chip(page, "bill.pdf")).to_be_visible()
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".message.assistant").last).to_contain_text("I see 2 images")

    def shown() -> None:
        message = page.locator(".message.user")
        for image in message.locator("img").all():
            expect(image).to_have_js_property("naturalWidth", 64)
        expect(message.locator("img")).to_have_count(2)
        expect(message.get_by_role("button", name="Save bill.pdf")).to_be_visible()
        expect(message.get_by_role("button", name="Save notes.md")).to_be_visible()
        expect(message.locator("audio")).to_have_js_property("readyState", 4)

    shown()
    page.reload()
    shown()
    axe(page)
    screenshot(page, "attachments-message")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save notes.md").click()
    assert download.value.suggested_filename == "notes.md"
    download.value.save_as(tmp_path / "notes.md")
    assert (tmp_path / "notes.md").read_bytes() == b"# Notes\n"
    page.get_by_role("button", name="Show photo.png in full size").click()
    dialog = page.get_by_role("dialog", name="photo.png")
    expect(dialog.locator("img")).to_be_visible()
    axe(page)
    screenshot(page, "attachments-picture", looks=("dark",))
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_an_upload_can_be_cancelled_and_tried_again_and_a_message_waits_for_it(
    chat_page: Page, watch: PageWatch, screenshot: Callable[..., None]
) -> None:
    page = chat_page
    watch.allow("status of 503|ERR_FAILED")
    held: list[Route] = []
    page.route("**/files", lambda route: held.append(route))
    picker = page.locator("input[type=file]")
    picker.set_input_files([_file("one.txt", "text/plain", b"one"), _file("two.txt", "text/plain", b"two")])
    expect(_chip(page, "one.txt")).to_contain_text("Uploading")
    page.get_by_role("button", name="Cancel the upload of one.txt").click()
    expect(_chip(page, "one.txt")).to_have_count(0)
    page.get_by_role("textbox", name="Message", exact=True).fill("read it")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Sent as soon as the upload is done")).to_be_visible()
    screenshot(page, "attachments-uploading", looks=("light", "phone"))
    problem = '{"code":"files-unavailable","detail":"no","retryable":true}'
    held[-1].fulfill(status=503, content_type="application/problem+json", body=problem)
    expect(_chip(page, "two.txt")).to_contain_text("The store of files does not answer.")
    expect(page.locator(".message.user")).to_have_count(0)
    page.unroute("**/files")
    page.get_by_role("button", name="Try two.txt again").click()
    expect(_chip(page, "two.txt")).to_contain_text("3 B")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".message.user")).to_contain_text("read it")
    expect(page.get_by_role("button", name="Save two.txt")).to_be_visible()


def test_speech_becomes_text_in_the_composer(
    new_tab: NewTab, screenshot: Callable[..., None], axe: Callable[..., None]
) -> None:
    tab = new_tab(permissions=["microphone"])
    page = tab.page
    field = page.get_by_role("textbox", name="Message", exact=True)
    field.fill("I said:")
    page.get_by_role("button", name="Dictate").click()
    expect(page.get_by_role("timer")).to_have_text("0:01")
    # The fake microphone beeps: a bar is higher than silence.
    expect(page.locator(".recording-levels .loud").first).to_be_attached()
    axe(page)
    screenshot(page, "microphone-recording")
    page.keyboard.press("Escape")
    expect(page.get_by_role("timer")).to_be_hidden()
    expect(field).to_have_value("I said:")

    page.get_by_role("button", name="Dictate").click()
    expect(page.locator(".recording-levels .loud").first).to_be_attached()
    tab.watch.allow("status of 503")
    problem = '{"code":"overloaded","detail":"busy","retryable":true}'
    page.route(
        "**/transcribe",
        lambda route: route.fulfill(
            status=503,
            content_type="application/problem+json",
            body=problem,
            headers={"Retry-After": "1"},
        ),
    )
    page.get_by_role("button", name="Write it down").click()
    expect(page.get_by_text("The service is very busy.")).to_be_visible()
    screenshot(page, "microphone-failed", looks=("light",))
    page.unroute("**/transcribe")
    page.get_by_role("button", name="Try again").click()
    expect(field).not_to_have_value("I said:")
    assert field.input_value().startswith("I said: ")


def test_a_microphone_that_is_not_allowed_is_said_in_words(
    chat_page: Page, screenshot: Callable[..., None], axe: Callable[..., None]
) -> None:
    chat_page.get_by_role("button", name="Dictate").click()
    expect(chat_page.get_by_text("The microphone is blocked for this page.")).to_be_visible()
    axe(chat_page)
    screenshot(chat_page, "microphone-refused", looks=("light", "phone"))
    chat_page.get_by_role("button", name="Dismiss").click()
    expect(chat_page.get_by_role("button", name="Dictate")).to_be_visible()
