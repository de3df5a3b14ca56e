"""The documents keep up with the code: every setting has its row, every link and every named test its file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from core.config import Settings, unknown_variables
from core.secret_files import SUFFIX, secret_variables

ROOT = Path(__file__).parents[3]
CONFIGURATION = ROOT / "docs" / "configuration.md"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "bench").glob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    ],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)

_ROW = re.compile(r"^\| `(AGENT_[A-Z0-9_]+)` \| (.+?) \|", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_VARIABLE = re.compile(r"\bAGENT_[A-Z0-9_]*[A-Z0-9]\b")
_TEST_FILE = re.compile(r"\btests/[\w/.-]+\.py\b")


def settings() -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting by the name of its variable."""
    for name, field in Settings.model_fields.items():
        section = field.default
        if not isinstance(section, BaseModel):
            yield f"AGENT_{name.upper()}", field
            continue
        for member, inner in type(section).model_fields.items():
            yield f"AGENT_{name.upper()}__{member.upper()}", inner


SETTINGS = dict(settings())


def documented_defaults() -> dict[str, str]:
    return dict(_ROW.findall(CONFIGURATION.read_text(encoding="utf-8")))


def shown(default: object) -> str:
    """Return a default as the page writes it."""
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or default == "":
        return "–"  # noqa: RUF001  the page's sign for empty
    if isinstance(default, bool | tuple):
        return f"`{json.dumps(default)}`"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{default}`"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead to something in this repository."""
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:", target):
            yield unquote(target)


def ids(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("variable", SETTINGS)
def test_every_setting_is_documented_with_its_default(variable: str) -> None:
    documented = documented_defaults()
    assert variable in documented, f"{variable} has no row in docs/configuration.md"
    assert documented[variable] == shown(SETTINGS[variable].default)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    assert documented_defaults().keys() - SETTINGS.keys() == set()


def test_the_settings_that_may_be_in_files_are_those_called_secret() -> None:
    rows = re.findall(
        r"^\| `(AGENT_[A-Z0-9_]+)` \|.* Secret\. \|$", CONFIGURATION.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(rows) == sorted(secret_variables(Settings))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_variable_a_document_names_exists(page: Path) -> None:
    named = set(_VARIABLE.findall(page.read_text(encoding="utf-8")))
    named -= {f"{variable}{SUFFIX}" for variable in secret_variables(Settings)}
    sections = {
        variable for variable in named if "__" not in variable and not unknown_variables({variable: ""})
    }
    assert named - SETTINGS.keys() - sections == set()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken: list[str] = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_test_a_document_names_exists(page: Path) -> None:
    named = set(_TEST_FILE.findall(page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not (ROOT / "backend" / name).is_file()] == []
