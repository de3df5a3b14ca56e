"""A conversation in the terminal: what the user says, what the agent does, what it asks.

A run belongs to the service: when this program ends, the run goes on. One that is live when a thread is opened is shown
from where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentroute.client import (
    AgentRouteClient,
    AgentRouteError,
    Conflict,
    Event,
    EventStream,
    Interrupt,
    InvalidRequest,
    MessagesSnapshotEvent,
    NotFound,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
)
from agentroute.client.inputs import new_id
from agentroute.terminal.prompting import Asker
from agentroute.terminal.questions import Questions
from agentroute.terminal.stopping import silent_keys, stopping_on_interrupt
from agentroute.terminal.view import View

_SHOWN_MESSAGES = 50
_RUN_ACTIVE = "run-active"


@dataclass
class Chat:
    """A thread that a user talks in.

    Attributes:
        client: Of the service.
        view: Shows what happens.
        asker: Asks the user; without one, questions stay open.
        agent_id: The agent of new threads.
        thread_id: The thread.
        is_begun: Whether the thread has a run.
        open_questions: The interrupts that nobody has answered yet.
    """

    client: AgentRouteClient
    view: View
    asker: Asker | None
    agent_id: str | None = None
    thread_id: str = ""
    is_begun: bool = False
    open_questions: tuple[Interrupt, ...] = ()
    _run_id: str = ""

    def begin(self) -> None:
        """Begin a new thread."""
        self.thread_id, self.is_begun, self.open_questions = new_id("thread"), False, ()

    def open(self, thread_id: str) -> bool:
        """Show a thread that exists, and its live run to the end. Then ask what is open.

        Returns:
            Whether its last run has not failed.

        Raises:
            NotFound: There is none.
        """
        item = self.client.thread(thread_id)
        self.thread_id, self.is_begun, self.open_questions = thread_id, True, ()
        self._run_id = item.active_run.run_id if item.active_run is not None else ""
        stream = self.client.events(thread_id, connect=True, limit=_SHOWN_MESSAGES)
        return self._finish(self._watched(lambda: stream, is_over=item.active_run is None))

    def say(self, text: str) -> bool:
        """Send a message and show the run to its end, with everything that it asks.

        Returns:
            Whether the run has not failed, and no question is open.
        """
        withdrawn = "cancel" if self.open_questions else None
        self.open_questions = ()
        while True:
            self._run_id = new_id("run")
            try:
                return self._finish(
                    self._watched(
                        lambda: self.client.run(
                            text,
                            thread_id=self.thread_id,
                            run_id=self._run_id,
                            agent_id=None if self.is_begun else self.agent_id,
                            on_interrupt=withdrawn,
                        )
                    )
                )
            except Conflict as exc:
                if exc.code != _RUN_ACTIVE:
                    raise
                self._follow_other()

    def answer(self) -> bool:
        """Ask the open questions and go on; returns as ``say``."""
        return self._finish(None)

    # --- below ---------------------------------------------------------------

    def _follow_other(self) -> None:
        """Show the run that is live: it was started elsewhere, and ours comes after it."""
        active = self.client.thread(self.thread_id).active_run
        if active is None:
            return
        self.view.note("Another run of this thread is live. Your message follows it.")
        self._run_id = run_id = active.run_id
        self._watched(lambda: self.client.events(self.thread_id, run_id=run_id))

    def _finish(self, end: Event | None) -> bool:
        """Ask what a run has asked, until one ends without questions."""
        while True:
            if isinstance(end, RunFinishedEvent):
                self.open_questions = end.outcome.interrupts
            if not self.open_questions or isinstance(end, RunErrorEvent):
                return not isinstance(end, RunErrorEvent)
            if self.asker is None:
                for interrupt in self.open_questions:
                    self.view.note(f"The agent asks: {interrupt.message}", is_error=True)
                self.view.note(f"Answer with: agentroute chat --thread {self.thread_id}")
                return False
            questions = Questions(self.client, self.view, self.asker)
            try:
                answers = questions.ask(self.open_questions)
            except (KeyboardInterrupt, EOFError):
                self.view.note("The question stays open: /answer asks again, and a new message withdraws it.")
                return False
            end = self._resumed(answers)

    def _resumed(self, answers: list[Mapping[str, Any]]) -> Event | None:
        self._run_id = new_id("run")
        try:
            end = self._watched(lambda: self.client.resume(self.thread_id, answers, run_id=self._run_id))
        except InvalidRequest as exc:
            # The questions are open as before.
            self.view.note(exc.message, is_error=True)
            for place in exc.errors:
                self.view.note(f"{place.pointer}: {place.message}")
            return None
        except Conflict as exc:
            # Somebody else has answered, or it is too late.
            self.view.note(exc.message, is_error=True)
            self.open_questions = ()
            return None
        self.open_questions = ()
        return end

    def _watched(self, start: Callable[[], EventStream], *, is_over: bool = False) -> Event | None:
        """Show a stream to the end of its run; returns the last event, ``None`` if the user has left."""
        last: Event | None = None
        try:
            with silent_keys(), self.view, stopping_on_interrupt(self._stop), start() as stream:
                self.is_begun = True
                for event in stream:
                    last = event
                    self._see(event, is_over=is_over)
        except KeyboardInterrupt:
            if self.asker is None:
                raise
            self.view.note("Left. If the run has begun, it goes on.")
            return None
        return last

    def _see(self, event: Event, *, is_over: bool) -> None:
        match event:
            case MessagesSnapshotEvent(messages=messages):
                self.view.show_messages(messages)
            case RunStartedEvent() | RunFinishedEvent() if is_over:
                # How a run ended that is long over is not what just happened.
                pass
            case _:
                self.view.see(event)

    def _stop(self) -> None:
        self.view.wait_for("stopping")
        try:
            self.client.cancel(self.thread_id, self._run_id)
        except Conflict:
            pass  # it has just ended
        except NotFound:
            self.view.wait_for("nothing to stop yet; Ctrl-C again leaves")
        except AgentRouteError as exc:
            self.view.wait_for(f"cannot be stopped now: {exc}")
