"""Lists of parts say what the locks say; an audit that could not look says so, and is no success."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
LOCKS = [
    ROOT / name
    for name in sorted(
        subprocess.run(
            ["git", "ls-files", "--", "*requirements*.lock", "*package-lock.json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
    )
]


@pytest.fixture(scope="module", autouse=True)
def _scripts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "script")
        yield


def of_script(name: str) -> Any:
    module: ModuleType = importlib.import_module(name)
    return module


def place(lock: Path) -> str:
    return lock.relative_to(ROOT).as_posix()


def test_every_lock_of_the_repository_is_found() -> None:
    assert of_script("locked").locks() == LOCKS
    assert {"backend/requirements.lock", "clients/package-lock.json"} <= {*map(place, LOCKS)}


@pytest.mark.parametrize("lock", LOCKS, ids=place)
def test_a_list_has_every_package_with_its_version_and_all_hashes(lock: Path) -> None:
    found = of_script("sbom").list_of(lock)
    text = lock.read_text()

    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    parts = {(each["name"], each["version"]): each for each in found["components"]}
    assert len(parts) == len({each["bom-ref"] for each in found["components"]}) == len(found["components"])
    hashes = [each["content"] for part in found["components"] for each in part["hashes"]]
    if lock.suffix == ".lock":
        pinned = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==([^\s;]+)", text, re.MULTILINE)
        assert {(name.lower().replace("_", "-").replace(".", "-"), version) for name, version in pinned} == {
            *parts
        }
        assert sorted(hashes) == sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", text))
    else:
        entries = json.loads(text)["packages"]
        installed = {path: entry for path, entry in entries.items() if "integrity" in entry}
        assert {name for name, _ in parts} == {
            entry.get("name", path.split("node_modules/")[-1]) for path, entry in installed.items()
        }
        assert {version for _, version in parts} == {entry["version"] for entry in installed.values()}
        assert len(set(hashes)) == len({entry["integrity"] for entry in installed.values()})
    assert all(part["purl"].startswith(("pkg:pypi/", "pkg:npm/")) for part in found["components"])


def test_the_lists_are_written_and_are_the_same_every_time(tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in of_script("sbom").write_all(tmp_path / "one")}
    again = {path.name: path.read_bytes() for path in of_script("sbom").write_all(tmp_path / "two")}

    assert first == again
    assert len(first) == len(LOCKS)


def test_a_package_without_a_hash_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("one==1.0 \\\n    --hash=sha256:00\ntwo==2.0\n")

    with pytest.raises(ValueError, match=re.escape("no hash of pkg:pypi/two@2.0")):
        of_script("locked").packages(lock)


# --- the advisories ---


LOCK = """\
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:00
numpy==2.5.0 ; python_full_version >= '3.12' \\
    --hash=sha256:01
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:02
"""
VULNERABLE = {
    "name": "colorama",
    "version": "0.4.6",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["0.4.7"], "aliases": [], "description": "d"}],
}


class Databases:
    """Stands for pip-audit and npm. Each package has no vulnerability, unless ``python`` says something else of it."""

    def __init__(self, python: dict[str, Any] | None = None, npm: str = '{"vulnerabilities": {}}') -> None:
        self.python = python or {}
        self.npm = npm
        self.asked: list[list[str]] = []

    def __call__(self, command: Sequence[str], folder: Path) -> Any:
        answer = of_script("advisories").Answer
        if command[0] == "npm":
            return answer(1, self.npm)
        pins = [line.split("==") for line in (folder / "pins.txt").read_text().splitlines()]
        self.asked.append([name for name, _ in pins])
        told = [
            self.python.get(name, {"name": name, "version": version, "vulns": []}) for name, version in pins
        ]
        return answer(0, json.dumps({"dependencies": told, "fixes": []}))


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(LOCK)
    return path


def judged(lock: Path, ask: Any) -> tuple[int, str]:
    advisories = of_script("advisories")
    said: list[str] = []
    code = advisories.report({"the lock": advisories.look(lock, "pip-audit", "pypi", ask)}, said.append)
    return code, "\n".join(said)


def test_packages_of_every_system_and_python_are_looked_up(lock: Path) -> None:
    databases = Databases()

    code, said = judged(lock, databases)

    assert databases.asked == [["numpy", "colorama"], ["numpy"]]
    assert code == 0
    assert "the lock: nothing is known" in said
    assert "0 known vulnerabilities; 1 of 1 locks were looked up as a whole" in said


def test_a_vulnerability_is_named_with_its_cure(lock: Path) -> None:
    code, said = judged(lock, Databases({"colorama": VULNERABLE}))

    assert code == 1
    assert "VULNERABLE  colorama 0.4.6: PYSEC-1, fixed in 0.4.7" in said


@pytest.mark.parametrize(
    "of_numpy",
    [
        {"name": "numpy", "skip_reason": "Dependency not found on PyPI and could not be audited"},
        {"name": "another", "version": "1.0", "vulns": []},
    ],
    ids=["unknown", "left out"],
)
def test_what_a_database_does_not_know_was_not_looked_up(lock: Path, of_numpy: dict[str, Any]) -> None:
    code, said = judged(lock, Databases({"numpy": of_numpy}))

    assert code == 2
    assert "NOT LOOKED UP  1 packages that the database does not know: numpy" in said
    assert "0 of 1 locks were looked up as a whole" in said
    assert "may be vulnerable" in said
    assert "nothing is known" not in said


@pytest.mark.parametrize("out", ["", "Traceback", "[]", "{}", '{"dependencies": null}'])
def test_a_database_that_does_not_answer_is_no_success(lock: Path, out: str) -> None:
    answer = of_script("advisories").Answer(
        1, out, "Traceback ...\nConnectionError: no route to api.osv.dev\n\n"
    )

    code, said = judged(lock, lambda _command, _folder: answer)

    assert code == 2
    assert "NOT LOOKED UP  2 packages: ConnectionError: no route to api.osv.dev" in said


def test_what_is_known_counts_more_than_what_is_not(lock: Path) -> None:
    unknown = {"name": "numpy", "skip_reason": "not found"}

    code, said = judged(lock, Databases({"colorama": VULNERABLE, "numpy": unknown}))

    assert code == 1
    assert "VULNERABLE" in said
    assert "NOT LOOKED UP" in said


@pytest.mark.parametrize(
    ("out", "code", "told"),
    [
        ('{"auditReportVersion": 2, "vulnerabilities": {}}', 0, "nothing is known"),
        (
            '{"vulnerabilities": {"vite": {"range": "<8", "severity": "high"}}}',
            1,
            "VULNERABLE  vite <8: high",
        ),
        ('{"message": "405 Method Not Allowed", "error": {}}', 2, "NOT LOOKED UP  405 Method Not Allowed"),
        ('{"error": {"code": "ENOTFOUND", "summary": "no such host"}}', 2, "NOT LOOKED UP  no such host"),
        ("", 2, "NOT LOOKED UP  no answer"),
    ],
)
def test_npm_is_read(tmp_path: Path, out: str, code: int, told: str) -> None:
    lock = tmp_path / "package-lock.json"
    lock.write_text('{"packages": {}}')

    found, said = judged(lock, Databases(npm=out))

    assert found == code
    assert told in said


def test_a_program_that_is_not_there_has_failed(tmp_path: Path) -> None:
    answer = of_script("advisories").ask(["no-such-program"], tmp_path)

    assert answer.code == 1
    assert answer.err == "no-such-program cannot be run: No such file or directory"


@pytest.mark.parametrize("arguments", [["--service", "nowhere"], ["--service"], ["--parts"]])
def test_the_command_refuses_what_it_does_not_know(arguments: list[str]) -> None:
    done = subprocess.run(
        [ROOT / "script" / "audit", *arguments], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
