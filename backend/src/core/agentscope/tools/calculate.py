"""``calculate``: exact arithmetic, because models guess at digits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.agentscope.tools.arithmetic import MAX_CHARACTERS, evaluate
from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.spec import Tool

Expression = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]


def calculate_tool() -> Tool:
    """Build the tool; `arithmetic` keeps the limits."""

    # Not blocking: the limits keep an evaluation in the low milliseconds.
    @tool(permission="allow", read_only=True, blocking=False)
    def calculate(expression: Expression) -> str:
        """Evaluate an arithmetic expression and return the number.

        Knows + - * / // % ** and parentheses; sqrt, exp, log (natural, or log(x, base)), log10, log2,
        sin, cos, tan, asin, acos, atan (radians), floor, ceil, round, abs, min, max; pi, e, tau.

        Args:
            expression: For example (3 + 4) * sqrt(2) or round(19.99 * 1.19, 2).
        """
        return evaluate(expression)

    return calculate
