"""The names that spans and their attributes have: OpenTelemetry's conventions, in the version named here.

The conventions for generative AI are not stable yet. Whoever moves to a later version changes this file; a test compares
it with the installed package ``opentelemetry-semantic-conventions``.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the conventions."""

INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"
"""Values of ``OPERATION``; a span is named after its operation and its object: ``chat gpt-x``."""
ACCEPT: Final = "accept"
QUEUE: Final = "queue"
APPEND: Final = "append"
"""Spans of ours."""

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_ID: Final = "gen_ai.agent.id"
CONVERSATION: Final = "gen_ai.conversation.id"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_TYPE: Final = "gen_ai.tool.type"
ERROR_TYPE: Final = "error.type"
SESSION: Final = "session.id"
"""The thread."""
USER: Final = "user.id"
"""Only with leave."""
USER_HASH: Final = "user.hash"

# With leave only: what was said.
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"

# Not in the conventions.
RUN: Final = "agentroute.run.id"
ATTEMPT: Final = "agentroute.run.attempt"
STATUS: Final = "agentroute.run.status"
STAGE: Final = "agentroute.call.stage"
CALL: Final = "agentroute.call.id"
OUTCOME: Final = "agentroute.call.outcome"
SETTLED: Final = "agentroute.call.settled"
"""True if the ledger told of the call, because its worker was lost."""
ESTIMATED: Final = "agentroute.call.estimated"
COST: Final = "agentroute.call.cost"
"""US dollars, exact, as a decimal string; absent if unknown."""
COMMITS: Final = "agentroute.append.commits"
EVENTS: Final = "agentroute.append.events"
SLOWEST: Final = "agentroute.append.slowest_seconds"
WAITED: Final = "agentroute.append.commit_seconds"
