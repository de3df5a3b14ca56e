"""What one model of one endpoint refuses or wants, and the memory of it. See docs/adr/0016.

A quirk is one deviation from the plain request. It is learnt from a refusal (``refusals``), changes the requests that
follow (``request_form``), and is remembered for the process, per endpoint and model. A profile can set or exclude it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import structlog

log = structlog.get_logger(__name__)

_NOT = "-"


class Quirk(StrEnum):
    """One deviation. The value is its name in the profile, in the log and in ``doctor``."""

    # What the endpoint wants of the conversation.
    REASONING_WITH_CALLS = "reasoning_with_calls"
    REASONING_ALWAYS = "reasoning_always"
    REASONING_NOT_EMPTY = "reasoning_not_empty"
    NO_REASONING = "no_reasoning"
    NO_OPAQUE = "no_opaque"
    CALL_IDS_40 = "call_ids_40"
    CALL_IDS_9 = "call_ids_9"
    ALTERNATING_ROLES = "alternating_roles"
    NO_SYSTEM_ROLE = "no_system_role"
    TEXT_CONTENT = "text_content"
    NO_NULL_CONTENT = "no_null_content"
    NO_EMPTY_CONTENT = "no_empty_content"
    NO_CONTENT_WITH_CALLS = "no_content_with_calls"
    NO_NAMES = "no_names"
    RESULTS_WITH_NAMES = "results_with_names"
    NO_MEDIA = "no_media"
    NO_SPECIAL_TOKENS = "no_special_tokens"
    CALLS_NEED_TOOLS = "calls_need_tools"
    # What it refuses beside the conversation.
    NO_TOOLS = "no_tools"
    NO_TOOL_CHOICE = "no_tool_choice"
    PLAIN_SCHEMAS = "plain_schemas"
    NO_STREAM = "no_stream"
    NO_STREAM_OPTIONS = "no_stream_options"
    MAX_COMPLETION_TOKENS = "max_completion_tokens"
    NO_MAX_COMPLETION_TOKENS = "no_max_completion_tokens"
    NO_MAX_TOKENS = "no_max_tokens"
    NO_TEMPERATURE = "no_temperature"


@dataclass(frozen=True, slots=True)
class QuirkChoice:
    """What a profile says of a model: these quirks it has, those it never has."""

    has: frozenset[Quirk] = frozenset()
    never: frozenset[Quirk] = frozenset()


def parse_quirks(names: Iterable[str]) -> QuirkChoice:
    """Read ``models.<stage>.quirks``: names, or names after a minus for quirks that are never to be learnt.

    Raises:
        ValueError: A name is unknown; the message lists the known ones.
    """
    has: set[Quirk] = set()
    never: set[Quirk] = set()
    for name in names:
        try:
            (never if name.startswith(_NOT) else has).add(Quirk(name.removeprefix(_NOT)))
        except ValueError:
            raise ValueError(f"{name!r} is no quirk; the quirks are {', '.join(Quirk)}") from None
    return QuirkChoice(frozenset(has), frozenset(never))


class QuirkBook:
    """What a process has learnt of its models. One for all runs; nothing of it is stored."""

    def __init__(self) -> None:
        self._learnt: dict[str, frozenset[Quirk]] = {}
        self._context_tokens: dict[str, int] = {}

    def learnt(self, place: str) -> frozenset[Quirk]:
        """Return what was learnt of a model; ``place`` is its endpoint's URL and its name."""
        return self._learnt.get(place, frozenset())

    def learn(self, place: str, quirk: Quirk, *, reason: str) -> None:
        """Remember a quirk, and say it once in the log."""
        known = self.learnt(place)
        if quirk not in known:
            self._learnt[place] = known | {quirk}
            log.warning("model_quirk_learnt", quirk=str(quirk), model=place, reason=reason)

    def context_tokens(self, place: str, default: int) -> int:
        """Return a model's context size: the configured one, or a smaller one that it named itself."""
        return min(default, self._context_tokens.get(place, default))

    def limit_context(self, place: str, tokens: int) -> None:
        """Remember the context size that a model named when it refused a conversation."""
        if tokens < self._context_tokens.get(place, tokens + 1):
            self._context_tokens[place] = tokens
            log.warning("model_context_learnt", context_tokens=tokens, model=place)
