"""The one Taskiq task: a hint that a run waits. Its name and its argument never change."""

from __future__ import annotations

from taskiq import AsyncBroker

from core.agentscope.runtime.hints import RUN_TASK
from core.agentscope.runtime.work.executor import RunExecutor


def register_run_task(broker: AsyncBroker, executor: RunExecutor) -> None:
    """Make hints start runs in this process; returns from the task when the run has ended.

    Waiting for the run keeps Taskiq's own limit on concurrent tasks true: a
    full worker takes no further hint.
    """

    async def agent_run(run_pk: int) -> None:
        if task := executor.start(run_pk):
            await task

    broker.register_task(agent_run, task_name=RUN_TASK)
