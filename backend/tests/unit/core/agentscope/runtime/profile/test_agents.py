"""The agents of a deployment, from a file or a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.agentscope.runtime.profile.agents import load_agents
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid

DEFAULT = "default = true"


def write(folder: Path, **files: str) -> Path:
    for name, extra in files.items():
        (folder / f"{name}.toml").write_text(f'name = "{name}"\ndescription = "d"\n{extra}\n')
    return folder


def test_the_bundled_agent_is_the_only_one_and_keeps_no_id() -> None:
    agents = load_agents()

    assert (list(agents.profiles), agents.default_id, agents.keeps_ids) == (["default"], "default", False)
    assert agents.name_of(None) == agents.profiles["default"].name


@pytest.mark.parametrize(
    ("name", "agent_id"), [("support", "support"), ("My Agent", "default"), ("Ada", "default")]
)
def test_a_file_is_one_agent_named_after_it_where_it_can_be(tmp_path: Path, name: str, agent_id: str) -> None:
    agents = load_agents(write(tmp_path, **{name: ""}) / f"{name}.toml")

    assert (list(agents.profiles), agents.default_id, agents.keeps_ids) == ([agent_id], agent_id, False)


def test_a_folder_has_an_agent_in_each_file(tmp_path: Path) -> None:
    write(tmp_path, support=DEFAULT, sales='access = ["group:sales"]')
    (tmp_path / "notes.md").write_text("not an agent")
    (tmp_path / ".sales.toml").write_text("an editor's copy")
    (tmp_path / "more").mkdir()
    (tmp_path / "old.toml").mkdir()
    agents = load_agents(tmp_path)

    assert sorted(agents.profiles) == ["sales", "support"]
    assert (agents.default_id, agents.keeps_ids) == ("support", True)
    assert agents.profiles["sales"].access == ("group:sales",)
    assert [agents.name_of(each) for each in (None, "sales", "gone")] == ["support", "sales", "gone"]


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    write(tmp_path, support=DEFAULT)
    (tmp_path / "sales.toml").symlink_to(tmp_path / "gone")

    with pytest.raises(ProfileInvalid, match=r"sales\.toml"):
        load_agents(tmp_path)


def test_the_only_file_of_a_folder_is_the_default(tmp_path: Path) -> None:
    agents = load_agents(write(tmp_path, sales=""))

    assert (agents.default_id, agents.keeps_ids) == ("sales", True)


def test_a_prompt_is_relative_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "sales.md").write_text("You sell.")
    agents = load_agents(write(tmp_path, sales='[prompts]\nexecution = "sales.md"'))

    assert agents.profiles["sales"].prompt_of("execution").render() == "You sell."


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "{folder}: the folder has no agent: put a file like support.toml there; see AGENT_PROFILE_PATH"),
        (
            {"sales": "", "support": ""},
            "{folder}: no agent is the default: write default = true into one of sales.toml, support.toml",
        ),
        (
            {"sales": DEFAULT, "support": DEFAULT},
            "{folder}: sales.toml and support.toml have default = true; only one agent is the default",
        ),
        ({"Sales": ""}, "{folder}/Sales.toml: the file's name is the agent's id: up to 64 of a-z, 0-9, - and _"),
        ({"a" * 65: ""}, ".toml: the file's name is the agent's id"),
        ({"-a": ""}, "{folder}/-a.toml: the file's name is the agent's id"),
        ({"sales": "nam = 1", "support": DEFAULT}, "{folder}/sales.toml: nam: unknown key"),
        ({"sales": "access = []"}, "{folder}/sales.toml: access: "),
        ({"sales": 'access = ["sales"]'}, "{folder}/sales.toml: access[0]: 'sales' is no rule: write group:NAME"),
        ({"sales": 'access = ["claim:a"]'}, "{folder}/sales.toml: access[0]: "),
    ],
    ids=["empty", "no default", "two defaults", "upper case", "too long", "dash first", "mistake", "nobody", "no rule", "claim without value"],
)  # fmt: skip
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(ProfileInvalid) as refused:
        load_agents(write(tmp_path, **files))

    assert message.format(folder=tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_path_that_is_not_there_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ProfileInvalid, match=r"cannot be read .*; see AGENT_PROFILE_PATH"):
        load_agents(tmp_path / "agents")
