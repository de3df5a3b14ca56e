"""The import of a user's module: what is wrong, in which line of the user's code, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.user_module import import_user_module


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("x = 1\nundefined_name", "{file}:2: NameError: name 'undefined_name' is not defined"),
        ("x = 1\n\n\n1 / 0", "{file}:4: ZeroDivisionError: division by zero"),
        ("def broken(:\n    pass", "{file}:1: SyntaxError: invalid syntax"),
        (
            "import nothing_of_this_name",
            "{file}:1: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("from json import nothing", "{file}:1: ImportError: cannot import name 'nothing' from 'json'"),
        # The innermost line is a library's; the user's own helps.
        ("import json\njson.loads('{')", "{file}:2: JSONDecodeError: Expecting property name"),
        # So is the innermost one here, but of a module that Python holds in frozen form.
        ("import os\nos.environ['NOT_SET_ANYWHERE']", "{file}:2: KeyError: 'NOT_SET_ANYWHERE'"),
        ("raise SystemExit(3)", "{file}:1: SystemExit: 3"),
        ("raise AttributeError('x')", "{file}:1: AttributeError: x"),
        ("raise ValueError('one\\ntwo')", "{file}:1: ValueError: one"),
        ("raise ValueError", "{file}:1: ValueError"),
    ],
)
def test_a_bug_is_told_by_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, complaint: str
) -> None:
    file = tmp_path / "user_module_with_a_bug.py"
    file.write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ToolDefinitionError) as caught:
        import_user_module("user_module_with_a_bug:x", "user_module_with_a_bug")

    message = str(caught.value)
    assert message.startswith("user_module_with_a_bug:x: " + complaint.format(file=file))
    assert "\n" not in message


@pytest.mark.parametrize("name", ["no_such_package", "no_such_package.tools", "json.no_such_module"])
def test_a_module_that_is_not_there_names_the_variable(name: str) -> None:
    with pytest.raises(
        ToolDefinitionError, match=f"cannot import {name}: no module is named no_such|json.no_such"
    ) as caught:
        import_user_module(f"{name}:x", name)

    assert f"Put the folder that holds {name.partition('.')[0]} on PYTHONPATH" in str(caught.value)
