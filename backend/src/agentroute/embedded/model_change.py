"""Takes another model into use while the instance runs.

1. A new worker starts with the other model, beside the old one.
2. If it does not become ready, it is stopped, and the model before stays in use.
3. If it is ready, the choice is kept for the next start, and the old worker ends its runs with the model they began with.
4. The API is started again: it shows the model's name, and transcribes at the model's endpoint. Its streams end in order,
   and clients go on with their cursors.

Nothing here waits: ``turn`` is called again and again by the supervisor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from agentroute.embedded.handover import LOOK_SECONDS, TRY_SECONDS, WorkerHandover, reason_of
from agentroute.embedded.model_choice import ModelChoice
from agentroute.embedded.model_use import ModelUse
from agentroute.embedded.worker_service import WorkerService

Done = Callable[[str], None]
"""Told why the model is not used; empty if it is."""


@dataclass
class _Try:
    worker: WorkerService
    undo: Callable[[], None]
    began_at: float
    done: Done


class ModelChange:
    """Changes the model of an instance; changes that are asked for meanwhile come one after the other.

    Args:
        model: What is changed.
        handover: Of the instance.
        renew_api: Starts the API again, in order.
        say: Shows the user one line.
        clock: Returns seconds that pass.
    """

    def __init__(
        self,
        model: ModelUse,
        handover: WorkerHandover,
        *,
        renew_api: Callable[[], None],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._handover = handover
        self._renew_api = renew_api
        self._say = say
        self._clock = clock
        self._waiting: list[tuple[ModelChoice | None, Done]] = []
        self._try: _Try | None = None

    def ask(self, choice: ModelChoice | None, done: Done) -> None:
        """Change the model; None is the demo.

        Args:
            choice: The model.
            done: Called once, before the API is started again.
        """
        self._waiting.append((choice, done))

    def turn(self) -> float | None:
        """Do what can be done now; returns after how many seconds there is more to do, if there is."""
        if self._try is None and self._waiting and not self._handover.active:
            self._begin(*self._waiting.pop(0))
        if self._try is not None:
            self._go_on(self._try)
        return LOOK_SECONDS if self._try is not None or self._waiting else None

    def _begin(self, choice: ModelChoice | None, done: Done) -> None:
        try:
            undo = self._model.take(choice)
            try:
                worker = self._handover.begin()
            except OSError:
                undo()
                raise
        except OSError as exc:
            # A full disk, say. Everything that runs goes on.
            self._tell_refused(f"a new process cannot be started: {exc.strerror or exc}", done)
            return
        self._try = _Try(worker, undo, self._clock(), done)

    def _go_on(self, current: _Try) -> None:
        if not current.worker.running:
            self._refuse(current, f"the new worker did not start: {reason_of(current.worker.tail(40))}")
        elif self._clock() - current.began_at > TRY_SECONDS:
            self._refuse(current, f"the new worker was not ready after {TRY_SECONDS:.0f} s")
        elif current.worker.ready and self._is_answering():
            self._use(current)

    def _is_answering(self) -> bool:
        demo = self._model.demo
        return self._model.choice is not None or demo is None or demo.ready

    def _use(self, current: _Try) -> None:
        try:
            self._model.keep()
        except OSError as exc:
            self._refuse(current, f"the choice cannot be kept in the data directory: {exc.strerror}")
            return
        self._try = None
        self._handover.use(current.worker)
        self._handover.end()
        choice = self._model.choice
        self._say(
            "Model: the scripted demo. New runs use it."
            if choice is None
            else f"Model: {choice.name} at {choice.base_url}. New runs use it."
        )
        current.done("")
        self._renew_api()

    def _refuse(self, current: _Try, reason: str) -> None:
        self._try = None
        current.undo()
        self._handover.give_up(current.worker)
        self._tell_refused(reason, current.done)

    def _tell_refused(self, reason: str, done: Done) -> None:
        self._say(f"The model was not changed: {reason}")
        done(reason)
