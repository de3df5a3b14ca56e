from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from core.agentscope.tools.user_call import called


async def later(function: str) -> tuple[str, bool]:
    return function, threading.current_thread() is threading.main_thread()


def plain(function: str) -> tuple[str, bool]:
    return function, threading.current_thread() is threading.main_thread()


def passes_on(function: str) -> Any:
    return later(function)


@pytest.mark.parametrize(
    ("function", "on_the_loop"),
    [(later, True), (plain, False), (passes_on, True)],
    ids=["async", "plain", "both"],
)
async def test_a_plain_function_runs_in_a_thread_and_arguments_may_have_any_name(
    function: Callable[..., Any], on_the_loop: bool
) -> None:
    assert await called(function, function="a") == ("a", on_the_loop)


async def leaves() -> None:
    raise SystemExit(3)


def leaves_a_thread() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("function", [leaves, leaves_a_thread])
async def test_an_exit_is_a_failure_and_does_not_end_the_worker(function: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="raised SystemExit"):
        await called(function)
