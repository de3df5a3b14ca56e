"""What a tool is: its name, its arguments, its permission, and the one way to call it.

The rules a call keeps, whatever the tool does:

1. Arguments are validated before the tool runs; a mistake becomes a text the model can act on.
2. The model reads only the text of a `ToolError`, and that a budget is used up. Every other exception of the tool
   becomes "The tool failed." and is logged with its ids, because exception texts may contain passwords, hosts and SQL.
3. Every call ends: it has a timeout, and a blocking function runs in its own thread.
4. Every result is valid text (no NUL, no unpaired surrogates), and is truncated to a maximum size with a marker.
5. Cancelling the run cancels the call. A tool can neither swallow nor fake a cancellation.

No AgentScope here: the runtime adapts a `Tool` to it, and the API process lists tools without it.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from types import AsyncGeneratorType
from typing import Any, Literal, Protocol, cast

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from core.agentscope.schemas.tool_name import TOOL_NAME
from core.agentscope.tools.argument_errors import describe_argument_errors
from core.agentscope.tools.blocking import run_in_thread
from core.agentscope.tools.errors import ToolDefinitionError, ToolError
from core.agentscope.tools.foreign_results import Pieces, ResultUnreadable, is_failure
from core.agentscope.tools.json_schema import arguments_schema
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.result_text import fit_text, result_text
from core.agentscope.tools.shown_pieces import ShownPieces
from core.config import ToolSettings
from core.errors import BudgetExhausted, LeaseLost, StoreUnavailable
from core.identity import Principal

Permission = Literal["allow", "ask", "deny"]
"""``ask`` stops the run until the user has approved the call."""

_NAME = re.compile(TOOL_NAME, re.ASCII)
_DEFAULTS = ToolSettings()  # the limits of a tool without settings
_FAILED = "The tool failed."

log = structlog.get_logger(__name__)


class SharedState(Protocol):
    """The state that the agent and the user's application share."""

    async def patch(self, operations: list[dict[str, Any]]) -> str:
        """Apply RFC 6902 operations, all or none, and show them; returns the new state as JSON.

        Raises:
            ToolError: An operation does not fit the state.
        """
        ...


class ProgressReport(Protocol):
    """Where a running call says how far it is."""

    async def report(self, message: str, progress: float | None, total: float | None) -> None: ...


class KnowledgeSearch(Protocol):
    """What a call of the search tool asks for passages."""

    async def search(self, query: str) -> str:
        """Search on behalf of the run's user, and show the sources; returns what the model reads.

        Raises:
            ToolError: The search failed.
        """
        ...

    def of_call(self, tool_call_id: str, emit: Callable[[Any], Awaitable[None]] | None) -> KnowledgeSearch:
        """Return the search of one call, which shows its sources where the call's agent shows its events."""
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The principal, the thread, the run and the call for which a tool is called."""

    principal: Principal
    thread_id: str
    run_id: str
    tool_call_id: str
    shared_state: SharedState | None = None
    progress_report: ProgressReport | None = None
    """Of the call; without one, progress goes nowhere."""
    knowledge: KnowledgeSearch | None = None
    """Of the call; absent if the profile has no ``[knowledge]``."""

    async def progress(
        self, message: str = "", *, progress: float | None = None, total: float | None = None
    ) -> None:
        """Tell the user how far the call is, as ``CUSTOM`` ``agentroute.tool-progress``. Never fails for the tool.

        At most two reports a second and a hundred per call are shown; the others are dropped.

        Args:
            message: One short line; cut at 500 characters.
            progress: How much is done, in any unit.
            total: How much there is to do, in the same unit.
        """
        if self.progress_report is not None:
            await self.progress_report.report(message, progress, total)

    @property
    def idempotency_key(self) -> str:
        """The same for every execution of this call; pass it on with a side effect."""
        return f"{self.run_id}:{self.tool_call_id}"


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What the model and the user may see of a call."""

    state: Literal["success", "error"]
    content: str


