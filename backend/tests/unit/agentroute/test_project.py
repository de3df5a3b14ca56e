"""The folder of a developer: which profile is found, what ``.env`` says, and which names are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentroute.project import find_project, renew_env
from core.errors import ConfigurationError

LAYOUT = {
    "one/agent.toml": "",
    "one/agents/sales.toml": "",
    "one/.env": "",
    "several/agents/sales.toml": "",
    "several/pyproject.toml": "",
    "profiles/sales.toml": "",
    "named/.env": "AGENT_PROFILE_PATH=profiles/mine.toml\n",
    "empty/pyproject.toml": "",
}

FOUND = [
    ("one", {}, "one", "one/agent.toml"),
    ("one/agent.toml", {}, "one", "one/agent.toml"),
    ("one", {"AGENT_PROFILE_PATH": "profiles/sales.toml"}, "one", "one/agent.toml"),
    ("several", {}, "several", "several/agents"),
    ("several/agents", {}, "several", "several/agents"),
    ("several/agents/sales.toml", {}, "several", "several/agents/sales.toml"),
    ("profiles", {}, "profiles", "profiles"),
    ("named", {}, "named", "named/profiles/mine.toml"),
    (None, {}, "", None),
    (None, {"AGENT_PROFILE_PATH": "profiles/sales.toml"}, "", "profiles/sales.toml"),
]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in LAYOUT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


@pytest.mark.parametrize(("given", "environ", "folder", "profile"), FOUND)
def test_the_profile_of_a_folder_is_found(
    root: Path, given: str | None, environ: dict[str, str], folder: str, profile: str | None
) -> None:
    found = find_project(None if given is None else Path(given), environ)

    assert (found.folder, found.profile) == (root / folder, root / profile if profile else None)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nowhere", "nowhere: there is no such file or folder"),
        ("one/.env", "one/.env is no profile: name an agent.toml"),
        (
            "empty",
            "empty: there is neither an agent.toml nor a folder agents with profiles; `agentroute init`",
        ),
    ],
)
def test_what_is_no_project_is_refused_in_one_line(root: Path, given: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        find_project(Path(given), {})

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_environment_comes_before_the_file_and_no_value_is_shown(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (root / "one" / ".env").write_text(
        "# keys\nSHOP_KEY='very secret'\nHOME=/nowhere\nEMPTY=\nNO_VALUE\n", encoding="utf-8"
    )
    environ = {"HOME": "/home/ada", "PYTHONPATH": "/elsewhere"}

    project = find_project(Path("one"), environ)
    project.enter(environ)
    project.enter(environ)

    assert "very secret" not in repr(project)
    assert environ == {
        "HOME": "/home/ada",
        "SHOP_KEY": "very secret",
        "EMPTY": "",
        "AGENT_PROFILE_PATH": str(root / "one" / "agent.toml"),
        "PYTHONPATH": f"{root / 'one'}:/elsewhere",
    }
    assert sys.path[0] == str(root / "one")


def test_changed_variables_are_used_except_settings_and_those_of_the_environment(root: Path) -> None:
    file = root / "one" / ".env"
    file.write_text("KEY=1\nGONE=1\nSAME=1\nHOME=/nowhere\nAGENT_DEMO=1\n", encoding="utf-8")
    environ = {"HOME": "/home/ada"}
    project = find_project(Path("one"), environ)
    environ.update(project.env)
    file.write_text("KEY=2\nNEW=1\nSAME=1\nHOME=/elsewhere\nAGENT_DEMO=2\n", encoding="utf-8")

    project, used, settings = renew_env(project, environ)

    assert (used, settings) == (["GONE", "KEY", "NEW"], ["AGENT_DEMO"])
    assert environ == {"HOME": "/home/ada", "KEY": "2", "NEW": "1", "SAME": "1", "AGENT_DEMO": "1"}
    assert project.env == {"KEY": "2", "NEW": "1", "SAME": "1", "AGENT_DEMO": "1"}


def test_a_file_of_variables_that_is_no_text_is_refused_without_its_bytes(root: Path) -> None:
    (root / "one" / ".env").write_bytes(b"KEY=\xff\xfesecret")

    with pytest.raises(ConfigurationError, match=r"\.env is not UTF-8 text") as refused:
        find_project(Path("one"), {})

    assert refused.value.__cause__ is None
