from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from structlog.testing import capture_logs
from tests.support.limits import HUNG_SECONDS

from core.agentscope.tools.errors import ToolDefinitionError, ToolError
from core.agentscope.tools.spec import Tool, ToolContext, ToolOutcome
from core.config import ToolSettings
from core.errors import LeaseLost, StoreUnavailable

SECRET = "password=hunter2"
FOREVER = 3600.0


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int = Field(default=1, ge=1)
    text: str = ""


def make(handler: Callable[..., object], **options: Any) -> Tool:
    defaults: dict[str, Any] = {"description": "For tests.", "parameters": Arguments, "permission": "allow"}
    return Tool(name="probe", handler=handler, **{**defaults, **options})


def raising(error: BaseException) -> Callable[..., object]:
    def handler(_arguments: Arguments, _context: ToolContext) -> object:
        raise error

    return handler


def returning(value: object) -> Callable[..., object]:
    return lambda _arguments, _context: value


async def hang(_arguments: Arguments, _context: ToolContext) -> None:
    await asyncio.Event().wait()


# --- results ----------------------------------------------------------------------


@pytest.mark.parametrize("blocking", [False, True])
async def test_handler_gets_validated_arguments_and_the_context(context: ToolContext, blocking: bool) -> None:
    def handler(arguments: Arguments, where: ToolContext) -> str:
        return f"{arguments.count + 1} {where.idempotency_key}"

    outcome = await make(handler, blocking=blocking).call({"count": "2"}, context)

    assert outcome == ToolOutcome("success", "3 r-1:c-1")


async def test_awaitable_result_is_awaited(context: ToolContext) -> None:
    async def handler(arguments: Arguments, _context: ToolContext) -> str:
        await asyncio.sleep(0)
        return arguments.text

    assert await make(handler).call({"text": "later"}, context) == ToolOutcome("success", "later")


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (None, "Done."),
        ({"a": float("nan"), "b": [float("inf"), 1.5]}, '{"a": null, "b": [null, 1.5]}'),
        ("a\x00b\ud800c", "a\ufffdb\ufffdc"),
        ({"k\x00": "\udfff"}, '{"k\ufffd": "\ufffd"}'),
        (Arguments(count=3, text="ü"), '{"count": 3, "text": "ü"}'),
    ],
)
async def test_every_result_is_storable_text(context: ToolContext, value: object, content: str) -> None:
    assert await make(returning(value)).call({}, context) == ToolOutcome("success", content)


async def test_long_result_is_cut_with_a_marker(context: ToolContext) -> None:
    outcome = await make(returning("ü" * 1000), max_result_bytes=100).call({}, context)

    assert len(outcome.content.encode()) <= 100
    assert outcome.content.endswith("of 2000 bytes]")


async def test_long_error_is_cut_too(context: ToolContext) -> None:
    outcome = await make(raising(ToolError("x" * 1000)), max_result_bytes=100).call({}, context)

    assert outcome.state == "error"
    assert len(outcome.content) <= 100


# --- mistakes in arguments ----------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"count": "many"}, "- count: Input should be a valid integer"),
        ({"count": 0}, "- count: Input should be greater than or equal to 1"),
        ({"colour": "red"}, "- colour: Extra inputs are not permitted"),
        ([], "- arguments: Input should be a valid dictionary"),
    ],
)
async def test_wrong_argument_is_named_with_its_fault(
    context: ToolContext, arguments: Any, line: str
) -> None:
    outcome = await make(raising(AssertionError("must not run"))).call(arguments, context)

    assert outcome.state == "error"
    assert outcome.content.startswith("Invalid arguments for probe:\n")
    assert line in outcome.content


async def test_only_the_first_wrong_arguments_are_listed(context: ToolContext) -> None:
    outcome = await make(returning("")).call({f"x{n}": n for n in range(30)}, context)

    assert len(outcome.content.splitlines()) == 12
    assert outcome.content.endswith("- and 20 more")


async def test_values_of_wrong_arguments_are_not_repeated(context: ToolContext) -> None:
    outcome = await make(returning("")).call({"count": SECRET}, context)

    assert SECRET not in outcome.content


async def test_validation_error_inside_the_tool_is_a_failure_not_an_argument_error(
    context: ToolContext,
) -> None:
    outcome = await make(lambda _a, _c: TypeAdapter(int).validate_python(SECRET)).call({}, context)

    assert outcome == ToolOutcome("error", "The tool failed.")


# --- failures -----------------------------------------------------------------------


