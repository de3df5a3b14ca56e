-- Fills a migrated database with what a large service has: runs of many users, with everything that belongs to them.
--
-- The number of runs is the setting grow.runs, 1,000,000 if it is absent. A run has 50 events, 2 messages and a model
-- call; a thread has 5 runs and their states, a user 20 threads; one run in 20 asked a question. All runs ended in the
-- last five days, so retention takes nothing. Rows that are there stay. The user has to be a superuser: foreign keys
-- and triggers do not run.
--
--     PGOPTIONS='-c grow.runs=50000' psql -v ON_ERROR_STOP=1 -f bench/grow.sql "$AGENT_DATABASE__URL"
--
-- bench/growth.py runs it, too.

BEGIN;
SET LOCAL session_replication_role = replica;
SET LOCAL synchronous_commit = off;

SELECT set_config('grow.runs', coalesce(nullif(current_setting('grow.runs', true), ''), '1000000'), true),
    set_config('grow.thread_0', (SELECT coalesce(max(id), 0) FROM agent_chat_session)::text, true),
    set_config('grow.run_0', (SELECT coalesce(max(id), 0) FROM agent_run)::text, true);

-- Which run is whose. Names begin with the number of the first run, so that a second script adds more.
CREATE TEMPORARY TABLE grown ON COMMIT DROP AS
SELECT run_0 + n AS run_pk, thread_0 + (n - 1) / 5 + 1 AS session_id, ((n - 1) % 5 + 1)::int AS ordinal,
    'grown-' || run_0 || '-' || (n - 1) / 100 AS user_id, run_0 + n AS name,
    clock_timestamp() - interval '5 days' * ((runs - n) / runs::float8) AS ended_at,
    md5(n::text) || md5((n * 7)::text) || md5((n * 13)::text) AS letters
FROM (
    SELECT current_setting('grow.runs')::bigint AS runs, current_setting('grow.thread_0')::bigint AS thread_0,
        current_setting('grow.run_0')::bigint AS run_0
) AS size, generate_series(1, runs) AS n;

INSERT INTO agent_chat_session (id, tenant_id, user_id, thread_id, title, last_ordinal, last_position, input_tokens,
    output_tokens, cost, created_at, updated_at)
OVERRIDING SYSTEM VALUE
SELECT session_id, 'local', min(user_id), 'thread-' || session_id, 'A grown thread ' || session_id, count(*),
    2 * count(*), 800 * count(*), 50 * count(*), 0.001 * count(*), min(ended_at), max(ended_at)
FROM grown GROUP BY session_id;

INSERT INTO agent_run (id, session_id, tenant_id, user_id, run_id, task_id, idempotency_key, request_hash, input,
    status, ordinal, attempt, worker_id, last_seq, next_hint_at, queue_deadline_at, deadline_at, input_tokens,
    output_tokens, cost, model_ms, created_at, started_at, first_token_at, ended_at)
OVERRIDING SYSTEM VALUE
SELECT run_pk, session_id, 'local', user_id, 'run-' || name, 'task-' || name, 'run-' || name, decode(md5(name::text), 'hex'),
    json_build_object('messages', json_build_array(json_build_object('id', 'u-' || name, 'role', 'user', 'content', letters)))::text,
    'succeeded', ordinal, 1, 'worker', 50, ended_at, ended_at, ended_at + interval '10 minutes', 800, 50, 0.001, 2000,
    ended_at - interval '3 seconds', ended_at - interval '2.9 seconds', ended_at - interval '2 seconds', ended_at
FROM grown;

-- Written in the order in which runs write them, so that an index gets its entries at its end: in another order it costs
-- twice the time and twice the space.
INSERT INTO agent_run_event (session_id, ordinal, seq, attempt, type, payload, created_at)
SELECT session_id, ordinal, seq, 1,
    CASE seq WHEN 1 THEN 'RUN_STARTED' WHEN 50 THEN 'RUN_FINISHED' ELSE 'TEXT_MESSAGE_CONTENT' END,
    said || substr(letters, seq, 20) || '"}', ended_at