ConnectionCheck = Callable[[Principal], Awaitable[None]]
"""Raises ``ConnectionRequired`` if the user has to connect before a call can be made."""

LoginBegin = Callable[[Principal], Awaitable[str | None]]
"""Begins a login; returns the address that the user opens, ``None`` where there is none."""

Handler = Callable[[Any, ToolContext], object]
"""Takes the validated arguments; returns the result, an awaitable of it, or a generator of its pieces."""


class NoArguments(BaseModel):
    """The arguments of a tool that takes none."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A capability of the agent. Immutable and free of run state: share it between runs.

    Raises:
        ToolDefinitionError: On construction, when the parts do not fit together.
    """

    name: str
    description: str
    """For the model: when to use it and what comes back."""
    parameters: type[BaseModel] = NoArguments
    """The arguments; unknown ones are refused (``extra="forbid"``)."""
    schema: Mapping[str, Any] | None = None
    """The JSON Schema of a tool that another system defines. It takes the place of ``parameters``: the handler gets the
    arguments as they are, and the schema is checked by whoever calls."""
    handler: Handler
    permission: Permission
    """The default; an agent profile overrides it."""
    editable: bool = False
    """Whether who approves the call may change its arguments."""
    read_only: bool = False
    """The call changes nothing and sends nothing out."""
    blocking: bool = False
    """The handler is a plain function that waits or computes: it runs in a thread."""
    timeout_seconds: float | None = None
    """``None`` is the default of the settings; no call is without an end."""
    max_result_bytes: int | None = None
    """UTF-8 bytes of a result; ``None`` is the default of the settings."""
    connected: ConnectionCheck | None = None
    """Of a tool that acts with the user's own identity: asked before each call, after the approval."""
    login_url: LoginBegin | None = None
    """Of such a tool: where the user connects anew, if the server has refused a call although ``connected`` did not."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ToolDefinitionError(f"{self.name!r}: a tool's name matches {_NAME.pattern}")
        if self.parameters.model_config.get("extra") != "forbid":
            raise ToolDefinitionError(f"{self.name}: the arguments' model must forbid extra members")
        if self.blocking and inspect.iscoroutinefunction(self.handler):
            raise ToolDefinitionError(f"{self.name}: an async function cannot be marked as blocking")

    def within(self, settings: ToolSettings) -> Tool:
        """Return the tool with the settings' timeout where it has none, and at most their result size."""
        return replace(
            self,
            timeout_seconds=self.timeout_seconds or settings.timeout_seconds,
            max_result_bytes=min(
                self.max_result_bytes or settings.max_result_bytes, settings.max_result_bytes
            ),
        )

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the arguments, without titles."""
        if self.schema is not None:
            return dict(self.schema)
        return arguments_schema(self.parameters)

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Run the tool once and say what happened; failures are outcomes, not exceptions.

        A timed-out blocking function cannot be killed: its thread goes on and
        its result is dropped.

        Raises:
            asyncio.CancelledError: The caller was cancelled.
            ConnectionRequired: The user has to connect first. The call had no effect.
            LeaseLost, StoreUnavailable: The run cannot go on, whatever the tool does about it.
        """
        ids = {"tool": self.name, "run_id": context.run_id, "tool_call_id": context.tool_call_id}
        task = asyncio.current_task()
        cancels_before = task.cancelling() if task else 0
        seconds = self.timeout_seconds or _DEFAULTS.timeout_seconds
        limit = asyncio.timeout(seconds)

        def is_over() -> bool:
            return limit.expired() or (task is not None and task.cancelling() > cancels_before)

        try:
            async with limit:
                outcome = await self._run(arguments, context, is_over)
        except ToolError as exc:
            outcome = self._error(exc.message)
        except BudgetExhausted as exc:
            # Of a model that the tool asked. The text is made for users.
            outcome = self._error(exc.detail)
        except (ConnectionRequired, LeaseLost, StoreUnavailable):
            raise
        except ResultUnreadable as exc:
            # Without the traceback: whoever prints its values would go down into the result as well.
            log.warning("tool_result_unreadable", reason=str(exc), cause=repr(exc.__cause__), **ids)
            outcome = self._error(f"The tool ran, but its result cannot be shown: {exc}.")
        except asyncio.CancelledError:
            if task is None or task.cancelling() > 0:
                raise
            # This task was not cancelled; the tool awaited something that was. Raised again, it would end the run.
            log.exception("tool_failed", **ids)
            outcome = self._error(_FAILED)
        except (Exception, SystemExit):
            # SystemExit too: a tool that calls sys.exit() must not end the worker.
            log.exception("tool_timed_out" if limit.expired() else "tool_failed", **ids)
            outcome = self._error(self._timeout_text(seconds) if limit.expired() else _FAILED)
        if task is not None and task.cancelling() > cancels_before:
            raise asyncio.CancelledError
        return outcome

    async def _run(
        self, arguments: Mapping[str, Any], context: ToolContext, is_over: Callable[[], bool]
    ) -> ToolOutcome:
        validated: object = arguments
        if self.schema is None:
            try:
                validated = self.parameters.model_validate(arguments)
            except ValidationError as exc:
                return self._error(describe_argument_errors(self.name, exc))

        found = Pieces(self.max_result_bytes or _DEFAULTS.max_result_bytes)
        shown = ShownPieces(context.progress)

        def run() -> object:
            value = self.handler(validated, context)
            if inspect.isgenerator(value):
                return self._collected(value, found, shown)
            return value if inspect.isawaitable(value) or inspect.isasyncgen(value) else self._outcome(value)

        try:
            made = await run_in_thread(run) if self.blocking else run()
        finally:
            # A thread cannot be killed; a generator in it ends with its next piece.
            found.left = True
        if inspect.isawaitable(made):
            value = await made
            return (
                await self._collected_later(value, found, shown, is_over)
                if inspect.isasyncgen(value)
                else self._outcome(value)
            )
        if inspect.isasyncgen(made):
            return await self._collected_later(made, found, shown, is_over)
        return cast("ToolOutcome", made)

    def _collected(
        self, pieces: Generator[object, Any, Any], found: Pieces, shown: ShownPieces
    ) -> ToolOutcome:
        # To its end, however much it says: what it does may come after what it says. The call's timeout bounds it.
        with closing(pieces):
            for piece in pieces:
                if found.left:
                    break
                shown.take_from_thread(found.add(piece))
        return self._outcome(found.value(), failed=found.failed)

    async def _collected_later(
        self,
        pieces: AsyncGeneratorType[object, Any],
        found: Pieces,
        shown: ShownPieces,
        is_over: Callable[[], bool],
    ) -> ToolOutcome:
        async with aclosing(pieces):
            async for piece in pieces:
                if is_over():
                    # The generator has swallowed its cancellation.
                    raise asyncio.CancelledError
                await shown.take(found.add(piece))
                # A generator that never waits would keep the loop, and no timeout would come.
                await asyncio.sleep(0)
        return self._outcome(found.value(), failed=found.failed)

    def _outcome(self, value: object, *, failed: bool = False) -> ToolOutcome:
        text = self._fit(result_text(value))
        return ToolOutcome("error" if failed or is_failure(value) else "success", text)

    def _error(self, message: str) -> ToolOutcome:
        return ToolOutcome("error", self._fit(message))

    def _fit(self, text: str) -> str:
        return fit_text(text, self.max_result_bytes or _DEFAULTS.max_result_bytes)

    def _timeout_text(self, seconds: float) -> str:
        text = f"The tool did not finish within {seconds:g} seconds."
        # The model must not repeat a payment because its answer was slow.
        return text if self.read_only else f"{text} It may have taken effect."