async def test_tool_error_is_shown_as_it_is(context: ToolContext) -> None:
    outcome = await make(raising(ToolError("Try another city."))).call({}, context)

    assert outcome == ToolOutcome("error", "Try another city.")


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(SECRET),
        ValueError(SECRET),
        OSError(SECRET),
        KeyError(SECRET),
        TimeoutError(SECRET),
        StopIteration(SECRET),
        SystemExit(SECRET),
        asyncio.CancelledError(SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_other_exceptions_are_logged_with_ids_and_never_shown(
    context: ToolContext, error: BaseException, blocking: bool
) -> None:
    with capture_logs() as logs:
        outcome = await make(raising(error), blocking=blocking).call({}, context)

    assert outcome == ToolOutcome("error", "The tool failed.")
    assert [(entry["run_id"], entry["tool_call_id"], entry["tool"]) for entry in logs] == [
        ("r-1", "c-1", "probe")
    ]


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("error", [LeaseLost(), StoreUnavailable()], ids=lambda error: type(error).__name__)
async def test_what_ends_the_run_is_no_failure_of_the_tool(
    context: ToolContext, error: Exception, blocking: bool
) -> None:
    with pytest.raises(type(error)):
        await make(raising(error), blocking=blocking).call({}, context)


async def test_async_function_that_fails_is_a_failure(context: ToolContext) -> None:
    async def handler(_arguments: Arguments, _context: ToolContext) -> None:
        await asyncio.sleep(0)
        raise RuntimeError(SECRET)

    assert await make(handler).call({}, context) == ToolOutcome("error", "The tool failed.")


async def test_result_without_a_text_form_is_a_failure(context: ToolContext) -> None:
    outcome = await make(returning(object())).call({}, context)

    assert outcome == ToolOutcome(
        "error", "The tool ran, but its result cannot be shown: it has no JSON form."
    )


# --- ends ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read_only", "content"),
    [
        (True, "The tool did not finish within 0.05 seconds."),
        (False, "The tool did not finish within 0.05 seconds. It may have taken effect."),
    ],
)
async def test_slow_tool_ends_at_its_timeout(context: ToolContext, read_only: bool, content: str) -> None:
    outcome = await make(hang, timeout_seconds=0.05, read_only=read_only).call({}, context)

    assert outcome == ToolOutcome("error", content)


async def test_hung_blocking_tool_ends_at_its_timeout(context: ToolContext) -> None:
    released = threading.Event()

    def handler(_arguments: Arguments, _context: ToolContext) -> None:
        released.wait()

    try:
        outcome = await make(handler, blocking=True, timeout_seconds=0.05).call({}, context)
    finally:
        released.set()

    assert outcome.content.startswith("The tool did not finish")


async def test_blocking_tool_does_not_stop_the_event_loop(context: ToolContext) -> None:
    released = threading.Event()

    def handler(_arguments: Arguments, _context: ToolContext) -> str:
        assert released.wait(timeout=HUNG_SECONDS), "the loop stood still while the tool ran"
        return threading.current_thread().name

    call = asyncio.create_task(make(handler, blocking=True).call({}, context))
    await asyncio.sleep(0)
    released.set()

    assert await call == ToolOutcome("success", "tool")


@pytest.mark.parametrize("swallow", [False, True])
async def test_cancelling_the_caller_cancels_the_call(context: ToolContext, swallow: bool) -> None:
    started = asyncio.Event()

    async def handler(_arguments: Arguments, _context: ToolContext) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not swallow:
                raise
        return "carried on"

    call = asyncio.create_task(make(handler, timeout_seconds=FOREVER).call({}, context))
    await started.wait()
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call


async def test_cancelling_a_blocking_call_does_not_wait_for_its_thread(context: ToolContext) -> None:
    started = asyncio.Event()
    released = threading.Event()
    loop = asyncio.get_running_loop()

    def handler(_arguments: Arguments, _context: ToolContext) -> None:
        loop.call_soon_threadsafe(started.set)
        released.wait()

    call = asyncio.create_task(make(handler, blocking=True).call({}, context))
    await started.wait()
    call.cancel()
    try:
        with pytest.raises(asyncio.CancelledError):
            await call
    finally:
        released.set()


async def test_caller_s_own_timeout_still_works(context: ToolContext) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await make(hang, timeout_seconds=FOREVER).call({}, context)


async def test_result_of_a_tool_that_ignores_its_timeout_is_kept(context: ToolContext) -> None:
    # It did its work, and the model must know: a retry would do it twice.
    async def handler(_arguments: Arguments, _context: ToolContext) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "paid"

    outcome = await make(handler, timeout_seconds=0.05).call({}, context)

    assert outcome == ToolOutcome("success", "paid")


# --- definition ---------------------------------------------------------------------


class Lenient(BaseModel):
    pass


@pytest.mark.parametrize(
    "options",
    [{"parameters": Lenient}, {"handler": hang, "blocking": True}],
    ids=["lenient", "async-blocking"],
)
def test_parts_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ToolDefinitionError):
        make(**{"handler": returning(""), **options})


@pytest.mark.parametrize("name", ["", "has space", "a" * 65, "naïve", "dot.ted", "line\n"])
def test_names_that_providers_refuse_are_refused(name: str) -> None:
    with pytest.raises(ToolDefinitionError):
        Tool(name=name, description="x", parameters=Arguments, handler=returning(""), permission="allow")


def test_settings_fill_in_what_a_tool_leaves_open() -> None:
    settings = ToolSettings(timeout_seconds=7, max_result_bytes=2048)

    open_tool = make(returning("")).within(settings)
    own = make(returning(""), timeout_seconds=90, max_result_bytes=1024).within(settings)
    greedy = make(returning(""), max_result_bytes=1 << 30).within(settings)

    assert (open_tool.timeout_seconds, open_tool.max_result_bytes) == (7, 2048)
    assert (own.timeout_seconds, own.max_result_bytes) == (90, 1024)
    assert greedy.max_result_bytes == 2048


async def test_calls_of_one_tool_run_side_by_side(context: ToolContext) -> None:
    both = asyncio.Barrier(2)

    def handler(_arguments: Arguments, _context: ToolContext) -> Awaitable[object]:
        return both.wait()

    tool = make(handler, timeout_seconds=10)
    outcomes = await asyncio.gather(tool.call({}, context), tool.call({}, context))

    assert [outcome.state for outcome in outcomes] == ["success", "success"]
