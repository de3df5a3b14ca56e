"""A user's folder may hold a ``core`` or a ``models``: the service still runs, and says which of them is out of reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.limits import HUNG_SECONDS

from agentroute.own_packages import OWN_PACKAGES, shadowed_packages

_TAKEN = 'raise RuntimeError("the package of a user was imported")\n'


@pytest.fixture
def user_folder(tmp_path: Path) -> Path:
    for name in ("core", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(_TAKEN)
    (tmp_path / "v1.py").write_text(_TAKEN)
    return tmp_path


def test_the_service_imports_its_own_packages(user_folder: Path) -> None:
    code = "import agentroute, core.config, models, v1.agent.service, agentroute.cli; print(core.__file__)"

    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": str(user_folder)},
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert str(user_folder) not in done.stdout


def test_what_is_out_of_reach_is_named(user_folder: Path) -> None:
    found = shadowed_packages([str(user_folder), str(user_folder), str(user_folder / "absent")])

    assert [(each.name, each.path) for each in found] == [
        ("core", user_folder / "core"),
        ("models", user_folder / "models"),
        ("v1", user_folder / "v1.py"),
    ]
    assert found[0].line == (
        f"{user_folder / 'core'} has the name of a package of AgentRoute, so your tools cannot import it: rename core"
    )


def test_folders_without_python_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights.bin").touch()

    assert shadowed_packages([str(tmp_path)]) == []


def test_this_installation_shadows_nothing() -> None:
    assert shadowed_packages() == []


def test_every_package_of_the_service_is_protected() -> None:
    source = Path(__file__).parents[3] / "src"

    assert {each.name for each in source.iterdir() if (each / "__init__.py").exists()} == set(OWN_PACKAGES)
