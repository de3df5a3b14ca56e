"""What a start refuses without a server: identity, transcription, and the agent's profile with its tools."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.limits import HUNG_SECONDS

from agentroute import start_checks
from agentroute.check_result import CheckResult
from agentroute.profile_check import check_profile, check_public_url, check_secrets
from agentroute.start_checks import (
    SERVE_CHECKS,
    WORKER_CHECKS,
    Check,
    check_identity,
    check_transcription,
    first_failure,
)
from core.config import Settings

HEAD = 'name = "Ada"\ndescription = "Helps."\n'


def settings(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


@pytest.mark.parametrize(
    ("given", "found", "fix"),
    [
        ({}, "AGENT_IDENTITY__MODE is jwt but there is no secret", "Set AGENT_IDENTITY__JWT_SECRET"),
        (
            {"identity": {"mode": "local"}, "server": {"host": "192.0.2.1"}},
            "AGENT_IDENTITY__MODE=local does not authenticate",
            "Set AGENT_SERVER__HOST",
        ),
    ],
)
async def test_identity_that_a_start_refuses(given: dict[str, Any], found: str, fix: str) -> None:
    result = await check_identity(settings(**given))

    assert (result.ok, result.exit_code) == (False, 2)
    assert result.found.startswith(found)
    assert result.fix.startswith(fix)


@pytest.mark.parametrize("identity", [{"mode": "local"}, {"jwt_secret": "s" * 32}])
async def test_identity_that_is_complete(identity: dict[str, str]) -> None:
    assert (await check_identity(settings(identity=identity))).ok


async def test_transcription_without_its_package_is_refused() -> None:
    result = await check_transcription(settings(transcription={"engine": "whisper"}))

    assert not result.ok
    assert "agentroute[whisper]" in result.fix


async def test_transcription_may_be_off() -> None:
    assert (await check_transcription(settings())).found.startswith("off")


async def test_the_first_failure_ends_the_checks() -> None:
    failed = await first_failure(settings(), (check_transcription, check_identity))

    assert failed is not None
    assert failed.name == "Identity"
    assert await first_failure(settings(), (check_transcription,)) is None


@pytest.mark.parametrize(
    ("wait_seconds", "repeated", "asked"),
    [
        (0.0, True, 1),
        (HUNG_SECONDS, True, 3),
        # A wrong setting stays wrong: it is said at once.
        (HUNG_SECONDS, False, 1),
    ],
)
async def test_a_server_that_starts_later_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, wait_seconds: float, repeated: bool, asked: int
) -> None:
    answers = [CheckResult("Postgres", ok, "") for ok in (False, False, True)]
    given: list[CheckResult] = []

    async def check(_settings: Settings) -> CheckResult:
        given.append(answers[len(given)])
        return given[-1]

    monkeypatch.setattr(start_checks, "_MAY_PASS_LATER", {check} if repeated else set())
    failed = await first_failure(settings(), (check,), wait_seconds=wait_seconds)

    assert len(given) == asked
    assert (failed is None) == (asked == 3)


@pytest.mark.parametrize(
    ("profile", "complaint"),
    [
        (
            """
            [[tools]]
            name = "remember"
            permission = "ask"
            [[subagents]]
            name = "clerk"
            description = "d"
            prompt = "p"
            tools = ["remember"]
            """,
            'subagent clerk: the tool remember must have permission = "allow", because a subagent cannot ask the user',
        ),
        (
            """
            [[subagents]]
            name = "clerk"
            description = "d"
            prompt = "p"
            tools = ["calculate"]
            """,
            "subagent clerk: the profile has no tool calculate; its tools are: none",
        ),
        (
            """
            [[tools]]
            import = "broken_tools:send"
            permission = "allow"
            """,
            "broken_tools.py:3: NameError: name 'undefined_name' is not defined",
        ),
    ],
    ids=["subagent that would ask", "subagent without its tool", "bug in a module of tools"],
)
async def test_a_profile_that_a_worker_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, complaint: str
) -> None:
    (tmp_path / "broken_tools.py").write_text("def send() -> None: ...\n\nundefined_name()\n")
    (tmp_path / "agent.toml").write_text(HEAD + profile)
    monkeypatch.syspath_prepend(str(tmp_path))

    result = await check_profile(settings(profile_path=tmp_path / "agent.toml"))

    assert not result.ok
    assert complaint in result.found


async def test_another_model_of_the_demo_is_accepted_before_its_address_is_known(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(HEAD + '[models.execution.fallback]\nname = "spare"\n')

    assert (await check_profile(settings(profile_path=tmp_path / "agent.toml"))).ok


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ('[[tools]]\nname = "no_such"\npermission = "ask"', "sales.toml: no_such: no built-in tool"),
        ('[models.execution.fallback]\nname = "x"\napi_key_env = "NO_KEY"', "sales.toml: models.execution.fallback"),
        ('[[mcp]]\nname = "m"\nurl = "https://${NO_HOST}/"', "sales.toml: mcp"),
        ("default = true", "support.toml have default = true"),
    ],
)  # fmt: skip
async def test_a_mistake_in_one_of_several_agents_names_its_file(
    tmp_path: Path, mistake: str, complaint: str
) -> None:
    (tmp_path / "support.toml").write_text("default = true\n" + HEAD)
    (tmp_path / "sales.toml").write_text(HEAD + mistake)

    result = await check_profile(settings(profile_path=tmp_path))

    assert not result.ok
    assert complaint in result.found


async def test_the_agents_of_a_folder_are_listed(tmp_path: Path) -> None:
    (tmp_path / "support.toml").write_text("default = true\n" + HEAD)
    (tmp_path / "sales.toml").write_text(HEAD)

    found = (await check_profile(settings(profile_path=tmp_path))).found

    assert re.fullmatch(r"sales: \w+, 0 tools; support \(default\): \w+, 0 tools", found)


MCP = '[[mcp]]\nname = "github"\nurl = "https://{}.example.com/mcp"\nauth = "{}"\n'


@pytest.mark.parametrize("check", [SERVE_CHECKS, WORKER_CHECKS], ids=["serve", "worker"])
async def test_a_server_of_users_needs_a_key(tmp_path: Path, check: tuple[Check, ...]) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(HEAD + MCP.format("a", "user-token"))
    without = await check_secrets(settings(profile_path=path))
    key = base64.b64encode(bytes(range(32))).decode()

    assert check_secrets in check
    assert (without.ok, without.exit_code) == (False, 2)
    assert "AGENT_SECRETS__KEY is not set, and users connect themselves to github" in without.line
    assert "Set it to the output of `openssl rand -base64 32`" in without.line
    assert (await check_secrets(settings(profile_path=path, secrets={"key": key}))).ok
    assert (await check_secrets(settings())).found == "no key; nothing needs one"
    hooks = await check_secrets(settings(webhooks={"run_hosts": ["hooks.example.com"]}))
    assert (hooks.ok, "runs may name webhooks" in hooks.found) == (False, True)


@pytest.mark.parametrize("check", [SERVE_CHECKS, WORKER_CHECKS], ids=["serve", "worker"])
async def test_a_login_needs_a_public_address(tmp_path: Path, check: tuple[Check, ...]) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(HEAD + MCP.format("a", "oauth"))
    without = await check_public_url(settings(profile_path=path))

    assert check_public_url in check
    assert (without.ok, without.exit_code) == (False, 2)
    assert "AGENT_SERVER__PUBLIC_URL is not set, and users log in at github" in without.line
    assert "Set it to the address at which browsers reach this service" in without.line
    server = {"public_url": "https://agents.example.com"}
    assert (await check_public_url(settings(profile_path=path, server=server))).ok
    assert (await check_public_url(settings())).ok


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (MCP.format("a", "user-token"), None),
        (MCP.format("a", "user-token").replace(".com", ".com:443").replace("https", "HTTPS"), None),
        (MCP.format("a", "user-token").partition("auth")[0], None),
        (MCP.format("a", "oauth"), "has another url, auth or oauth"),
        (MCP.format("b", "user-token"), "has another url, auth or oauth"),
    ],
)
async def test_a_name_that_users_connect_to_means_one_server(
    tmp_path: Path, other: str, told: str | None
) -> None:
    (tmp_path / "a.toml").write_text(HEAD + "default = true\n" + MCP.format("a", "user-token"))
    (tmp_path / "b.toml").write_text(HEAD + other)
    result = await check_profile(settings(profile_path=tmp_path))

    assert result.ok == (told is None)
    if told is not None:
        assert result.found.startswith(f"{tmp_path / 'b.toml'}: mcp github: {told}")
        assert str(tmp_path / "a.toml") in result.found
