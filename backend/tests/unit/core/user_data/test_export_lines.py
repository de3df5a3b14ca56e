"""Which columns leave the service. A new column is here by a decision, not by itself."""

from __future__ import annotations

from core.user_data.export_lines import CONNECTION, RUN, SCHEDULE, SCHEDULE_FIRE

CONNECTION_COLUMNS = ["server", "kind", "state", "expires_at", "renewable", "connected_at", "updated_at"]
RUN_COLUMNS = [
    *("run_id", "segment", "parent_run_id", "agent_id", "idempotency_key", "request_hash", "input"),
    *("protocol_version", "status", "ordinal", "replaced_by_ordinal", "cancel_reason", "error_code"),
    *(
        "input_tokens",
        "output_tokens",
        "cached_input_tokens",
        "reasoning_tokens",
        "cost",
        "unknown_cost_calls",
    ),
    *("model_ms", "tool_ms", "created_at", "started_at", "first_token_at", "ended_at"),
]
SCHEDULE_COLUMNS = [
    *(
        "schedule_id",
        "request_hash",
        "form",
        "agent_id",
        "decided_to",
        "fires",
        "ended_at",
        "created_at",
        "updated_at",
    ),
]
FIRE_COLUMNS = [
    *("fire_key", "fire_at", "manual", "state", "attempts", "run_id", "thread_id", "code", "detail"),
    *("missed_from", "missed_count", "created_at", "settled_at"),
]


def test_a_connection_goes_out_without_anything_that_opens_it() -> None:
    assert [column.name for column in CONNECTION.columns] == CONNECTION_COLUMNS


def test_a_run_goes_out_without_what_only_this_deployment_needs() -> None:
    assert [column.name for column in RUN.columns] == RUN_COLUMNS


def test_a_schedule_goes_out_without_the_right_by_which_it_fires() -> None:
    assert [column.name for column in SCHEDULE.columns] == SCHEDULE_COLUMNS
    assert [column.name for column in SCHEDULE_FIRE.columns] == FIRE_COLUMNS
