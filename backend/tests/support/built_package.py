"""The package as its users get it: an sdist, the wheel that is made of it, and an environment with nothing else of ours.

Nothing is asked of a package index if uv's cache has the locked versions, as it has after ``script/check``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.limits import INSTALL_SECONDS

ROOT = Path(__file__).parents[3]
BACKEND = ROOT / "backend"
_PROJECT = frozenset(
    {"LICENSE", "README.md", "alembic.ini", "pyproject.toml", "requirements.lock", ".gitignore", "PKG-INFO"}
)
"""What an sdist has beside the sources."""


def sources() -> set[str]:
    """Return the files of the package, as paths below ``backend/``: those of git, and new ones that it does not ignore."""
    listing = _run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src", "alembic"], cwd=BACKEND
    )
    return {name for name in listing.split("\0") if name and (BACKEND / name).is_file()}


def build_sdist(folder: Path) -> Path:
    """Build the sdist of the checkout."""
    _run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)], cwd=BACKEND)
    [sdist] = folder.glob("*.tar.gz")
    return sdist


def build_wheel(sdist: Path, folder: Path) -> Path:
    """Build the wheel of an sdist: there is nothing else that it could be made of."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [source] = folder.iterdir()
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=source)
    [wheel] = folder.glob("*.whl")
    return wheel


def files_of_sdist(sdist: Path) -> set[str]:
    """Return its files below its one folder."""
    with tarfile.open(sdist) as archive:
        return {each.name.split("/", 1)[1] for each in archive.getmembers() if each.isfile()}


def files_of_wheel(wheel: Path) -> set[str]:
    """Return its files without those that say what it is."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def expected_in_sdist() -> set[str]:
    """Return what an sdist of these sources has."""
    return sources() | _PROJECT


def expected_in_wheel() -> set[str]:
    """Return what a wheel of these sources has, each under the name that it is imported by."""
    return {
        f"agentroute/{name}" if name.startswith("alembic/") else name.removeprefix("src/")
        for name in sources()
    }


def find_uv() -> str:
    """Return uv, as ``script/lib.sh`` finds it; the test ends where there is none."""
    own = [ROOT / ".tools" / folder / "bin" / "uv" for folder in ("uv", "uv-target")]
    found = shutil.which("uv") or next((str(path) for path in own if path.exists()), None)
    if found is None:
        reason = "there is no uv: script/check brings one where the environment has to be installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return found


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel and the locked versions into a new environment; returns the folder of its programs."""
    uv = find_uv()
    _run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)])
    python = folder / "bin" / "python"
    pip = [uv, "pip", "install", "--quiet", "--python", str(python)]
    locked = ["--require-hashes", "-r", str(BACKEND / "requirements.lock")]
    try:
        _run([*pip, "--offline", *locked])
    except subprocess.CalledProcessError:
        # The cache has been emptied since.
        _run([*pip, *locked])
    _run([*pip, "--offline", "--no-deps", str(wheel)])
    return folder / "bin"


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment of a user who has no checkout."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "SSL_CERT_FILE") if name in os.environ}
    return {**kept, "HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin"}


def run_program(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> str:
    """Run a program of the environment to its end; returns what it prints."""
    return _run(command, cwd=cwd, env=env)


def _run(command: list[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd or ROOT,
        env=None if env is None else dict(env),
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:])
    done.check_returncode()
    return done.stdout
