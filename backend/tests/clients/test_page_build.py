"""What ships of ``clients/``: the committed page is what its sources build, and the package holds what it should.

The page is built in a copy, in a folder of another name and depth than the one where it was built before: a path or a
time in the output would differ. How large it may be is held in ``tests/unit/agentroute/page/test_routes.py``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.clients.conftest import installed
from tests.support.limits import HUNG_SECONDS

pytestmark = pytest.mark.slow

_ROOT = Path(__file__).resolve().parents[3]
_CLIENTS = _ROOT / "clients"
_BUILT = Path("backend") / "src" / "agentroute" / "page" / "built"


@pytest.fixture(scope="module")
def clients() -> Path:
    """``clients/``, with its packages installed from the lock file."""
    installed(_CLIENTS)
    return _CLIENTS


def _npm(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["npm", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"npm {' '.join(arguments)}:\n{done.stdout[-6000:]}{done.stderr[-3000:]}"
    return done.stdout


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("script", ["check", "test"])
def test_the_sources_are_sound(clients: Path, script: str) -> None:
    _npm(clients, "run", script)


@pytest.fixture(scope="module")
def copy(clients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of ``clients/`` in which everything was built."""
    copied = tmp_path_factory.mktemp("elsewhere") / "in" / "a copy" / "clients"
    shutil.copytree(clients, copied, ignore=shutil.ignore_patterns("node_modules", "dist"))
    modules = clients / "node_modules"
    (copied / "node_modules").mkdir()
    for package in modules.iterdir():
        # Its links lead to the workspace: to that of the copy.
        if package.name != "@agentroute":
            (copied / "node_modules" / package.name).symlink_to(package)
    shutil.copytree(modules / "@agentroute", copied / "node_modules" / "@agentroute", symlinks=True)
    _npm(copied, "run", "build")
    return copied


def test_the_committed_page_is_what_its_sources_build(copy: Path) -> None:
    built, committed = _files(copy.parent / _BUILT), _files(_ROOT / _BUILT)

    assert sorted(built) == sorted(committed), "run 'npm run build' in clients/ and commit the result"
    different = [name for name in built if built[name] != committed[name]]
    assert not different, "run 'npm run build' in clients/ and commit the result"


def test_the_package_holds_its_modules_with_types_and_nothing_else(copy: Path) -> None:
    (packed,) = json.loads(_npm(copy, "pack", "--dry-run", "--json", "-w", "js"))

    modules = {path.stem for path in (copy / "js" / "src").iterdir()}
    expected = {f"dist/{module}.{ending}" for module in modules for ending in ("js", "d.ts")}
    assert {file["path"] for file in packed["files"]} == expected | {"package.json", "README.md", "LICENSE"}
    assert packed["name"] == "@agentroute/client"
    assert json.loads((copy / "js" / "package.json").read_text())["peerDependencies"] == {
        "@ag-ui/client": "1.0.0"
    }
