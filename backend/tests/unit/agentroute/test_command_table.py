"""Tables of commands: whatever a name or an error says, it stays in its cell."""

from __future__ import annotations

import pytest

from agentroute.command_table import print_table


def test_cells_drive_no_terminal_and_stay_in_their_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([("NAME", "STATE"), ("\x1b[31mred", "live"), ("two\nlines\there", "off"), ("a", "")])

    assert capsys.readouterr().out.splitlines() == [
        "NAME            STATE",
        "\\x1b[31mred     live",
        "two lines here  off",
        "a",
    ]
