"""Arithmetic on untrusted text, in bounded time and space.

simpleeval walks the syntax tree; this file leaves it numbers, operators, named functions and
constants, and puts a bound before each operation that can grow: an integer never exceeds
``_MAX_BITS``, so no step takes more than microseconds, and an expression has few steps.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any, cast

from simpleeval import FeatureNotAvailable, FunctionNotDefined, NameNotDefined, OperatorNotDefined, SimpleEval

from core.agentscope.tools.errors import ToolError

MAX_CHARACTERS = 500
_MAX_BITS = 4096  # 1,233 digits: below Python's limit of 4,300 for turning an int into text
_MAX_ROUND_DIGITS = 300

_TOO_LARGE = f"A number in the calculation is too large: integers have at most {_MAX_BITS} bits."
_HELP = "Use numbers, + - * / // % ** ( ), and functions such as sqrt, sin, log, round, min, max, abs."

Number = int | float


def evaluate(expression: str) -> str:
    """Return the value of an expression: integers in full, other numbers to 15 significant digits.

    Raises:
        ToolError: The expression is not arithmetic, too large, or has no finite value.
    """
    if len(expression) > MAX_CHARACTERS:
        raise ToolError(f"The expression is too long: at most {MAX_CHARACTERS} characters.")
    tree = _parse(expression)
    try:
        value = _Evaluator().eval(expression, previously_parsed=tree)
    except (FunctionNotDefined, NameNotDefined) as exc:
        raise ToolError(f"The expression names something unknown. {_HELP}") from exc
    except OperatorNotDefined as exc:
        raise ToolError("There is no such operator here; powers are written **, not ^.") from exc
    except FeatureNotAvailable as exc:
        raise ToolError(f"Only arithmetic is possible. {_HELP}") from exc
    except ZeroDivisionError as exc:
        raise ToolError("Division by zero.") from exc
    except OverflowError as exc:
        raise ToolError(_TOO_LARGE) from exc
    except RecursionError as exc:
        raise ToolError("The expression is nested too deeply.") from exc
    except (TypeError, ValueError) as exc:
        raise ToolError(
            "A function cannot take these arguments; sqrt and log, for example, need positive numbers."
        ) from exc
    return _format(_number(value))


def _parse(expression: str) -> ast.expr:
    """Parsed here, not by simpleeval: mode ``eval`` refuses statements and a second expression."""
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as exc:
        # The parser refuses NUL by ValueError and deep nesting by MemoryError.
        raise ToolError(f"This is not an arithmetic expression. {_HELP}") from exc


def _number(value: object) -> Number:
    """Accept only real, finite, bounded numbers. True is not a number here."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > _MAX_BITS:
            raise ToolError(_TOO_LARGE)
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ToolError("The result is not a finite number.")
        return value
    raise ToolError("The result is not a real number.")


def _format(value: Number) -> str:
    # 15 digits are what a double holds for certain; with 17, 0.1 + 0.2 reads 0.30000000000000004.
    return str(value) if isinstance(value, int) else f"{value:.15g}"


def _multiply(left: Number, right: Number) -> Number:
    if (
        isinstance(left, int)
        and isinstance(right, int)
        and left.bit_length() + right.bit_length() > _MAX_BITS + 1
    ):
        raise ToolError(_TOO_LARGE)
    return left * right


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        # |base| >= 2**(bits - 1), so this refuses only what is certainly too large, and bounds the rest.
        if (abs(base).bit_length() - 1) * exponent > _MAX_BITS:
            raise ToolError(_TOO_LARGE)
        if abs(base) <= 1:
            exponent = exponent % 2 + 2  # the same value, without walking a long exponent
    return cast("Number", base**exponent)


def _round(value: Number, digits: int = 0) -> Number:
    # round(5, -10**9) would first compute 10 ** 10**9.
    if abs(digits) > _MAX_ROUND_DIGITS:
        raise ToolError(f"round takes at most {_MAX_ROUND_DIGITS} digits.")
    return round(value, digits) if digits else round(value)


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _multiply,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": _round,
    "abs": abs,
    "min": min,
    "max": max,
}
_CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}
_NODES = (ast.Constant, ast.Name, ast.UnaryOp, ast.BinOp, ast.Call)


class _Evaluator(SimpleEval):
    """simpleeval with five kinds of nodes; each value is checked before the next step uses it."""

    def __init__(self) -> None:
        super().__init__(operators=_OPERATORS, functions=_FUNCTIONS, names=_CONSTANTS)
        self.nodes = {kind: handler for kind, handler in self.nodes.items() if kind in _NODES}

    def _eval(self, node: ast.AST) -> Number:
        return _number(super()._eval(node))
