"""Expressions over columns of scores: what is typed behind --by and --where.

They are parsed into Python's syntax tree and worked out here, node by node. Nothing is ever
compiled or called: names are columns, and a node that is not listed is refused.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError, did_you_mean

LONGEST = 1000
_MOST_NODES = 200
_ALLOWED = (
    "allowed are columns, numbers, 'text', + - * /, < <= > >= == != in, and or not, and parentheses"
)
# What a short word stands for where there is no such column.
SHORT = {"ifd": "ifd_loss"}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
_ORDER: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SIGNS: dict[type, Callable[[Any], Any]] = {ast.USub: np.negative, ast.UAdd: np.positive}
_NUMBER, _TEXT, _TRUTH = "a number", "a text", "true or false"


@dataclass(frozen=True)
class Expression:
    """An expression that was read and found allowed.

    Attributes:
        text: As it was typed.
        option: Behind which option, for errors.
        tree: Its syntax.
    """

    text: str
    option: str
    tree: ast.expr

    def columns(self) -> list[str]:
        """Return the columns that it names, as `column` or `FILE.column`, each once."""
        found: dict[str, None] = {}
        owners = {id(n.value) for n in ast.walk(self.tree) if isinstance(n, ast.Attribute)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                found[_dotted(node)] = None
            elif isinstance(node, ast.Name) and id(node) not in owners:
                found[node.id] = None
        return list(found)

    def numbers(self, columns: Mapping[str, NDArray[Any]], rows: int) -> NDArray[np.float64]:
        """Return a number for every row, (rows,); NaN where a column has none.

        Args:
            columns: All that columns() names; numbers, texts or booleans, (rows,) each.
            rows: How many.

        Raises:
            UsageError: It does not give a number, or puts together what does not fit.
        """
        return self._worked_out(columns, rows, _NUMBER, "ifd_loss * reward", np.float64)

    def truths(self, columns: Mapping[str, NDArray[Any]], rows: int) -> NDArray[np.bool_]:
        """Return whether it holds for each row, (rows,); no comparison with NaN does but !=.

        Args:
            columns: As for numbers().
            rows: How many.

        Raises:
            UsageError: It is no condition, or puts together what does not fit.
        """
        return self._worked_out(columns, rows, _TRUTH, "reward > 0", np.bool_)

    def _worked_out(
        self, columns: Mapping[str, NDArray[Any]], rows: int, wanted: str, example: str, kind: Any
    ) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            value = _Worked(self, columns).of(self.tree)
        if _kind(value) != wanted:
            raise UsageError(
                f"{self.option} {self.text}: that is {_kind(value)} for every row, and {wanted} "
                f'is needed; for example {self.option} "{example}"'
            )
        return np.broadcast_to(np.asarray(value, dtype=kind), (rows,)).copy()


def parse_expression(text: str, option: str) -> Expression:
    """Return an expression of columns, or say what is wrong with it.

    Args:
        text: Such as `reward > 0 and status == 'ok'`.
        option: Behind which it was typed, for errors.

    Raises:
        UsageError: It is no expression, or has something in it that is not allowed.

    Example:
        >>> parse_expression("reward > 0 and status == 'ok'", "--where").columns()
        ['reward', 'status']
    """
    if len(text) > LONGEST:
        raise UsageError(f"{option}: {len(text):,} characters; allowed are {LONGEST:,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
        nodes = list(ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        hint = "; equality is written ==" if _has_single_equals(text) else ""
        raise UsageError(f"{option} {text}: that is no expression{hint}; {_ALLOWED}") from error
    if len(nodes) > _MOST_NODES:
        raise UsageError(f"{option}: {len(nodes):,} parts; allowed are {_MOST_NODES}")
    for node in nodes:
        _check(node, text, option)
    return Expression(text.strip(), option, tree)


def unknown_column(name: str, known: Sequence[str], option: str, where: str) -> UsageError:
    """Return the error of a column that is not there.

    Args:
        name: As it was typed.
        known: The columns that are there.
        option: Behind which it was typed.
        where: What was looked through.
    """
    near = [each for each in known if each.startswith(f"{name}_")]
    hint = f" Did you mean '{near[0]}'?" if near else did_you_mean(name, known)
    return UsageError(
        f"{option}: no column '{name}' in {where}.{hint} There are {', '.join(known)}"
    )


def _has_single_equals(text: str) -> bool:
    for mark in ("==", "!=", "<=", ">="):
        text = text.replace(mark, "")
    return "=" in text


_STRUCTURE = (
    ast.Name, ast.Load, ast.BoolOp, ast.And, ast.Or, ast.Not, ast.UnaryOp, ast.BinOp,
    ast.Compare, ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Tuple, ast.List,
    *_ARITHMETIC, *_ORDER, *_SIGNS,
)  # fmt: skip


def _check(node: ast.AST, text: str, option: str) -> None:
    """Refuse a node that is not listed."""
    if isinstance(node, _STRUCTURE):
        return
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str | bool):
            return
        if isinstance(node.value, int | float) and abs(node.value) <= 1e300:
            return
    told = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
    hint = ""
    if isinstance(node, ast.BitAnd | ast.BitOr | ast.Invert):
        told, hint = "& | ~", "; write and, or, not"
    raise UsageError(f"{option} {text}: {told} is not allowed here{hint}; {_ALLOWED}")


def _dotted(node: ast.Attribute) -> str:
    assert isinstance(node.value, ast.Name)  # _check() lets no other through
    return f"{node.value.id}.{node.attr}"


def _kind(value: Any) -> str:
    if isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object):
        return _TEXT
    return _TRUTH if np.asarray(value).dtype == np.bool_ else _NUMBER


class _Worked:
    """Works out one expression over given columns."""

    def __init__(self, expression: Expression, columns: Mapping[str, NDArray[Any]]) -> None:
        self.expression, self.columns = expression, columns

    def of(self, node: ast.expr) -> Any:
        """Return the value of a node: an array of all rows, or one value for all."""
        match node:
            case ast.Name(id=name):
                return self.columns[name]
            case ast.Attribute():
                return self.columns[_dotted(node)]
            case ast.Constant(value=value):
                return value if isinstance(value, str | bool) else float(value)  # type: ignore[arg-type]
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.logical_not(self._as(operand, _TRUTH, "not"))
            case ast.UnaryOp(op=sign, operand=operand):
                return _SIGNS[type(sign)](self._as(operand, _NUMBER, "a sign"))
            case ast.BinOp(left=left, op=op, right=right):
                name = ast.unparse(node)
                sides = (self._as(each, _NUMBER, name) for each in (left, right))
                return _ARITHMETIC[type(op)](*sides)
            case ast.BoolOp(op=op, values=values):
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                name = "and" if isinstance(op, ast.And) else "or"
                found = self._as(values[0], _TRUTH, name)
                for each in values[1:]:
                    found = join(found, self._as(each, _TRUTH, name))
                return found
            case ast.Compare():
                return self._compared(node)
        raise self._wrong(f"'{ast.unparse(node)}' stands only behind in")

    def _as(self, node: ast.expr, kind: str, place: str) -> Any:
        value = self.of(node)
        if _kind(value) != kind:
            raise self._wrong(
                f"'{ast.unparse(node)}' is {_kind(value)}, and '{place}' takes {kind}"
            )
        return value

    def _compared(self, node: ast.Compare) -> Any:
        found: Any = np.True_
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            found = np.logical_and(found, self._pair(left, op, right))
            left = right
        return found

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
                raise self._wrong("behind in stands a list, such as ('ok', 'truncated')")
            among = [self._equal(left, each) for each in right.elts]
            held = np.logical_or.reduce(np.broadcast_arrays(*among))
            return np.logical_not(held) if isinstance(op, ast.NotIn) else held
        if isinstance(op, ast.Eq | ast.NotEq):
            equal = self._equal(left, right)
            return np.logical_not(equal) if isinstance(op, ast.NotEq) else equal
        sides = (self._as(each, _NUMBER, "< or >") for each in (left, right))
        return _ORDER[type(op)](*sides)

    def _equal(self, left: ast.expr, right: ast.expr) -> Any:
        one, other = self.of(left), self.of(right)
        if _kind(one) != _kind(other):
            raise self._wrong(
                f"'{ast.unparse(left)}' is {_kind(one)} and '{ast.unparse(right)}' is "
                f"{_kind(other)}; they are never equal"
            )
        if _kind(one) == _TEXT:
            same = np.equal(np.asarray(one, dtype=object), np.asarray(other, dtype=object))
            return np.asarray(same, dtype=np.bool_)
        return np.equal(one, other)

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"{self.expression.option} {self.expression.text}: {what}")
