"""The inspector: what it shows is what the API says, live and afterwards, by mouse, by key and in a terminal."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect
from tests.support.browser_tab import NewTab
from tests.support.limits import HUNG_SECONDS

TWO_TOOLS = "what time is it and also calculate 6*7 and then say hello"
THREAD = re.compile(r"#/t/(.+)$")


def thread_of(page: Page) -> str:
    expect(page).to_have_url(THREAD)
    match = THREAD.search(page.url)
    assert match is not None
    return match[1]


def send(page: Page, text: str) -> str:
    """Send a message; returns the thread."""
    box = page.get_by_role("textbox", name="Message")
    box.fill(text)
    box.press("Enter")
    expect(box).to_have_value("")
    return thread_of(page)


def inspect(page: Page, tab: str) -> Locator:
    """Open a tab of the inspector; returns the panel."""
    panel = page.get_by_role("complementary", name="Inspector")
    if not panel.is_visible():
        page.get_by_role("button", name="Inspector").click()
    panel.get_by_role("tab", name=tab).click()
    return panel


def answered(page: Page) -> None:
    """Wait until the newest run has ended well."""
    panel = inspect(page, "Timeline")
    expect(panel.locator(".run-head .run-badge")).to_have_text("succeeded")


def events_of(api: httpx.Client, thread: str, run: str) -> list[dict[str, Any]]:
    body = api.get("/events", params={"threadId": thread, "runId": run}).text
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]


def newest_run(api: httpx.Client, thread: str) -> dict[str, Any]:
    return api.get(f"/threads/{thread}/runs").json()["runs"][0]


def test_the_timeline_draws_what_a_run_spent_its_time_on(
    chat_page: Page, api: httpx.Client, axe: Callable[..., None], screenshot: Callable[..., None]
) -> None:
    inspect(chat_page, "Timeline")
    expect(chat_page.get_by_text("No run yet.")).to_be_visible()
    thread = send(chat_page, TWO_TOOLS)
    answered(chat_page)
    panel = inspect(chat_page, "Timeline")
    chart = panel.get_by_role("listbox", name="Timeline of the run")
    spans = chart.get_by_role("option")

    expect(spans).to_have_count(6)
    names = [re.split(",", span.get_attribute("aria-label") or "")[0] for span in spans.all()]
    assert names == [
        "Waiting Queue",
        "Stage execution",
        "Model call demo",
        "Tool call current_time",
        "Tool call calculate",
        "Model call demo",
    ]
    run = newest_run(api, thread)
    totals = dict(
        zip(
            panel.locator(".timeline-totals dt").all_inner_texts(),
            panel.locator(".timeline-totals dd").all_inner_texts(),
            strict=True,
        )
    )
    assert totals["Tokens"] == f"{run['usage']['inputTokens'] + run['usage']['outputTokens']:,}"
    assert totals["Queue"] == f"{run['queueMs']} ms"
    assert totals["First token"] == f"{run['ttftMs']} ms"

    # By key: the details of each bar; for screen readers the same as a table.
    chart.focus()
    chart.press("End")
    expect(spans.last).to_have_attribute("aria-selected", "true")
    expect(panel.locator(".timeline-facts")).to_contain_text("Finish reason")
    chart.press("Home")
    chart.press("ArrowDown")
    expect(panel.locator(".timeline-facts")).to_contain_text("Stage: execution")
    panel.get_by_text("The timeline as a table").click()
    expect(panel.get_by_role("table").get_by_role("row")).to_have_count(7)
    axe(chat_page)
    screenshot(chat_page, "inspector-timeline")

    # The runs of the thread, and back to an older one.
    send(chat_page, "fail 503")
    expect(panel.locator(".run-head .run-badge")).to_have_text("failed")
    inspect(chat_page, "Runs")
    items = panel.get_by_role("article")
    expect(items).to_have_count(2)
    expect(items.first).to_contain_text("model-unavailable")
    axe(chat_page, ".side-panel")
    screenshot(chat_page, "inspector-runs")
    items.nth(1).get_by_role("button", name="Show").click()
    expect(spans).to_have_count(6)


def test_events_are_listed_as_they_arrive_and_found_again_after_a_reload(
    chat_page: Page, api: httpx.Client, axe: Callable[..., None], screenshot: Callable[..., None]
) -> None:
    chat_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    thread = send(chat_page, TWO_TOOLS)
    answered(chat_page)
    stored = events_of(api, thread, newest_run(api, thread)["runId"])
    panel = inspect(chat_page, "Events")
    grid = panel.get_by_role("grid", name="Events")
    expect(grid.get_by_role("row").filter(has_text="RUN_FINISHED")).to_be_visible()

    panel.get_by_label("Type of the events").select_option("TOOL_CALL_RESULT")
    expect(grid).to_have_attribute("aria-rowcount", "2")
    panel.get_by_label("Search in the events").fill('"42"')
    expect(grid).to_have_attribute("aria-rowcount", "1")
    grid.focus()
    grid.press("Home")
    grid.press("Enter")
    detail = panel.get_by_role("region", name="Event")
    expected = next(event for event in stored if event.get("content") == "42")
    assert json.loads(detail.locator("pre").inner_text()) == expected
    detail.get_by_role("button", name="Copy the event as JSON").click()
    expect(detail.get_by_role("button", name="Copied")).to_be_visible()
    assert json.loads(chat_page.evaluate("navigator.clipboard.readText()")) == expected
    detail.get_by_role("button", name="Copy the events after this one as curl").click()
    expect(chat_page.get_by_text("Copied.").last).to_be_visible()
    cursor = (detail.get_attribute("aria-label") or "").split()[-1]
    assert f"cursor={cursor}'" in chat_page.evaluate("navigator.clipboard.readText()")
    panel.get_by_label("Search in the events").fill("nowhere")
    expect(panel.get_by_text("No event has all of this.")).to_be_visible()
    panel.get_by_label("Search in the events").fill("")
    panel.get_by_label("Type of the events").select_option("")
    axe(chat_page, ".side-panel")
    screenshot(chat_page, "inspector-events")

    # Paused: new events are counted, not listed.
    panel.get_by_role("button", name="Pause").click()
    panel.get_by_label("All runs").check()
    before = int(grid.get_attribute("aria-rowcount") or 0)
    send(chat_page, "say hello")
    expect(panel.get_by_role("status").filter(has_text="paused")).to_contain_text(re.compile(r"[1-9]\d* new"))
    assert int(grid.get_attribute("aria-rowcount") or 0) == before
    panel.get_by_role("button", name="Go on").click()
    expect(grid).not_to_have_attribute("aria-rowcount", str(before))

    # After a reload the page has not seen the first run: its events are loaded.
    chat_page.reload()
    panel = inspect(chat_page, "Events")
    panel.get_by_label("Run", exact=True).select_option(index=2)
    panel.get_by_role("button", name="Load the run's events").click()
    expect(panel.get_by_role("button", name="Load the run's events")).to_have_count(0)
    expect(panel.get_by_role("grid", name="Events")).to_have_attribute("aria-rowcount", str(len(stored)))


def test_thousands_of_events_are_as_many_elements_as_there_is_room_for(chat_page: Page) -> None:
    send(chat_page, "say hello")
    answered(chat_page)
    send(chat_page, "say hello")
    answered(chat_page)
    # The first run's log as it would be after a very long answer.
    many = 20_000
    frames = ['id: 1-1\ndata: {"type":"RUN_STARTED","threadId":"t","runId":"@RUN@","timestamp":1}\n\n']
    frames += [
        f'id: 1-{number}\ndata: {{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"x","timestamp":{number}}}\n\n'
        for number in range(2, many)
    ]
    frames.append(f'id: 1-{many}\ndata: {{"type":"RUN_FINISHED","threadId":"t","runId":"@RUN@"}}\n\n')

    def serve(route: Any) -> None:
        run = route.request.url.split("runId=")[1]
        route.fulfill(content_type="text/event-stream", body="".join(frames).replace("@RUN@", run))

    chat_page.reload()
    chat_page.route(re.compile(r"/events\?.*runId="), serve)
    # A timeline needs them all: they are loaded without being asked for.
    panel = inspect(chat_page, "Timeline")
    panel.get_by_label("Run", exact=True).select_option(index=2)
    panel = inspect(chat_page, "Events")
    grid = panel.get_by_role("grid", name="Events")
    expect(grid).to_have_attribute("aria-rowcount", str(many))
    grid.focus()
    for key, row in (("Home", 1), ("End", many), ("PageUp", None), ("Home", 1)):
        grid.press(key)
        assert grid.get_by_role("row").count() < 80
        if row is not None:
            expect(grid.locator(f"[aria-rowindex='{row}'].active")).to_be_in_viewport()


@pytest.fixture
def copied(chat_page: Page) -> Callable[[str], str]:
    """Copy a request of the shown run as curl; returns what a real shell and curl answer."""
    chat_page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    def copied(item: str) -> str:
        panel = chat_page.get_by_role("complementary", name="Inspector")
        panel.get_by_role("button", name="Copy as curl").click()
        panel.get_by_role("menuitem", name=item).click()
        expect(chat_page.get_by_text("Copied.").last).to_be_visible()
        command = chat_page.evaluate("navigator.clipboard.readText()")
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            timeout=HUNG_SECONDS,
            check=True,
        )
        return done.stdout

    return copied


def test_requests_are_copied_as_curl_and_work_in_a_terminal(
    chat_page: Page, api: httpx.Client, copied: Callable[[str], str]
) -> None:
    thread = send(chat_page, "say 'it''s' \"quoted\" $HOME `id` \\ and remember that I like tea")
    panel = inspect(chat_page, "Timeline")
    expect(panel.locator(".run-head .run-badge")).to_have_text("waits for you")
    run = newest_run(api, thread)

    # The same id and body are the same run: nothing is executed twice.
    again = copied("The run, word for word")
    assert [json.loads(line[6:]) for line in again.splitlines() if line.startswith("data: ")] == events_of(
        api, thread, run["runId"]
    )
    assert (
        json.loads(copied("The thread's history")) == api.get("/history", params={"threadId": thread}).json()
    )
    assert json.loads(copied("Its status and numbers")) == run
    assert copied("Its events from the start").count("id: ") == len(events_of(api, thread, run["runId"]))

    # Answered from the terminal: the page follows.
    end = copied("An approval of what is asked").strip().splitlines()[-1]
    assert json.loads(end[6:])["outcome"] == {"type": "success"}
    answered(chat_page)
    expect(chat_page.get_by_role("main")).to_contain_text("tea")


def test_an_answer_says_what_it_took_and_so_does_the_conversation(
    chat_page: Page, api: httpx.Client, axe: Callable[..., None]
) -> None:
    thread = send(chat_page, "say hello")
    answer = chat_page.locator(".message.assistant").last
    expect(answer.locator(".meter summary")).to_be_visible()
    message = api.get("/history", params={"threadId": thread}).json()["messages"][-1]
    told = message["metadata"]
    tokens = told["inputTokens"] + told["outputTokens"]
    expect(answer.locator(".meter summary")).to_contain_text(f"{told['model']} · {tokens:,} tokens")
    answer.locator(".meter summary").press("Enter")
    expect(answer.locator(".meter-details")).to_contain_text(f"{told['inputTokens']:,} tokens")
    expect(answer.locator(".meter-details")).to_contain_text(f"{told['ttftMs']} ms")

    whole = chat_page.get_by_role("banner").or_(chat_page.locator("header.bar")).locator(".meter").first
    expect(whole).to_contain_text(f"{tokens:,} tokens")
    send(chat_page, "say hello again")
    usage = api.get(f"/threads/{thread}").json()["usage"]
    expect(chat_page.locator(".message.assistant")).to_have_count(2)
    expect(whole).not_to_contain_text(f"{tokens:,} tokens")
    usage = api.get(f"/threads/{thread}").json()["usage"]
    expect(whole).to_contain_text(f"{usage['inputTokens'] + usage['outputTokens']:,} tokens")
    whole.locator("summary").click()
    axe(chat_page)


def test_on_a_phone_the_panel_takes_the_focus_and_gives_it_back(
    new_tab: NewTab,
) -> None:
    page = new_tab(viewport={"width": 390, "height": 844}, has_touch=True).page
    opener = page.locator("header.bar").get_by_role("button", name=re.compile("^(Inspector|Panels)$"))
    opener.focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name="Inspector")
    # Where there is no room for a row of buttons, the panels are in a menu.
    entry = page.locator("[role^=menuitem]").filter(has_text="Inspector")
    expect(entry.or_(panel)).to_be_visible()
    if entry.count():
        entry.press("Enter")
    expect(panel.get_by_role("button", name="Close the panel")).to_be_focused()
    # The conversation is covered: nobody gets lost behind the panel.
    expect(page.locator("main")).to_have_attribute("inert", "")
    expect(panel.get_by_role("tab", name="Timeline")).to_be_visible()
    page.keyboard.press("Tab")
    expect(panel.locator(":focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
