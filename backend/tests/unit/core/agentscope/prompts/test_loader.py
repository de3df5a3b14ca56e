"""Prompts: the bundled files, placeholders, and mistakes found before the first run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.agentscope.prompts.loader import PROMPT_VALUES, Prompt, PromptInvalid, load_prompt

VALUES = {"agent_name": "Ada", "current_date": "2026-11-22", "context": "Facts.", "plan": "1. Look."}


@pytest.mark.parametrize("name", PROMPT_VALUES)
def test_a_bundled_prompt_uses_the_values_of_its_stage(name: str) -> None:
    prompt = load_prompt(name)
    assert prompt.placeholders <= PROMPT_VALUES[name]
    text = prompt.render(**VALUES)
    assert "Ada" in text
    assert "$" not in text


def test_the_execution_prompt_has_room_for_context_and_plan() -> None:
    text = load_prompt("execution").render(**VALUES)
    assert "Facts.\n\n1. Look." in text


def test_empty_values_leave_no_hole() -> None:
    text = load_prompt("execution").render(**VALUES | {"context": "", "plan": ""})
    assert "\n\n\n" not in text
    assert text == text.strip()


def test_a_missing_value_is_named() -> None:
    with pytest.raises(PromptInvalid, match=r"prompt execution: no value for \$context, \$plan"):
        load_prompt("execution").render(agent_name="Ada", current_date="today")


@settings(deadline=None)  # a busy machine is not a failure
@given(st.text(st.characters(exclude_characters="\n"), max_size=40))
def test_a_value_is_taken_as_it_is(value: str) -> None:
    assert Prompt("p", "a $context z").render(context=f"<{value}>$plan") == f"a <{value}>$plan z"


def test_braces_and_dollar_signs_are_text(tmp_path: Path) -> None:
    path = tmp_path / "own.md"
    path.write_text('Answer {"a": {}} for $$5, ${agent_name}!')
    assert load_prompt(path).render(agent_name="Ada") == 'Answer {"a": {}} for $5, Ada!'


def test_an_own_file_may_be_held_to_the_values_of_a_stage(tmp_path: Path) -> None:
    path = tmp_path / "own.md"
    path.write_text("$agent_name $user")
    assert load_prompt(path).placeholders == {"agent_name", "user"}
    with pytest.raises(
        PromptInvalid, match=r"unknown placeholder \$user; allowed: \$agent_name, \$current_date"
    ):
        load_prompt(path, values=PROMPT_VALUES["intent"])


@pytest.mark.parametrize(
    ("content", "message"),
    [(b" \n", "is empty"), (b"\xff", "is not UTF-8"), (b"costs $5", "write \\$\\$"), (b"a" * 300_000, "larger than 256 KiB")],
)  # fmt: skip
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "own.md"
    path.write_bytes(content)
    with pytest.raises(PromptInvalid, match=message):
        load_prompt(path)


def test_an_unknown_name_or_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PromptInvalid, match="allowed: intent, execution, report, or a path"):
        load_prompt("summary")
    with pytest.raises(PromptInvalid, match="cannot be read"):
        load_prompt(tmp_path / "absent.md")
