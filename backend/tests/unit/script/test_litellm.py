"""``script/litellm`` makes its environment for the Python that is wanted, and says which ones can be wanted."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
COPIED = ("script/litellm", "script/lib.sh", "deploy/litellm/requirements.lock")
VERSIONS = {"3.10": "3.10.13", "3.11": "3.11.7", "3.12": "3.12.1", "3.13": "3.13.0"}
UV = """#!/bin/sh
case "$1 $2" in
--version*) echo "uv 0.13.9" ;;
"python find") for last; do :; done; [ -x "{pythons}/$last" ] && echo "{pythons}/$last" ;;
venv*)
    while [ $# -gt 0 ]; do [ "$1" = --python ] && python=$2; folder=$1; shift; done
    [ -x "$python" ] || python={pythons}/3.11
    echo "$python" >>"{calls}"
    rm -rf "$folder"; mkdir -p "$folder/bin"; ln -s "$python" "$folder/bin/python" ;;
"pip install") ;;
*) exit 2 ;;
esac
"""


class Checkout:
    """A copy of what the script needs, with a uv that notes for which Python it makes environments."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls = folder / "calls"
        for name in COPIED:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self.pythons = folder / "pythons"
        for name, version in VERSIONS.items():
            _program(self.pythons / name, f"#!/bin/sh\necho {version}\n")
        _program(folder / "bin" / "uv", UV.format(pythons=self.pythons, calls=self._calls))

    def install(self, python: str | None = None) -> tuple[int, str]:
        """Run the script as it installs; returns its exit status and what it said."""
        env = {"PATH": f"{self._folder / 'bin'}:{os.defpath}", "HOME": str(self._folder)}
        if python is not None:
            env["AGENTROUTE_PYTHON"] = python
        script = [self._folder / "script" / "litellm", "--install"]
        done = subprocess.run(script, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    @property
    def made_for(self) -> list[str]:
        """The Pythons for which environments were made, in order."""
        return [Path(line).name for line in self._calls.read_text().splitlines()]


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_another_python_makes_the_environment_anew_and_the_same_one_does_not(checkout: Checkout) -> None:
    for python in ("3.12", "3.12", "3.13", None, "3.13", "3.12"):
        assert checkout.install(python)[0] == 0

    assert checkout.made_for == ["3.12", "3.13", "3.12"]


def test_a_python_of_a_version_manager_is_found_by_its_version(checkout: Checkout, tmp_path: Path) -> None:
    program = tmp_path / ".pyenv" / "versions" / "3.13.0" / "bin" / "python3"
    program.parent.mkdir(parents=True)
    (checkout.pythons / "3.13").rename(program)

    assert checkout.install("3.13")[0] == 0
    assert checkout.made_for == ["python3"]


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Checkout) -> None:
    assert checkout.install("3.13")[0] == 0
    (checkout.pythons / "3.13").unlink()

    assert checkout.install()[0] == 0
    assert checkout.made_for == ["3.13", "3.11"]


def test_a_python_that_is_not_supported_is_refused_with_those_that_are(checkout: Checkout) -> None:
    code, said = checkout.install("3.10")

    assert code == 1
    assert "is not a Python 3.11, 3.12 or 3.13" in said
    # Nothing half made is taken for an environment later.
    assert checkout.install()[0] == 0
