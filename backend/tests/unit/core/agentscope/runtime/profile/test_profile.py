"""Profiles: the bundled one, what a file may set, and one clear line for each mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.limits import HUNG_SECONDS

from core.agentscope.runtime.profile.profile import STAGES, AgentCode, AgentProfile, load_profile
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid

HEAD = 'name = "Ada"\ndescription = "Helps."\n'


@pytest.fixture
def profile_path(tmp_path: Path) -> Path:
    return tmp_path / "agent.toml"


def test_the_bundled_profile() -> None:
    profile = load_profile()
    assert {tool.name: tool.permission for tool in profile.tools} == {
        "current_time": "allow",
        "calculate": "allow",
        "fetch_url": "ask",
        "remember": "ask",
        "recall": "allow",
        "update_state": "allow",
    }
    assert (profile.stages.intent, profile.stages.report) == ("off", "auto")
    assert (profile.limits.max_iterations, profile.limits.max_tool_calls) == (25, 50)
    assert (profile.context.trigger_ratio, profile.context.tool_result_tokens) == (0.7, 8000)
    assert all(profile.prompt_of(stage).text for stage in STAGES)


def test_the_bundled_profile_states_the_defaults(profile_path: Path) -> None:
    profile_path.write_text(HEAD)
    bare, bundled = load_profile(profile_path), load_profile()
    assert (bare.stages, bare.limits, bare.context) == (bundled.stages, bundled.limits, bundled.context)
    assert bare.tools == ()


def test_a_profile_of_ones_own(profile_path: Path) -> None:
    (profile_path.parent / "plan.md").write_text("You are $agent_name.")
    profile_path.write_text(
        HEAD
        + """
        greeting = "Hi"
        [stages]
        intent = "off"
        [models.execution]
        name = "gpt-5-mini"
        temperature = 0.2
        max_tokens = 100
        [models.report]
        temperature = 1
        [prompts]
        intent = "plan.md"
        [[tools]]
        import = "mypkg.tools:lookup"
        permission = "deny"
        [context]
        trigger_ratio = 0.5
        """
    )
    profile = load_profile(profile_path)
    assert profile.tools[0].reference == "mypkg.tools:lookup"
    assert profile.tools[0].name is None
    assert profile.model_of("execution", "demo").name == "gpt-5-mini"
    assert profile.model_of("report", "demo").name == "demo"
    assert profile.model_of("report", "demo").temperature == 1
    assert profile.prompt_of("intent").text == "You are $agent_name."
    assert "$context" in profile.prompt_of("execution").text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = ", "not TOML: "),
        ('nam = "x"', "nam: unknown key; allowed: name, description, greeting, suggestions, default, access, agent, stages,"),
        ('name = "x"', "description: is missing"),
        (HEAD + 'stages = "all"', "stages: input should be"),
        (HEAD + '[stages]\nintent = "yes"', "stages.intent: input should be 'off' or 'model'"),
        (HEAD + '[stages]\nreport = "never"', "stages.report: input should be 'auto', 'always' or 'off'"),
        (HEAD + '[stages]\nexecution = "off"', "stages.execution: unknown key; allowed: intent, report, title"),
        (HEAD + '[models.plan]\nname = "x"', "models.plan: unknown key; allowed: intent, execution, report"),
        (HEAD + '[models.intent]\nname = "x"', "models.intent is set, but stages.intent is not: set stages.intent = "),
        (HEAD + '[prompts]\nintent = "p.md"', "prompts.intent is set, but stages.intent is not: set stages.intent = "),
        (HEAD + "[models.intent]\ntemperature = 3", "models.intent.temperature: input should be less than or equal to 2"),
        (HEAD + '[[tools]]\nnam = "x"\npermission = "ask"', "tools[0].nam: unknown key; allowed: name, import, permission"),
        (HEAD + '[[tools]]\nname = "x"', "tools[0].permission: is missing; allowed: 'allow', 'ask', 'deny'"),
        (HEAD + '[[tools]]\nname = "x"\npermission = "no"', "tools[0].permission: input should be 'allow', 'ask' or 'deny'"),
        (HEAD + '[[tools]]\npermission = "ask"', "tools[0]: set either name"),
        (HEAD + '[[tools]]\nname = "x"\nimport = "a:b"\npermission = "ask"', "tools[0]: set either name"),
        (HEAD + '[[tools]]\nname = "x"\npermission = "ask"\n' * 2, "tools: x is listed twice"),
        (HEAD + 'tools = "x"', "tools: input should be a valid array"),
        (HEAD + '[[subagents]]\nname = "a"\ndescription = "d"\nprompt = "p"\ntools = [1]', "subagents[0].tools[0]: input"),
        (HEAD + '[stages]\nintent = "model"\n[prompts]\nintent = "no.md"', "prompts.intent: "),
        (HEAD + "[limits]\nmax_iterations = 0", "limits.max_iterations: input should be greater than or equal to 1"),
        (HEAD + "[limits]\nmax_iterations = 0\nmax_tool_calls = -1", "(and 1 more)"),
        (HEAD + '[knowledge]\nwhen = "tool"', "knowledge.retrieve: is missing"),
        (HEAD + '[knowledge]\nretrieve = "a:b"\nwhen = "often"', "knowledge.when: input should be 'tool', 'always' or 'code'"),
        (HEAD + '[knowledge]\nretrieve = "a:b"\nwhen = "always"\nname = "look"', "knowledge: name is that of the tool, and "),
        (HEAD + '[knowledge]\nretrieve = "a:b"\nmax_bytes = 10', "knowledge.max_bytes: input should be greater than or equal to "),
        (HEAD + '[agent]\nfactory = "a:b"\nrunner = "a:c"', "agent: factory and runner are both set: keep the one"),
        (HEAD + "[context]\ntrigger_ratio = 1", "context.trigger_ratio: input should be less than or equal to 0.9"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_file_the_key_and_what_is_allowed(
    profile_path: Path, content: str, message: str
) -> None:
    profile_path.write_text(content)
    with pytest.raises(ProfileInvalid) as caught:
        load_profile(profile_path)
    text = str(caught.value)
    assert text.startswith(f"{profile_path}: ")
    assert message in text
    assert "\n" not in text


def test_a_prompt_with_a_wrong_placeholder_stops_the_start(profile_path: Path) -> None:
    (profile_path.parent / "mine.md").write_text("You are $agentname.")
    profile_path.write_text(HEAD + '[prompts]\nreport = "mine.md"')
    with pytest.raises(
        ProfileInvalid, match=r"prompts\.report: .*unknown placeholder \$agentname; allowed: \$agent_name"
    ):
        load_profile(profile_path)


def test_a_missing_file_names_the_setting(profile_path: Path) -> None:
    with pytest.raises(ProfileInvalid, match="AGENT_PROFILE_PATH"):
        load_profile(profile_path)


def test_a_file_that_is_not_text_is_refused(profile_path: Path) -> None:
    profile_path.write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileInvalid, match="not TOML"):
        load_profile(profile_path)


def test_the_api_process_can_read_a_profile_without_agentscope() -> None:
    code = "import sys, core.agentscope.runtime.profile.profile as p; p.load_profile(); sys.exit('agentscope' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=HUNG_SECONDS).returncode == 0


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"middlewares": [{"import": "shop.rag:create"}]}, "middlewares: a runner"),
        ({"skills": {"paths": ["refunds"]}}, "skills.paths: a runner"),
    ],
)
def test_what_surrounds_an_agent_is_refused_beside_a_runner(part: dict[str, Any], named: str) -> None:
    class Runner(AgentCode):
        runner: str | None = "shop.flow:run"

    with pytest.raises(ValueError, match=named):
        AgentProfile.model_validate({"name": "A", "description": "d", "agent": Runner()} | part)
