"""A page that talks to the service through the real CopilotKit runtime 1.75, with its own client 0.0.59.

Its packages take about 45 s and 290 MB, once.
"""

from __future__ import annotations

import pytest
from tests.clients.conftest import Drive

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("scenario", "ends"),
    [
        ("everything", ["success"]),
        ("secondTurn", ["success", "success"]),
        ("frontendTool", ["success", "success"]),
        ("approve", ["interrupt", "success", "success"]),
        ("decline", ["interrupt", "success", "success"]),
        ("approveOneOfTwo", ["interrupt", "success", "success"]),
        ("approveTwiceInARow", ["interrupt", "interrupt", "success", "success"]),
        ("failure", ["model-unavailable", "success"]),
        ("cancel", ["cancelled", "success"]),
        ("reloadInterrupted", ["success"]),
    ],
)
def test_a_page_behind_copilotkit_holds_what_history_says(
    copilotkit: Drive, scenario: str, ends: list[str]
) -> None:
    assert copilotkit(scenario).ends == ends


def test_it_resumes_under_the_interrupted_run_s_own_id(copilotkit: Drive) -> None:
    report = copilotkit("approveUnderTheSameRun")

    assert report.ends == ["interrupt", "success", "success"]
    first, second, _ = report.streams
    assert first.run_id == second.run_id
    assert "Remembered." in report.held("answered")[-1]["content"]


def test_it_talks_to_each_agent_at_the_agent_s_own_url(copilotkit: Drive) -> None:
    report = copilotkit("withAnotherAgent")

    assert report.ends == ["success", "interrupt", "success"]
    assert {check["history"]["agentId"] for check in report["checks"]} == {"sales"}
    assert report["elsewhere"]["body"]["code"] == "agent-fixed"


@pytest.mark.parametrize(
    ("scenario", "ends"),
    [
        (("connectMidway", "TEXT_MESSAGE_CONTENT", "stops", "slowly"), ["cancelled", "success"]),
        (("connectMidway", "TOOL_CALL_ARGS", "stays", "calculate", "6*7"), ["success", "success"]),
        (("connectAfter", "remember that I like tea"), ["interrupt", "success"]),
        (("connectAfter", "think about 6 and calculate 6*7"), ["success", "success"]),
        (("connectBefore",), ["success", "success"]),
    ],
    ids=lambda value: "-".join(value),
)
def test_a_page_that_reloads_is_served_by_the_server_not_by_the_runtime_s_memory(
    copilotkit: Drive, scenario: tuple[str, ...], ends: list[str]
) -> None:
    assert copilotkit(*scenario).ends == ends
