"""Pairs of a better and a worse response to one prompt: what rankers are trained and judged on.

Three kinds of file are read: CoachLM's expert revisions (arXiv 2311.13246; `Raw Instruction`,
`Raw Response`, `Revised Response` …), preference rows in any format that `curate.read` knows, and
objects with `prompt`, `better` and `worse`. An expert may have revised the instruction as well:
both responses are then put under the raw one, which is what the worse was written for, so that
nothing about the prompt tells them apart, and the figure errs on the low side.

Escapes that stand in a text as letters are decoded. Texts that were put through JSON twice have
them, and it is nearly always the worse one: a ranker would learn the damage, not the quality.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from curate.data.encoding import sniff
from curate.data.file_kinds import raw_rows
from curate.data.json_values import Record
from curate.data.layout import SAMPLES
from curate.data.naming import Naming
from curate.data.packed import unpacked
from curate.data.read import read
from curate.data.rows import Rows
from curate.data.schema import Parsed, Turn
from curate.errors import DataError

EXPERT = ("Raw Instruction", "Raw Response", "Revised Response")
TRIPLE = ("prompt", "better", "worse")
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
    with ExitStack() as stack:
        for source in sources:
            before = len(pairs)
            if isinstance(source, Rows):
                name, new = source.sources[0].name, _pairs_in(source, sha256)
            else:
                name, new = source.name, _pairs_of(source, sha256, stack, named or Naming())
            for pair in new:
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
                    f"{name} holds no pair whose responses differ; give pairs of a better "
                    "and a worse response"
                )
    return Pairs(tuple(pairs.values()), sha256, dict(sorted(dropped.items())))


def _pairs_of(
    path: Path, sha256: dict[str, str], stack: ExitStack, named: Naming
) -> Iterator[Pair]:
    name = path.name
    if not path.is_file():
        raise DataError(f"no file '{path}'; give a file of pairs of a better and a worse response")
    try:
        sniffed = sniff(path)
        whole = stack.enter_context(unpacked(path, sniffed))
        _, stream = raw_rows(whole.path, whole.sniffed)
        head = list(itertools.islice(stream, SAMPLES))
    except OSError as error:
        raise DataError(f"'{name}' cannot be read: {error.strerror or error}") from error
    sha256[name] = sniffed.sha256
    objects = [record.value for record in head if isinstance(record.value, dict)]
    keys = next(
        (keys for keys in (EXPERT, TRIPLE) if any(keys[1] in v or keys[2] in v for v in objects)),
        None,
    )
    if named or not keys:
        yield from _pairs_in(read(path, columns=named.columns, roles=named.roles), sha256)
        return
    for record in itertools.chain(head, stream):
        texts = _named(record, keys, f"{name}, {record.where}")
        prompt, better, worse = map(decode_escapes, texts)
        yield Pair(prompt, better, worse, name, record.where, revised=keys == EXPERT)


def _pairs_in(rows: Rows, sha256: dict[str, str]) -> Iterator[Pair]:
    if not rows.shape.ranking:
        raise DataError(
            f"{rows.sources[0].name} was read as {rows.shape}: its rows have one response each, "
            "not a better and a worse one. Give preference rows (chosen and rejected), objects "
            f"with {', '.join(TRIPLE)}, or CoachLM's expert revisions"
        )
    sha256.update({source.name: source.sha256 for source in rows.sources})
    for row in rows:
        texts = _texts(row.parsed, f"{row.source}, {row.where}")
        prompt, better, worse = map(decode_escapes, texts)
        yield Pair(prompt, better, worse, row.source, row.where)


def _texts(parsed: Parsed, place: str) -> tuple[str, str, str]:
    sound = parsed.flaw in ("", "lone_surrogate")  # which is decoded
    if not sound or parsed.chosen is None or parsed.rejected is None:
        why = parsed.flaw.replace("_", " ") or "chosen or rejected is missing"
        raise DataError(f"{place}: {why}; mend the row or leave it out")
    return joined(parsed.system, parsed.turns), parsed.chosen, parsed.rejected


def _named(record: Record, keys: tuple[str, ...], place: str) -> tuple[str, str, str]:
    row = record.value
    if not isinstance(row, dict):
        raise DataError(f"{place}: not an object; it needs {', '.join(keys)}")
    for key in keys:
        if not isinstance(row.get(key), str):
            has = "is no text" if key in row else "is missing"
            raise DataError(f"{place}: {key!r} {has}; every row needs {', '.join(keys)}")
    if keys == TRIPLE:
        return row["prompt"], row["better"], row["worse"]
    more = row.get("Raw Input")
    asked = [row["Raw Instruction"], *([more] if isinstance(more, str) and more.strip() else [])]
    return "\n".join(asked), row[EXPERT[2]], row[EXPERT[1]]
