"""Expressions over columns of scores: what is typed behind --by and --where.

They are parsed into Python's syntax tree and worked out here, node by node. Nothing is ever
compiled or called: names are columns, and a node that is not listed is refused.
"""

from __future__ import annotations

import ast
import keyword
import re
import unicodedata
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
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
_Columns = Mapping[str, NDArray[Any]]
_NUMBER, _TEXT, _TRUTH = "a number", "a text", "true or false"
# An operator's function, what its operands have to be, and its name for errors ('' for itself).
_ARITHMETIC = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide}
_SIGNS = {ast.USub: np.negative, ast.UAdd: np.positive}
_ORDER = {ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal}
_OPERATORS: dict[type, tuple[Callable[..., Any], str, str]] = {
    **{op: (function, _NUMBER, "") for op, function in _ARITHMETIC.items()},
    **{op: (function, _NUMBER, "a sign") for op, function in _SIGNS.items()},
    **{op: (function, _NUMBER, "< or >") for op, function in _ORDER.items()},
    ast.And: (np.logical_and, _TRUTH, "and"),
    ast.Or: (np.logical_or, _TRUTH, "or"),
    ast.Not: (np.logical_not, _TRUTH, "not"),
}
_STRUCTURE = (
    ast.Name, ast.Load, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare,
    ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Tuple, ast.List, *_OPERATORS,
)  # fmt: skip


class _MisfitError(Exception):
    """What is put together does not fit."""


@dataclass(frozen=True)
class Expression:
    """An expression that was read and found allowed: as it was typed, behind which option."""

    text: str
    option: str
    tree: ast.expr

    def columns(self) -> list[str]:
        """Return the columns that it names, as `column` or `FILE.column`, each once."""
        nodes = list(ast.walk(self.tree))
        owners = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        names = [node for node in nodes if isinstance(node, ast.Name | ast.Attribute)]
        return list(dict.fromkeys(ast.unparse(node) for node in names if id(node) not in owners))

    def numbers(self, columns: _Columns, rows: int) -> NDArray[np.float64]:
        """Return a number for every row, (rows,); NaN where a column has none."""
        return self._worked_out(columns, rows, _NUMBER, "ifd_loss * reward").astype(np.float64)

    def truths(self, columns: _Columns, rows: int) -> NDArray[np.bool_]:
        """Return whether it holds for each row, (rows,); no comparison with NaN does but !=."""
        return self._worked_out(columns, rows, _TRUTH, "reward > 0").astype(np.bool_)

    def _worked_out(self, columns: _Columns, rows: int, wanted: str, example: str) -> NDArray[Any]:
        try:
            with np.errstate(all="ignore"):
                value = _value(self.tree, columns)
        except _MisfitError as error:
            raise UsageError(f"{self.option} {self.text}: {error}") from None
        if _kind(value) != wanted:
            raise UsageError(
                f"{self.option} {self.text}: that is {_kind(value)} for every row, and {wanted} "
                f'is needed; for example {self.option} "{example}"'
            )
        return np.broadcast_to(np.asarray(value), (rows,))


def parse_expression(text: str, option: str) -> Expression:
    if len(text) > LONGEST:
        raise UsageError(f"{option}: {len(text):,} characters; allowed are {LONGEST:,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
        nodes = list(ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        hint = "; equality is written ==" if re.search(r"(?<![=!<>])=(?!=)", text) else ""
        raise UsageError(f"{option} {text}: that is no expression{hint}; {_ALLOWED}") from error
    if len(nodes) > _MOST_NODES:
        raise UsageError(f"{option}: {len(nodes):,} parts; allowed are {_MOST_NODES}")
    for node in nodes:
        if not _is_listed(node):
            part = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
            logic = isinstance(node, ast.BitAnd | ast.BitOr | ast.Invert)
            part, hint = ("& | ~", "; write and, or, not") if logic else (part, "")
            raise UsageError(f"{option} {text}: {part} is not allowed here{hint}; {_ALLOWED}")
    return Expression(text.strip(), option, tree)


def _is_listed(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name() | ast.Constant(value=str())):
            return True
        case ast.Constant(value=str() | bool()):
            return True
        case ast.Constant(value=int() | float() as number):
            return abs(number) <= 1e300
    return isinstance(node, _STRUCTURE)


def in_expressions(file: str) -> str:
    """Return the name of a scores file as it is written before a column, quoted where need be."""
    is_word = file.isidentifier() and not keyword.iskeyword(file)
    return file if is_word and unicodedata.normalize("NFKC", file) == file else repr(file)


def file_named(owner: str) -> str:
    """Return the name of the scores file that stands before a column."""
    return str(ast.literal_eval(owner)) if owner[:1] in ("'", '"') else owner


def unknown_column(name: str, known: Sequence[str], option: str, where: str) -> UsageError:
    longer = next((column for column in known if column.startswith(f"{name}_")), "")
    hint = f" Did you mean '{longer}'?" if longer else did_you_mean(name, known)
    return UsageError(
        f"{option}: no column '{name}' in {where}.{hint} There are {', '.join(known)}"
    )


def _kind(value: Any) -> str:
    if isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object):
        return _TEXT
    return _TRUTH if np.asarray(value).dtype == np.bool_ else _NUMBER


def _value(node: ast.expr, columns: _Columns) -> Any:
    """Return the value of a node: an array of all rows, or one value for all."""
    match node:
        case ast.Name() | ast.Attribute():
            return columns[ast.unparse(node)]
        case ast.Constant(value=str() | bool() as value):
            return value
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=op, operand=operand):
            return _applied(op, node, [operand], columns)
        case ast.BinOp(left=left, op=op, right=right):
            return _applied(op, node, [left, right], columns)
        case ast.BoolOp(op=op, values=values):
            return _applied(op, node, values, columns)
        case ast.Compare(left=first, ops=ops, comparators=others):
            pairs = zip([first, *others], ops, others, strict=False)
            return reduce(np.logical_and, [_compared(*pair, columns) for pair in pairs])
    raise _MisfitError(f"'{ast.unparse(node)}' stands only behind in")


def _applied(op: ast.AST, node: ast.expr, operands: list[ast.expr], columns: _Columns) -> Any:
    function, kind, name = _OPERATORS[type(op)]
    values = [_value(operand, columns) for operand in operands]
    for operand, value in zip(operands, values, strict=True):
        if _kind(value) != kind:
            raise _MisfitError(
                f"'{ast.unparse(operand)}' is {_kind(value)}, and "
                f"'{name or ast.unparse(node)}' takes {kind}"
            )
    return reduce(function, values) if len(values) > 1 else function(*values)


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, columns: _Columns) -> Any:
    if type(op) in _OPERATORS:
        return _applied(op, left, [left, right], columns)
    items = [right]
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
            raise _MisfitError("behind in stands a list, such as ('ok', 'truncated')")
        items = right.elts
    equal = reduce(np.logical_or, [_equal(left, item, columns) for item in items])
    return np.logical_not(equal) if isinstance(op, ast.NotIn | ast.NotEq) else equal


def _equal(left: ast.expr, right: ast.expr, columns: _Columns) -> Any:
    one, other = _value(left, columns), _value(right, columns)
    if _kind(one) != _kind(other):
        raise _MisfitError(
            f"'{ast.unparse(left)}' is {_kind(one)} and '{ast.unparse(right)}' is {_kind(other)}; "
            "they are never equal"
        )
    # As objects, NumPy compares texts of any length one by one.
    dtype = object if _kind(one) == _TEXT else None
    return np.equal(np.asarray(one, dtype), np.asarray(other, dtype)).astype(np.bool_)
