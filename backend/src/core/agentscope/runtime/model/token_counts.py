"""What a provider counted for one model call, read from the ``usage`` of its answer.

Pure. Providers agree on two names and differ in the others. A member that is missing or not a number counts as 0: a
wrong count must not lose the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Any

# The digits that a double holds exactly (DBL_DIG in C). Proxies add up costs as doubles, with rounding errors:
# 0.1 + 0.2 arrives as 0.30000000000000004.
_CERTAIN = Context(prec=15)
_MAX_COST = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of one call."""

    input: int = 0
    """All of the prompt, cached or not."""
    output: int = 0
    """All that was written, reasoning included."""
    cached: int = 0
    """Part of ``input`` read from the provider's cache."""
    cache_write: int = 0
    """Part of ``input`` written to it."""
    reasoning: int = 0
    """Part of ``output``."""
    cost: Decimal | None = None
    """What the provider or the proxy charges, in US dollars; ``None`` when it did not say."""

    @classmethod
    def parse(cls, usage: Any) -> TokenCounts | None:
        """Read a ``usage`` object; ``None`` when all is zero, as servers send that do not count.

        Source: OpenAI, Chat Completions, ``CompletionUsage``; the extra names are of LiteLLM, OpenRouter,
        DeepSeek and Anthropic.
        """
        if not isinstance(usage, dict):
            return None
        prompt_details = _object(usage.get("prompt_tokens_details"))
        output_details = _object(usage.get("completion_tokens_details"))
        prompt = _first(usage.get("prompt_tokens"), usage.get("input_tokens"))
        output = _first(usage.get("completion_tokens"), usage.get("output_tokens"))
        if not prompt and not output:
            return None
        reasoning = _count(output_details.get("reasoning_tokens"))
        if reasoning and _count(usage.get("total_tokens")) == prompt + output + reasoning:
            # xAI counts reasoning separately. The ledger's output includes it.
            output += reasoning
        return cls(
            input=prompt,
            output=output,
            cached=_first(
                prompt_details.get("cached_tokens"),
                usage.get("cache_read_input_tokens"),
                usage.get("prompt_cache_hit_tokens"),
            ),
            cache_write=_first(
                prompt_details.get("cache_creation_tokens"),
                prompt_details.get("cache_write_tokens"),
                usage.get("cache_creation_input_tokens"),
            ),
            reasoning=reasoning,
            cost=parse_cost(usage.get("cost")),
        )

    def merged(self, later: TokenCounts) -> TokenCounts:
        """Return what two reports of one call say together.

        Providers report running totals, or what one chunk counts of (Anthropic: the prompt first, the output last).
        A last report of zeros must not take away what an earlier one counted.
        """
        return TokenCounts(
            input=max(self.input, later.input),
            output=max(self.output, later.output),
            cached=max(self.cached, later.cached),
            cache_write=max(self.cache_write, later.cache_write),
            reasoning=max(self.reasoning, later.reasoning),
            cost=self.cost if later.cost is None else later.cost,
        )


def parse_cost(value: Any) -> Decimal | None:
    """Read an amount of US dollars from a number or its text; ``None`` for anything else.

    An amount of a million or more is not a cost of one call: unknown, like any other wrong answer. The columns of the
    ledger and of the totals have a limit, and a thread whose total is beyond it could never end a run.

    Digits after the fifteenth are rounding errors of doubles and are removed, so tokens times prices stay exact.
    """
    if value is None or isinstance(value, bool):
        return None
    try:
        # By way of the text: 0.000811 must not become 0.00081100000000000003.
        cost = Decimal(str(value))
    except InvalidOperation:
        return None
    if not cost.is_finite() or not 0 <= cost < _MAX_COST:
        return None
    return cost if len(cost.as_tuple().digits) <= _CERTAIN.prec else _CERTAIN.plus(cost).normalize()


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < 1 << 53 else 0


def _first(*values: Any) -> int:
    return next((count for value in values if (count := _count(value))), 0)
