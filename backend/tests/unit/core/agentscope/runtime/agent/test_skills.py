"""Skills of a profile: read once, offered to the model, and never a way out of their folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from agentscope.agent import Agent
from agentscope.skill import Skill
from agentscope.tool import Toolkit
from tests.support.model_in_memory import Asks
from tests.support.stage_run import PICK, Run

from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.agent.skills import VIEWER, load_skills
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.schemas.internal_events import InterruptRequested, ToolResult

FRONT = "---\nname: {name}\ndescription: How to refund.\n---\n"


def skill(folder: Path, name: str = "refunds", text: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(text or FRONT.format(name=name) + "Ask first.\n", encoding="utf-8")
    return folder


@pytest.fixture
def refunds(tmp_path: Path) -> Path:
    folder = skill(tmp_path / "skills" / "refunds")
    (folder / "rules").mkdir()
    (folder / "rules" / "eu.md").write_text("14 days.", encoding="utf-8")
    (folder / "logo.png").write_bytes(b"\x89PNG\0\0")
    (folder / "big.txt").write_text("é" * 200_000, encoding="utf-8")
    (folder / ".env").write_text("KEY=secret", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "out").symlink_to(tmp_path)
    (folder / "inner.md").symlink_to(folder / "rules" / "eu.md")
    return folder


def view(**arguments: str) -> Asks:
    return Asks(VIEWER, json.dumps(arguments), id="v1")


async def viewed(refunds: Path, **arguments: str) -> ToolResult:
    run = Run([view(**arguments)], ["done"], skills={"paths": [str(refunds)]})
    await run.run()
    assert not run.of(InterruptRequested)
    (result,) = run.of(ToolResult)
    return result


async def test_the_model_is_told_of_a_skill_and_not_where_it_is(refunds: Path) -> None:
    run = Run(["hello"], skills={"paths": [str(refunds)]})

    await run.run()

    prompt = str(run.model.asked[0]["messages"][0]["content"])
    assert "<name>refunds</name>" in prompt
    assert "How to refund." in prompt
    assert str(refunds.parent) not in prompt
    assert run.model.offered == [["Skill", "pay"]]


async def test_without_skills_nothing_is_added() -> None:
    run = Run(["hello"])

    await run.run()

    assert run.model.offered == [["pay"]]
    assert "agent-skills" not in str(run.model.asked[0]["messages"][0]["content"])


@pytest.mark.parametrize(
    ("arguments", "state", "text"),
    [
        ({}, "success", "Ask first.\n\nFiles of this skill: big.txt, inner.md, logo.png, rules/eu.md"),
        ({"file": "SKILL.md"}, "success", "Ask first."),
        ({"file": "rules/eu.md"}, "success", "14 days."),
        ({"file": "inner.md"}, "success", "14 days."),
        ({"file": "logo.png"}, "error", "The file is no text"),
        ({"file": "big.txt"}, "success", "[truncated: "),
        ({"skill": "returns"}, "error", "There is no such skill. The skills are: refunds."),
    ],
)
async def test_a_skill_s_instructions_and_files_are_read(
    refunds: Path, arguments: dict[str, str], state: str, text: str
) -> None:
    result = await viewed(refunds, **{"skill": "refunds"} | arguments)

    assert result.state == state
    assert text in result.content


@pytest.mark.parametrize(
    "file",
    [
        "../../secret.txt",
        "/etc/passwd",
        "link.txt",
        "out/secret.txt",
        "rules/../../../secret.txt",
        ".env",
        ".",
    ],
)
async def test_no_name_leads_out_of_the_folder_of_a_skill(refunds: Path, file: str) -> None:
    result = await viewed(refunds, skill="refunds", file=file)

    assert result.state == "error"
    assert "The skill has no such file" in result.content
    result = await viewed(refunds, skill=f"../refunds/{file}")
    assert result.state == "error"


async def test_a_file_that_becomes_a_link_later_is_not_followed(refunds: Path, tmp_path: Path) -> None:
    run = Run([view(skill="refunds", file="rules/eu.md")], ["done"], skills={"paths": [str(refunds)]})
    shutil.rmtree(refunds / "rules")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "eu.md").write_text("secret", encoding="utf-8")
    (refunds / "rules").symlink_to(tmp_path / "rules")

    await run.run()

    (result,) = run.of(ToolResult)
    assert (result.state, "secret" in result.content) == ("error", False)


async def test_a_factory_s_toolkit_has_its_own_skills_and_those_of_the_profile(refunds: Path) -> None:
    def create(run: AgentRun) -> Agent:
        own = Skill("sizes", "Which size fits.", "sizes", "Measure.", 0.0)
        return Agent("shop", "Sell.", run.model, toolkit=Toolkit(skills_or_loaders=[own]))

    calls: list[Any] = [
        view(skill="sizes"),
        Asks(VIEWER, '{"skill": "refunds", "file": "rules/eu.md"}', id="v2"),
    ]
    run = Run(calls, ["done"], factory=create, skills={"paths": [str(refunds)]})
    await run.run()

    assert [result.content for result in run.of(ToolResult)] == ["Measure.", "14 days."]
    assert str(refunds.parent) not in str(run.model.asked[0]["messages"][0]["content"])


async def test_a_tool_of_the_client_does_not_take_the_place_of_the_one_that_reads_skills(
    refunds: Path,
) -> None:
    run = Run(
        [view(skill="refunds")],
        ["done"],
        skills={"paths": [str(refunds)]},
        tools=[PICK | {"name": VIEWER}],
    )

    await run.run()

    assert [result.state for result in run.of(ToolResult)] == ["success"]


MISTAKES = {
    "no front matter": ("Ask first.", "its front matter has no name; begin the file with ---"),
    "no description": ("---\nname: a\n---\n", "its front matter has no description"),
    "empty": ("---\nname: ' '\ndescription: d\n---\n", "its front matter has no name"),
    "not YAML": ("---\nname: [a\ndescription: d\n---\n", "its front matter is not YAML: line 3: "),
    "a list": ("---\n- a\n---\n", "its front matter"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_skill_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path, mistake: str) -> None:
    text, complaint = MISTAKES[mistake]
    folder = skill(tmp_path / "refunds", text=text)

    with pytest.raises(ProfileInvalid) as refused:
        load_skills([folder])

    assert str(refused.value).startswith(f"skills.paths[0]: {folder / 'SKILL.md'}: ")
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_folders_that_cannot_be_used_are_refused_with_what_to_do(tmp_path: Path, refunds: Path) -> None:
    latin = skill(tmp_path / "latin")
    (latin / "SKILL.md").write_bytes(b"---\nname: caf\xe9\n---\n")
    many = skill(tmp_path / "many", "many")
    for number in range(201):
        (many / f"{number}.txt").touch()
    for folders, complaint in (
        ([tmp_path / "nowhere"], "there is no such folder"),
        ([refunds.parent], "has no SKILL.md; name its folders one by one: refunds"),
        ([tmp_path / "skills" / "refunds" / "rules"], "has no SKILL.md; write one, or correct the path"),
        ([refunds, refunds.parent / "." / "refunds"], "is listed twice"),
        ([refunds, skill(tmp_path / "other")], "the name refunds is taken by refunds"),
        ([latin], "is not UTF-8"),
        ([many], "more than 200 files"),
    ):
        with pytest.raises(ProfileInvalid) as refused:
            load_skills(folders)
        assert complaint in str(refused.value)
