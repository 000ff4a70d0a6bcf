"""Pairs of a better and a worse response to one prompt: what rankers are trained and judged on.

Preference rows in any format that `curate.read` knows. Of CoachLM's expert revisions (arXiv
2311.13246) an expert may have revised the instruction as well: both responses are then put under
the raw one, which is what the worse was written for, so that nothing about the prompt tells them
apart, and the figure errs on the low side.

Escapes that stand in a text as letters are decoded. Texts that were put through JSON twice have
them, and it is nearly always the worse one: a ranker would learn the damage, not the quality.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from curate.data.naming import Naming
from curate.data.read import read
from curate.data.rows import Row, Rows
from curate.data.schema import Shape, Turn
from curate.errors import DataError

EXPERT = "coachlm"  # format of expert revisions
# A backslash with r or t also begins words of TeX: `\\right`, `\\text`.
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|(?:\\r)?\\n|\\([rt])(?![a-zA-Z])")


@dataclass(frozen=True, slots=True)
class Pair:
    prompt: str  # all that comes before the response
    better: str
    worse: str
    source: str  # name of its file
    where: str  # its place in that file, for people
    revised: bool = False  # whether the better is an expert's revision of the worse


@dataclass(frozen=True)
class Pairs:
    """The pairs of some files, escapes decoded."""

    pairs: tuple[Pair, ...]
    sha256: dict[str, str]  # of each file
    # Reason to the pairs left out: `equal` (no difference once escapes are decoded), `repeated`
    # (an earlier one, word for word) or `empty`.
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.pairs)


def joined(system: str, turns: tuple[Turn, ...] | list[Turn]) -> str:
    """Return all that comes before a response as one text, a line break between two messages."""
    return "\n".join(text for text in (system, *(turn.content for turn in turns)) if text)


def decode_escapes(text: str) -> str:
    r"""Return a text with literal `\n`, `\r\n`, `\r`, `\t` and `\uXXXX` decoded."""
    if "\\" in text:
        text = _ESCAPE.sub(
            lambda m: chr(int(m[1], 16)) if m[1] else "\t" if m[2] == "t" else "\n", text
        )
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_pairs(sources: Sequence[Path | Rows], named: Naming | None = None) -> Pairs:
    dropped: Counter[str] = Counter()
    pairs: dict[tuple[str, str, str], Pair] = {}
    sha256: dict[str, str] = {}
    named = named or Naming()
    for source in sources:
        before = len(pairs)
        if isinstance(source, Path) and not source.is_file():
            raise DataError(
                f"no file '{source}'; give a file of pairs of a better and a worse response"
            )
        rows = source
        if not isinstance(rows, Rows):
            rows = read(source, columns=named.columns, roles=named.roles)
        sha256.update({file.name: file.sha256 for file in rows.sources})
        for pair in _pairs_in(rows):
            key = (pair.prompt, pair.better, pair.worse)
            if not pair.better.strip() and not pair.worse.strip():
                dropped["empty"] += 1
            elif pair.better.strip() == pair.worse.strip():
                dropped["equal"] += 1
            elif key in pairs:
                dropped["repeated"] += 1
            else:
                pairs[key] = pair
        if len(pairs) == before:
            raise DataError(
                f"{rows.sources[0].name} holds no pair whose responses differ; give pairs of a "
                "better and a worse response"
            )
    return Pairs(tuple(pairs.values()), sha256, dict(sorted(dropped.items())))


def _pairs_in(rows: Rows) -> Iterator[Pair]:
    if not rows.shape.ranking:
        raise DataError(
            f"{rows.sources[0].name} was read as {rows.shape}: its rows have one response each, "
            "not a better and a worse one. Give preference rows (chosen and rejected, or better "
            "and worse), or CoachLM's expert revisions"
        )
    for row in rows:
        texts = _texts(row, rows.shape)
        prompt, better, worse = map(decode_escapes, texts)
        revised = rows.shape.format == EXPERT
        yield Pair(prompt, better, worse, row.source, row.where, revised)


def _texts(row: Row, shape: Shape) -> tuple[str, str, str]:
    parsed = row.parsed
    # A lone surrogate is decoded; an empty response is one to compare, none at all is not.
    sound = parsed.flaw in ("", "lone_surrogate", "empty_response")
    there = all(shape.value(row.value, side) is not None for side in ("chosen", "rejected"))
    if not sound or not there or parsed.chosen is None or parsed.rejected is None:
        why = parsed.flaw.replace("_", " ") or "chosen or rejected is missing"
        raise DataError(f"{row.source}, {row.where}: {why}; mend the row or leave it out")
    return joined(parsed.system, parsed.turns), parsed.chosen, parsed.rejected