FROM (
    SELECT session_id, ordinal, letters, ended_at, generate_series(1, 50) AS seq,
        '{"type":"TEXT_MESSAGE_CONTENT","messageId":"' || left(letters, 36) || '","timestamp":1795000000000,"delta":"' AS said
    FROM grown
) AS events;

INSERT INTO agent_chat_message (session_id, position, message_id, ordinal, role, content, imported, incomplete, search,
    created_at)
SELECT session_id, 2 * ordinal - 1 + answer, CASE answer WHEN 0 THEN 'u-' ELSE 'a-' END || name, ordinal,
    CASE answer WHEN 0 THEN 'user' ELSE 'assistant' END, to_jsonb(words), false, false, agent_message_words(to_jsonb(words)),
    ended_at
FROM grown, generate_series(0, 1) AS answer,
    -- A user asks with 8 words and gets 16, all of four letters of 16: a vocabulary of 65,536.
    LATERAL (SELECT regexp_replace(substr(letters, 1 + 32 * answer, 32 + 32 * answer), '(....)', '\1 ', 'g') AS words) AS said;

INSERT INTO agent_model_call (run_pk, tenant_id, user_id, call_id, message_id, stage, provider, model, input_tokens,
    output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens, estimated, cost, currency, cost_source,
    latency_ms, outcome, created_at)
SELECT run_pk, 'local', user_id, 'call-1', 'a-' || name, 'execution', 'openai', 'grown', 800, 50, 0, 0, 0, false, 0.001,
    'USD', 'configured', 2000, 'succeeded', ended_at
FROM grown;

-- Each thread began with a version that stored states whole.
INSERT INTO agent_checkpoint (run_pk, session_id, ordinal, agentscope_version, state, updated_at)
SELECT run_pk, session_id, ordinal, '2', '{"context":[]}', ended_at FROM grown WHERE ordinal = 1;

INSERT INTO agent_state (run_pk, session_id, ordinal, agentscope_version, form, head, roots, updated_at)
SELECT run_pk, session_id, ordinal, '2', 1, '{}', decode(md5(session_id || '-1') || md5(session_id || '-2'), 'hex'), ended_at
FROM grown WHERE ordinal > 1;

INSERT INTO agent_state_part (session_id, digest, ordinal, body, children)
SELECT session_id, decode(md5(session_id || '-' || 2 * ordinal - answer), 'hex'), ordinal, '{"text":"' || letters || '"}', ''
FROM grown, generate_series(0, 1) AS answer;

INSERT INTO agent_interrupt (session_id, run_pk, interrupt_id, status, reason, message, response_schema, expires_at,
    resolved_by_run_pk, resolved_at, created_at)
SELECT session_id, run_pk, 'i-' || name, 'resolved', 'tool_call', 'May it?', '{}', ended_at + interval '1 day', run_pk + 1,
    ended_at, ended_at
FROM grown WHERE name % 20 = 0;

INSERT INTO user_budget (tenant_id, user_id, day, used_tokens, used_cost)
SELECT 'local', user_id, ended_at::date, 850 * count(*), 0.001 * count(*) FROM grown GROUP BY user_id, ended_at::date;

INSERT INTO agent_memory (tenant_id, user_id, text, idempotency_key, created_at)
SELECT 'local', user_id, letters, 'grown-' || name, ended_at FROM grown WHERE name % 10 = 0;

INSERT INTO agent_transcription (tenant_id, user_id, provider, model, audio_kind, audio_bytes, audio_ms, outcome,
    created_at, ended_at)
SELECT 'local', user_id, 'openai', 'grown', 'wav', 10000, 3000, 'succeeded', ended_at, ended_at FROM grown
WHERE name % 50 = 0;

SELECT setval(pg_get_serial_sequence('agent_chat_session', 'id'), max(id)) FROM agent_chat_session;
SELECT setval(pg_get_serial_sequence('agent_run', 'id'), max(id)) FROM agent_run;
COMMIT;
ANALYZE;
