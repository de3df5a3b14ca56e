"""SQL gets the statuses as literals, and only those that there are."""

from __future__ import annotations

import pytest

from core.agentscope.events.status_sql import status_sql, status_text


def test_names_in_braces_become_literals_that_match_partial_indexes() -> None:
    sql = status_sql("WHERE r.status = {queued} OR r.status IN {live} AND i.status = {open_interrupt}")

    assert sql == "WHERE r.status = 'queued' OR r.status IN ('queued', 'running') AND i.status = 'open'"


def test_parameters_stay_parameters() -> None:
    statement = status_text("SELECT 1 WHERE id = :id AND status IN {unended}")

    assert statement.text == "SELECT 1 WHERE id = :id AND status IN ('waiting', 'queued', 'running')"
    assert list(statement.compile().params) == ["id"]


def test_a_status_that_there_is_not_is_an_error_when_the_module_loads() -> None:
    with pytest.raises(KeyError, match="quened"):
        status_sql("WHERE status = {quened}")
