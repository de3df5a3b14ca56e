"""The official AG-UI client, in both versions in use, holds what history says: whatever happens, however it is cut.

What holds for every scenario is in ``tests/support/client_report.py``; here is what is special about each.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.clients.conftest import Drive
from tests.support.client_report import ClientReport

pytestmark = pytest.mark.slow

_ASKED = ["user", "assistant", "tool", "assistant"]

_TURNS: dict[str, tuple[list[str], list[str]]] = {
    "text": (["success"], ["user", "assistant"]),
    "reasoning": (["success"], ["user", "reasoning", "assistant"]),
    "tool": (["success"], _ASKED),
    "failingTool": (["success"], _ASKED),
    "parallelTools": (["success"], ["user", "assistant", "tool", "tool", "assistant"]),
    "sequentialTools": (["success"], ["user", "assistant", "tool", "assistant", "tool", "assistant"]),
    "everything": (
        ["success"],
        ["user", "reasoning", "assistant", "tool", "assistant", "tool", "tool", "assistant"],
    ),
    "failingSubagent": (["success"] * 2, [*_ASKED, "assistant", "user", "assistant"]),
    "secondTurn": (["success"] * 2, ["user", "assistant"] * 2),
    "unicode": (["success"], ["user", "assistant"]),
    "picture": (["success"], ["user", "assistant"]),
    "imported": (["success"], ["user", "assistant"] * 2),
    "failure": (["model-unavailable", "success"], ["user", "user", "assistant"]),
    "failureMidway": (["model-stream-error", "success"], ["user", "assistant"] * 2),
    "emptyAnswer": (["success"] * 2, ["user", "assistant"] * 2),
    "cutAnswer": (["success"] * 2, ["user", "assistant"] * 2),
}
"""How the runs of a scenario end, and the roles of the messages then."""


@pytest.mark.parametrize("scenario", _TURNS)
def test_a_client_holds_what_history_says(drive: Drive, scenario: str) -> None:
    report = drive(scenario)

    assert (report.ends, report.roles) == _TURNS[scenario]


def test_children_at_work_at_the_same_time_are_told_apart(drive: Drive) -> None:
    report = drive("subagents")

    first = report.held("turn 1")
    children = {message["subagentRunId"] for message in first if "subagentRunId" in message}
    answers = [message["content"] for message in first if message["role"] == "tool"]
    assert len(children) == 2
    assert sorted(answers)[:2] == ["42", "56"]
    assert report.ends == ["success", "success"]


def test_what_the_user_told_in_the_first_turn_is_known_in_the_second(drive: Drive) -> None:
    report = drive("secondTurn")

    assert "Your name is Ada" in report.held("turn 2")[-1]["content"]


def test_a_cut_answer_stays_and_says_so(drive: Drive) -> None:
    message = drive("failureMidway").held("turn 1")[-1]

    assert message["content"].startswith("I begin an answer")
    assert message["metadata"]["incomplete"] is True


# --- the client's own tools ------------------------------------------------------


def _pending(report_events: list[dict[str, Any]]) -> list[list[str]]:
    finished = [event["outcome"] for event in report_events if event["type"] == "RUN_FINISHED"]
    return [outcome["pendingToolCallIds"] for outcome in finished if "pendingToolCallIds" in outcome]


@pytest.mark.parametrize(
    ("scenario", "roles"),
    [
        ("frontendTool", _ASKED),
        ("frontendToolFailed", _ASKED),
        ("frontendTools", ["user", "assistant", "tool", "tool", "assistant"]),
        ("frontendAndServerTool", ["user", "assistant", "tool", "tool", "assistant"]),
    ],
)
def test_the_client_answers_its_own_tools(
    drive: Drive, version: str, scenario: str, roles: list[str]
) -> None:
    report = drive(scenario)

    assert (report.ends, report.roles) == (["success", "success"], roles)
    assert _pending(report.events) == ([report["calls"]] if version == "1.0.0" else [])
    assert not _answered(report) & set(report["calls"])


def _answered(report: ClientReport) -> set[str]:
    return {event["toolCallId"] for event in report.of("TOOL_CALL_RESULT")}


def test_the_client_s_own_tools_are_answered_one_by_one(drive: Drive) -> None:
    report = drive("frontendToolsOneByOne")

    assert report.ends == ["success"] * 3
    assert report.roles == ["user", "assistant", "tool", "tool", "assistant"]


def test_a_tool_of_the_client_s_own_may_stay_unanswered(drive: Drive) -> None:
    report = drive("frontendToolUnanswered")

    assert not _answered(report) & set(report["calls"])
    assert report.ends == ["success"] * 2


def test_an_answer_that_comes_late_does_not_block_the_thread(drive: Drive) -> None:
    report = drive("frontendToolAnsweredLate")

    assert report["refused"] is None


def test_an_answer_of_parts_is_kept(drive: Drive, version: str) -> None:
    report = drive("frontendToolAnsweredInParts")

    assert report.ends == ["success"] * 3
    (result,) = [item for item in report.held("shown as a whole") if item["role"] == "tool"]
    # A snapshot says it in the client's own vocabulary.
    assert result["content"] == ([{"type": "text", "text": "blue"}] if version == "1.0.0" else "blue")


# --- several agents ---------------------------------------------------------------


def test_each_agent_has_a_url_of_its_own(drive: Drive) -> None:
    report = drive("withAnotherAgent")

    assert report.ends == ["success", "interrupt", "success"]
    assert {check["history"]["agentId"] for check in report["checks"]} == {"sales"}
    assert (report["elsewhere"]["status"], report["elsewhere"]["body"]["code"]) == (409, "agent-fixed")


# --- approval --------------------------------------------------------------------

_APPROVALS = {
    "approve": ["Remembered."],
    "approveThroughResume": ["Remembered."],
    "approveUnderTheSameRun": ["Remembered."],
    "approveEdited": ["Remembered."],
    "decline": ["denied"],
    "dismiss": ["denied"],
    "answerAndSay": ["denied", "42"],
}


@pytest.mark.parametrize("scenario", _APPROVALS)
def test_every_gated_call_gets_one_result(drive: Drive, scenario: str) -> None:
    report = drive(scenario)

    (gated,) = [interrupt["toolCallId"] for stream in report.streams for interrupt in stream.interrupts]
    results = report.of("TOOL_CALL_RESULT")
    assert [event["toolCallId"] for event in results].count(gated) == 1
    assert all(part in event["content"] for part, event in zip(_APPROVALS[scenario], results, strict=True))
    assert report.ends == ["interrupt", "success", "success"]


def test_an_approval_counts_beside_something_new(drive: Drive) -> None:
    report = drive("approveAndSay")

    assert [event["content"] for event in report.of("TOOL_CALL_RESULT")] == ["Remembered.", "42"]


@pytest.mark.parametrize(
    ("order", "ends"),
    [("together", ["interrupt", "success"]), ("one-by-one", ["interrupt", "success", "success"])],
)
def test_an_approval_beside_a_tool_of_the_client_s_own(drive: Drive, order: str, ends: list[str]) -> None:
    report = drive("approvalBesideFrontendTool", order)

    assert report.ends == ends
    assert _answered(report) == set(report["gated"])
    assert report.roles == ["user", "assistant", "tool", "tool", "assistant"]


@pytest.mark.parametrize("way", ["cancel", "resume"])
def test_a_client_cannot_make_up_the_result_of_a_server_s_tool(drive: Drive, way: str) -> None:
    report = drive("forgedResult", way, complaints=("HTTP 422",) if way == "cancel" else ())

    assert "FORGED" not in [message.get("content") for message in report["history"]["messages"]]
    results = [event["content"] for event in report.of("TOOL_CALL_RESULT")]
    assert results == ([] if way == "cancel" else ["Remembered."])


def test_a_resume_under_the_run_s_own_id_goes_on_with_that_run(drive: Drive) -> None:
    report = drive("approveUnderTheSameRun")

    first, second, _ = report.streams
    assert first.run_id == second.run_id
    assert [frame.id.split("-")[0] for frame in (first.frames[0], second.frames[0])] == ["1", "2"]


def test_edited_arguments_are_what_runs(drive: Drive) -> None:
    report = drive("approveEdited")

    assert "I like jam" in report.held("answered")[-1]["content"]


def test_two_interrupts_are_answered_together(drive: Drive) -> None:
    report = drive("approveOneOfTwo")

    assert "not addressed by resume" in report["uncovered"]["message"]
    by_call = {event["toolCallId"]: event["content"] for event in report.of("TOOL_CALL_RESULT")}
    approved, declined = report["answered"]
    assert len(report.of("TOOL_CALL_RESULT")) == len(by_call) == 3
    assert "Remembered." in by_call[approved]
    assert "denied" in by_call[declined]


def test_a_resumed_run_may_ask_again(drive: Drive) -> None:
    assert drive("approveTwiceInARow").ends == ["interrupt", "interrupt", "success", "success"]


def test_something_new_instead_of_an_answer_has_to_be_meant(drive: Drive) -> None:
    report = drive("sayInstead", complaints=("HTTP 409",))

    assert "not addressed by resume" in report["refused"]["message"]
    assert report["open"]["status"] == 409
    assert '"code":"interrupt-open"' in report["open"]["message"]
    assert report.ends == ["interrupt", "success", "success"]


def test_after_a_failed_resume_the_client_needs_history(drive: Drive) -> None:
    # RUN_ERROR leaves its interrupts with the client, although they were answered.
    report = drive("resumeFails", complaints=("HTTP 409",))

    assert (report["held"], report["reloaded"]) == (1, 0)
    assert "not addressed by resume" in report["stuck"]["message"]
    assert '"code":"interrupt-resolved"' in report["repeated"]["message"]
    assert report.ends == ["interrupt", "model-unavailable", "success"]


# --- stopping --------------------------------------------------------------------


@pytest.mark.parametrize(
    "scenario", ["cancel", "cancelAtOnce", "cancelWhileThinking", "cancelWhileCalling", "cancelSubagent"]
)
def test_a_stopped_run_ends_in_order(drive: Drive, version: str, scenario: str) -> None:
    report = drive(scenario)

    assert (report["cancel"]["status"], report["again"]["status"]) == (202, 202)
    assert report["again"]["body"]["status"] == "cancelled"
    assert report.ends == ["cancelled", "success"]
    stopped = next(event for event in report.events if event["type"] in ("RUN_FINISHED", "RUN_ERROR"))
    assert stopped["type"] == ("RUN_FINISHED" if version == "1.0.0" else "RUN_ERROR")


def test_a_stopped_resume_leaves_no_interrupt(drive: Drive, version: str) -> None:
    report = drive("cancelTheResumedRun")

    assert report.ends == ["interrupt", "cancelled"]
    # The older client gets RUN_ERROR, which clears nothing: it has to read history.
    assert report["held"] == (0 if version == "1.0.0" else 1)


def test_a_run_outlives_its_client(drive: Drive) -> None:
    report = drive("leave")

    assert report.ends == ["abort", "success"]
    assert report.roles == ["user", "assistant"] * 2


def test_a_client_may_say_that_leaving_stops_the_run(drive: Drive) -> None:
    report = drive("leaveAndStop")

    assert report["status"] == "cancelled"
    assert report.ends == ["abort", "success"]


# --- reload and reconnect --------------------------------------------------------


def test_a_reload_needs_history_alone(drive: Drive) -> None:
    report = drive("reload")

    assert report.roles == ["user", "reasoning", *_ASKED[1:], "user", "assistant"]


def test_an_interrupt_survives_a_reload(drive: Drive) -> None:
    report = drive("reloadInterrupted")

    assert report.ends == ["success"]
    assert report.roles == _ASKED


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("TEXT_MESSAGE_CONTENT", "slowly"),
        ("REASONING_MESSAGE_CONTENT", "think about it slowly"),
        ("TOOL_CALL_ARGS", "slowly calculate 6*7"),
    ],
)
def test_a_reload_midway_joins_history_and_tail_without_a_seam(drive: Drive, moment: str, text: str) -> None:
    report = drive("reloadMidway", moment, text)

    assert report["activeRun"]["runId"] == report["runId"]
    tail = report.streams[-1]
    ordinal, seq = report["cursor"].split("-")
    assert tail.frames[0].id == f"{ordinal}-{int(seq) + 1}"


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_a_line_that_breaks_after_every_n_events_is_not_seen(drive: Drive, frames: int) -> None:
    report = drive("reconnect", str(frames))

    (stream,) = report.streams
    assert len(report["cuts"]) == (len(stream.frames) - 1) // frames
    assert [frame.id for frame in stream.frames] == [f"1-{n}" for n in range(1, len(stream.frames) + 1)]
    assert report.roles == ["user", "reasoning", *_ASKED[1:]]


def test_another_device_connects_to_a_run_from_its_first_event(drive: Drive) -> None:
    report = drive("connect")

    assert report.ends == ["success", "interrupt", "success"]
    assert report.roles == ["user", "assistant", "user", "reasoning", *_ASKED[1:]]


_MOMENTS = {
    "TEXT_MESSAGE_CONTENT": ("stops", "slowly", "cancelled"),
    "REASONING_MESSAGE_CONTENT": ("stops", "think about it slowly", "cancelled"),
    "TOOL_CALL_ARGS": ("stops", "slowly calculate 6*7", "cancelled"),
    "SUBAGENT_STARTED": (
        "stays",
        'call the tool researcher with {"task": "think about 6 and calculate 6*7"}',
        "success",
    ),
    "STEP_STARTED": ("stays", "think about 6 and calculate 6*7", "success"),
    "RUN_STARTED": ("stays", "think about it", "success"),
}
"""When the page reloads, whether the run is then stopped, what it was asked, and its end."""


@pytest.mark.parametrize("moment", _MOMENTS)
def test_a_page_that_reloads_midway_connects_and_goes_on(drive: Drive, version: str, moment: str) -> None:
    stop, text, end = _MOMENTS[moment]
    if (moment, version) == ("SUBAGENT_STARTED", "0.0.59"):
        moment = "TOOL_CALL_END"

    report = drive("connectMidway", moment, stop, *text.split(" "))

    assert report.ends == [end, "success"]
    assert report.of("RUN_STARTED")[0]["runId"] == report["runId"]
    assert "Your name is Ada" in report.held("went on")[-1]["content"]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("think about 6 and calculate 6*7", ["success", "success"]),
        ("remember that I like tea", ["interrupt", "success"]),
        ("fail mid", ["model-stream-error", "success"]),
    ],
)
def test_a_page_that_reloads_after_the_end_connects_and_goes_on(
    drive: Drive, text: str, ends: list[str]
) -> None:
    assert drive("connectAfter", text).ends == ends


def test_a_page_connects_to_a_thread_that_nobody_has_begun(drive: Drive) -> None:
    report = drive("connectBefore")

    assert report["held"] == []
    assert report.ends == ["success", "success"]


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_connect_stream_on_a_line_that_breaks_goes_on_exactly(drive: Drive, frames: int) -> None:
    report = drive("connectReconnect", str(frames))

    assert report.ends == ["cancelled"]
    assert len(report["cuts"]) > 5


def test_the_same_request_twice_is_one_run(drive: Drive) -> None:
    report = drive("repeat")

    first, second = report.streams
    assert first.raw == second.raw
    assert report.roles == _ASKED


# --- several devices, shared state -----------------------------------------------


def test_a_busy_thread_refuses_or_queues(drive: Drive) -> None:
    report = drive("busy", complaints=("HTTP 409",))

    assert '"code":"run-active"' in report["refused"]["message"]
    assert [stream.events[-1]["type"] for stream in report.streams][-1] == "RUN_FINISHED"


def test_client_and_agent_share_state(drive: Drive) -> None:
    report = drive("sharedState")

    assert report.of("STATE_DELTA")
    states = [event["snapshot"] for event in report.of("STATE_SNAPSHOT")]
    assert (states[0], states[-1]) == ({"count": 1, "items": []}, {"count": 3})


def test_the_application_may_empty_the_state(drive: Drive) -> None:
    assert drive("emptiedState")["state"] == {}


@pytest.mark.parametrize("scenario", ["behind", "page"])
def test_a_client_that_is_behind_keeps_the_order(drive: Drive, scenario: str) -> None:
    report = drive(scenario)

    for held in report["held"]:
        ids = [message["id"] for message in held]
        assert held == [message for message in report["messages"] if message["id"] in ids]
    # Who spoke last has seen everything.
    assert report["held"][-1] == report["messages"]


@pytest.mark.parametrize(
    ("way", "roles"),
    [
        ("truncated", _ASKED),
        ("edited", ["user", "assistant"]),
        ("kept", _ASKED),
    ],
)
def test_a_question_is_answered_again(drive: Drive, way: str, roles: list[str]) -> None:
    report = drive("regenerate", way)

    assert report.roles == ["user", "assistant", *roles, "user", "assistant"]


def test_a_conversation_with_tools_comes_along(drive: Drive) -> None:
    assert drive("importedWithTools")["refused"] == [None, None]
