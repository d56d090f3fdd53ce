"""`select` expressions: which rows of a corpus, as a comparison of their columns.

    age_years < 18 and gender == "f"        4 <= age_years <= 6 or role in ("child", "unknown")
    not source == "pilot"                   age_years is None

The text is parsed with `ast` and only ever compared, never run. Logic is three-valued, as in SQL: comparing
an unknown value gives unknown, and a row is selected only where the whole is true. So `age_years < 18` and
`not age_years >= 18` both leave out a row whose age is unknown.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from smallvoice.errors import RecipeError

COLUMNS: Mapping[str, type] = {
    "id": str,
    "duration_s": float,
    "text": str,
    "language": str,
    "speaker": str,
    "age_years": float,
    "gender": str,
    "role": str,
    "session": str,
    "recording": str,
    "start_s": float,
    "end_s": float,
    "split": str,
    "source": str,
}
"""The columns of an utterance that can be compared, and what they hold."""

Row = Mapping[str, Any]
Truth = bool | None
_Value = Callable[[Row], Any]
_Test = Callable[[Row], Truth]

_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """A parsed expression."""

    expression: str
    columns: frozenset[str]
    """The columns that it looks at."""
    _test: _Test

    def accepts(self, row: Row) -> bool:
        return self._test(row) is True

    def rejects(self, row: Row) -> bool:
        """Whether what is known is enough to say no."""
        return self._test(row) is False

    def why_not(self, row: Row) -> str:
        """What a row that is not accepted holds: `age_years is unknown`, `age_years is 34`."""
        unknown = sorted(name for name in self.columns if row[name] is None)
        if unknown and self._test(row) is None:
            return " and ".join(f"{name} is unknown" for name in unknown)
        return ", ".join(f"{name} is {_shown(row[name])}" for name in sorted(self.columns))


def parse(expression: str) -> Selection:
    """Parse a `select` expression.

    Raises:
        RecipeError: not an expression, an unknown column (the known ones are named), a comparison of text
        with a
            number, or anything but comparisons, `in`, `is None`, `and`, `or`, `not`, parentheses and
            literals.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise _wrong(expression, f"it cannot be read ({getattr(error, 'msg', error)})") from None
    used: set[str] = set()
    test = _logic(tree, expression, used)
    return Selection(expression=expression, columns=frozenset(used), _test=test)


def _logic(node: ast.expr, expression: str, used: set[str]) -> _Test:
    if isinstance(node, ast.BoolOp):
        tests = [_logic(value, expression, used) for value in node.values]
        decisive = isinstance(node.op, ast.Or)
        return lambda row: _joined([test(row) for test in tests], decisive)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _logic(node.operand, expression, used)
        return lambda row: None if (truth := inner(row)) is None else not truth
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        links = [
            _comparison(left, op, right, expression, used)
            for left, op, right in zip(operands, node.ops, operands[1:], strict=False)
        ]
        return lambda row: _joined([link(row) for link in links], False)
    raise _wrong(expression, f"{ast.unparse(node)!r} is not a comparison")


def _joined(truths: list[Truth], decisive: bool) -> Truth:
    """`or` (decisive is True) or `and` (False) of three-valued truths."""
    if decisive in truths:
        return decisive
    return None if None in truths else not decisive


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, expression: str, used: set[str]) -> _Test:
    if isinstance(op, ast.Is | ast.IsNot):
        value, _ = _operand(left, expression, used)
        if not (isinstance(right, ast.Constant) and right.value is None):
            raise _wrong(expression, "`is` compares with None only; use == for a value")
        wanted = isinstance(op, ast.Is)
        return lambda row: (value(row) is None) is wanted
    if isinstance(op, ast.In | ast.NotIn):
        return _membership(left, right, isinstance(op, ast.In), expression, used)
    first, first_type = _operand(left, expression, used)
    second, second_type = _operand(right, expression, used)
    if first_type is not second_type:
        raise _wrong(expression, f"{ast.unparse(left)} and {ast.unparse(right)} are a number and a text")
    compare = _ORDER[type(op)]

    def test(row: Row) -> Truth:
        a, b = first(row), second(row)
        return None if a is None or b is None else compare(a, b)

    return test


def _membership(left: ast.expr, right: ast.expr, wanted: bool, expression: str, used: set[str]) -> _Test:
    value, kind = _operand(left, expression, used)
    if not isinstance(right, ast.Tuple | ast.List | ast.Set):
        raise _wrong(expression, f"`in` needs a list of values, such as ({ast.unparse(right)},)")
    members = []
    for element in right.elts:
        member, member_kind = _operand(element, expression, set())
        if isinstance(element, ast.Name) or member_kind is not kind:
            raise _wrong(expression, f"{ast.unparse(element)} is not a value of {ast.unparse(left)}")
        members.append(member({}))
    return lambda row: None if (found := value(row)) is None else (found in members) is wanted


def _operand(node: ast.expr, expression: str, used: set[str]) -> tuple[_Value, type]:
    """A column or a literal: how to get it from a row, and its type (float or str)."""
    if isinstance(node, ast.Name):
        if node.id not in COLUMNS:
            raise RecipeError(f"select: {expression!r}: no column {node.id!r}. Known columns: {', '.join(COLUMNS)}.")
        name = node.id
        used.add(name)
        return (lambda row: row[name]), COLUMNS[name]
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    constant = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    if isinstance(constant, ast.Constant):
        value = constant.value
        if isinstance(value, str) and not negative:
            return (lambda row: value), str
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = -value if negative else value
            return (lambda row: number), float
        if value is None:
            raise _wrong(expression, "None can only be compared with `is None` or `is not None`")
    raise _wrong(expression, f"{ast.unparse(node)!r} is neither a column nor a number nor a quoted text")


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _wrong(expression: str, problem: str) -> RecipeError:
    return RecipeError(
        f"select: {expression!r}: {problem}. Write comparisons of columns, such as "
        'age_years < 18 and gender == "f", joined by and, or, not and parentheses.'
    )
