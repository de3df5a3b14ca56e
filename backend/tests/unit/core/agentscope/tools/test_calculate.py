from __future__ import annotations

import ast
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.agentscope.tools.arithmetic import MAX_CHARACTERS, evaluate
from core.agentscope.tools.calculate import calculate_tool
from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.spec import ToolContext, ToolOutcome


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", "7"),
        (" (1 + 2) * 3 ", "9"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("2 ** 10", "1024"),
        ("2 ** -1", "0.5"),
        ("-2 ** 2", "-4"),
        ("0.1 + 0.2", "0.3"),
        ("123456789 * 987654321", "121932631112635269"),
        ("2 ** 0.5", "1.4142135623731"),
        ("sqrt(16) + abs(-3)", "7"),
        ("sin(pi / 2)", "1"),
        ("log(e)", "1"),
        ("log(8, 2)", "3"),
        ("round(2.567, 2)", "2.57"),
        ("round(2.5)", "2"),
        ("round(1234, -2)", "1200"),
        ("min(3, 1, 2) + max(3, 1, 2)", "4"),
        ("1e22", "1e+22"),
        ("0x1F + 1_000", "1031"),
        ("(-1) ** (10 ** 1000 + 1)", "-1"),
        ("1 ** 10 ** 1000", "1"),
        ("0 ** 10 ** 1000", "0"),
        ("2 ** 4095 - 2 ** 4095", "0"),
    ],
)
def test_value(expression: str, value: str) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("1 / 0", "Division by zero"),
        ("5 % 0", "Division by zero"),
        ("0 ** -1", "Division by zero"),
        ("9 ** 9 ** 9", "too large"),
        ("2 ** 4096", "too large"),
        ("10 ** 400 / 3", "too large"),
        ("10.0 ** 400", "too large"),
        ("1e400", "not a finite number"),
        ("1e308 * 10", "not a finite number"),
        ("(-8) ** 0.5", "not a real number"),
        ("sqrt(-1)", "cannot take these arguments"),
        ("round(5, -10 ** 9)", "at most 300 digits"),
        ("max(1)", "cannot take these arguments"),
        ("5 ^ 2", "powers are written"),
        ("1 << 1000000000", "no such operator"),
        ("", "not an arithmetic expression"),
        ("1 2", "not an arithmetic expression"),
        ("a = 1", "not an arithmetic expression"),
        ("1; 2", "not an arithmetic expression"),
        ("\x00", "not an arithmetic expression"),
        ("\ud800", "not an arithmetic expression"),
        ("(" * 240 + "1" + ")" * 240, "not an arithmetic expression"),
        ("-" * 499 + "1", "nested too deeply"),
        ("1+" * 1000 + "1", "too long"),
        ("x", "something unknown"),
        ("__import__('os')", "something unknown"),
        ("open('x')", "something unknown"),
        ("'a' * 3", "not a real number"),
        ("True + 1", "not a real number"),
        ("sqrt", "not a real number"),
        ("2j", "not a real number"),
        ("(1).real", "Only arithmetic"),
        ("().__class__", "Only arithmetic"),
        ("[1][0]", "Only arithmetic"),
        ("lambda: 1", "Only arithmetic"),
        ("1 if 1 else 2", "Only arithmetic"),
        ("1 == 1", "Only arithmetic"),
        ("1 and 2", "Only arithmetic"),
        ("f'{1}'", "Only arithmetic"),
        ("[x for x in (1,)]", "Only arithmetic"),
        ("sqrt(x=4)", "Only arithmetic"),
        ("sqrt(*[4])", "Only arithmetic"),
        ("(sqrt)(4)(5)", "Only arithmetic"),
    ],
)
def test_complaint(expression: str, complaint: str) -> None:
    with pytest.raises(ToolError, match=complaint):
        evaluate(expression)


def bounded(expression: str) -> str | None:
    """Evaluate, and fail on anything but a text in good time. Ten seconds are a hang, not a slow machine."""
    started = time.process_time()
    try:
        return evaluate(expression)
    except ToolError:
        return None
    finally:
        assert time.process_time() - started < 10


numbers = st.one_of(
    st.integers(-(10**60), 10**60).map(str),
    st.floats(0, allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0", "1", "2", "9" * 60, "1e308", "1e-320", "pi"]),
)
calls = ["sqrt", "exp", "log", "sin", "floor", "ceil", "round", "abs", "min", "max", "open", "__import__"]
expressions = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "<<", "^"]), inner).map(
            lambda parts: f"({parts[0]}){parts[1]}({parts[2]})"
        ),
        st.tuples(st.sampled_from(calls), st.lists(inner, max_size=3)).map(
            lambda parts: f"{parts[0]}({', '.join(parts[1])})"
        ),
        inner.map(lambda text: f"-({text})"),
    ),
    max_leaves=12,
)


@given(expressions)
@example("9**" * 160 + "9")
@example("*".join(["9" * 60] * 8))
@example("floor(1e308)" + "*floor(1e308)" * 30)
def test_no_arithmetic_hangs_or_escapes_its_limits(expression: str) -> None:
    value = bounded(expression)
    assert value is None or len(value) <= 1300


@given(st.text(max_size=MAX_CHARACTERS + 10))
def test_no_text_raises_anything_but_a_tool_error(text: str) -> None:
    bounded(text)


@given(
    st.text(
        st.sampled_from("0123456789.eEjJxo_+-*/%()[]{},:;'\"\\ \n\tabcsqrt~^&|<>=!@lambdaif"), max_size=60
    )
)
def test_no_almost_expression_raises_anything_but_a_tool_error(text: str) -> None:
    bounded(text)


@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30), st.sampled_from(["+", "-", "*"]))
def test_integers_are_exact(left: int, right: int, sign: str) -> None:
    exact = {"+": left + right, "-": left - right, "*": left * right}[sign]

    assert evaluate(f"({left}) {sign} ({right})") == str(exact)
    assert ast.literal_eval(evaluate(f"{left}")) == left


async def test_tool_returns_the_value_or_the_complaint(context: ToolContext) -> None:
    tool = calculate_tool()

    assert await tool.call({"expression": "6 * 7"}, context) == ToolOutcome("success", "42")
    assert await tool.call({"expression": "1/0"}, context) == ToolOutcome("error", "Division by zero.")
    assert (await tool.call({"expression": "1" * 501}, context)).content.startswith("Invalid arguments")
