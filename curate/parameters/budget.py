"""How much is kept: so many rows, or as many as so many tokens pay for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from curate.errors import UsageError

DEFAULT_KEEP = "10%"
METAVAR = "10%|N|2M-tokens"
_TOKENS = re.compile(r"[\s-]?tokens?\Z", re.IGNORECASE)
_TIMES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
_ALLOWED = (
    "allowed are a share of all rows such as 10%, above 0% and up to 100%, or a whole number of "
    "rows of at least 1; likewise of the tokens of all responses, 10%-tokens or 2M-tokens"
)


@dataclass(frozen=True)
class Budget:
    """A share of all rows or tokens, or a number of them."""

    amount: Fraction | int  # a share of 0 to 1, or a number of at least 1
    in_tokens: bool  # tokens of responses are counted, and not rows
    typed: str  # as the user has it

    def of(self, total: int, name: str = "--keep") -> int:
        """Return how many of so many rows or tokens that is; a share is rounded down."""
        what = "tokens of responses" if self.in_tokens else "rows"
        if isinstance(self.amount, int):
            if self.amount <= total:
                return self.amount
            raise UsageError(
                f"{name} {self.typed}: there are only {total:,} {what}; give a number up to that"
            )
        if count := int(self.amount * total):
            return count
        raise UsageError(
            f"{name} {self.typed}: that is less than one of {total:,} {what}; give a larger "
            f"share, or a number of {what.split()[0]}"
        )


def parse_budget(typed: str | int, name: str = "--keep") -> Budget:
    """Return what was typed as a budget; a UsageError for anything else."""
    text = str(typed).strip()
    number, in_tokens = _TOKENS.subn("", text)
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", number):
        share = Fraction(match[1]) / 100
        if 0 < share <= 1:
            return Budget(share, bool(in_tokens), text)
    elif in_tokens and (
        match := re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMB]?)", number.upper())
    ):
        count = Fraction(match[1]) * _TIMES[match[2]]
        if count >= 1 and count.denominator == 1:
            return Budget(int(count), True, text)
    elif re.fullmatch(r"\d{1,18}", number) and int(number) > 0:
        return Budget(int(number), False, text)
    hint = ""
    if re.fullmatch(r"0?\.\d+", text) and float(text) > 0:
        hint = f". {text} as a share is {float(Fraction(text) * 100):g}%"
    raise UsageError(f"{name} {text}: {_ALLOWED}{hint}.")


def row_budget(typed: str | int | None, rows: int, name: str = "--keep") -> int:
    """Return how many of so many rows a budget in rows is; None for the default share."""
    budget = parse_budget(DEFAULT_KEEP if typed is None else typed, name)
    if budget.in_tokens:
        raise UsageError(f"{name} {budget.typed}: here rows are counted; give 10% or a number")
    return max(1, int(budget.amount * rows)) if typed is None else budget.of(rows, name)
