"""The formats of rows that are read: a module has them in `FORMATS`, and is found by itself.

Where several formats take a file, the one wins that looks deeper into its rows (`rank`), and of
those the one that gives a meaning to more of their text. Where even that is equal, the user is
asked. The order of names plays no part.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from curate.data.canonical import parse, read_verdict
from curate.data.row_keys import are_messages, folded, holds_text, is_about, names_of
from curate.data.schema import Converted, Shape
from curate.errors import DataError, UsageError, did_you_mean

Row = dict[str, Any]
# How much of a row a format looks at: one text; keys that many people use for many things; the
# keys that LLaMA-Factory itself proposes, or keys of one publisher; what stands in a list; what
# stands in the items of a list.
ONE_TEXT, KEYS_ALONE, OWN_KEYS, LISTS, ITEMS = range(5)
_KEYS, _LONGEST_KEY = 12, 30  # keys of a file that an error names
# Rows by which formats are compared that look equally deep.
_MEASURED = 20
# Keys of questions that stand alone.
_QUESTIONS = (
    *("question", "prompt", "instruction", "query", "problem", "ask", "input", "question_stem"),
    *("问题", "提问", "问", "题目", "题干", "問題", "質問", "질문"),
)
# Keys of verdicts beside `kto_tag`; a label may be something else.
_VERDICTS = (
    *("label", "verdict", "is_good", "desirable", "is_desirable", "liked", "feedback"),
    *("correct", "is_correct", "thumbs", "good", "preferred", "accepted", "chosen"),
    *("is_chosen", "标签", "评价", "是否正确"),
)


@dataclass(frozen=True)
class Format:
    """How rows of one kind of file are known and read."""

    name: str  # for --format
    keys: str  # that its rows have, for people
    rank: int  # how much of a row it looks at, from ONE_TEXT to ITEMS
    # From a file's first rows to their shape, None if they are another format's.
    detect: Callable[[list[Row]], Shape | None]
    # From a row to the row that is kept and emitted: for what no entry in dataset_info.json could
    # say. A row that does not fit is returned as it is; its flaw is told there or by parsing.
    convert: Callable[[Row, Shape], Converted]
    # Column to key, where a row may lack it.
    optional: Mapping[str, str] = field(default_factory=dict)
    title: str = ""  # its name for people
    listed: str = ""  # the key under which a row is put that is a bare list
    # Whether rows of a text in each column, without thoughts and tools, are kept as they are.
    as_is: bool = False

    def keyed(self, value: Any) -> Any:
        """Return a bare list under its key, where the format has such rows."""
        return {self.listed: value} if self.listed and isinstance(value, list) else value


@cache
def formats() -> dict[str, Format]:
    names = [module.name for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}.")]
    every = [f for name in names for f in getattr(importlib.import_module(name), "FORMATS", ())]
    return {form.name: form for form in sorted(every, key=lambda form: form.name)}


def format_named(name: str, option: str = "--format") -> Format:
    if name not in [*formats()]:
        raise UsageError(
            f"{option} {name}: no such format.{did_you_mean(str(name), formats())} "
            f"Allowed are {', '.join(formats())}; without --format it is told from the rows"
        )
    return formats()[name]


def mostly(samples: list[Row], *keys: str) -> bool:
    """Tell whether at least half of the rows have all of the keys."""
    having = sum(all(key in row for key in keys) for row in samples)
    return having > 0 and 2 * having >= len(samples)


def keys_of(samples: list[Row]) -> dict[str, str]:
    """Return the keys of rows, each under its name in small letters; the most frequent first."""
    counts = Counter(key for row in samples for key in row)
    frequent = tuple(key for key, _ in counts.most_common())
    keys: dict[str, str] = {}
    for key, name in zip(frequent, names_of(frequent), strict=True):
        keys.setdefault(name, key)
    return keys


def question_key(rows: list[Row]) -> str:
    """Return the key of rows that hold a question alone, '' where they do not."""
    keys = {key for row in rows for key, text in row.items() if not is_about(key) and text}
    texts = [key for key in keys if mostly([r for r in rows if holds_text(r.get(key))], key)]
    known = [keys_of(rows).get(name, "") for name in _QUESTIONS]
    return next((key for key in known if key in texts), texts[0] if len(texts) == 1 else "")


def names_questions(key: str) -> bool:
    """Tell whether a key says that questions stand under it."""
    return folded(key) in _QUESTIONS


def kto_column(samples: list[Row]) -> dict[str, str]:
    """Return the column of KTO's verdict, if rows have one, whatever a few of them hold there."""
    keys = keys_of(samples)
    if key := keys.get("kto_tag"):
        # A null here and there is what tables pad rows with.
        readable = any(read_verdict(row.get(key)) is not None for row in samples)
        return {"kto_tag": key} if readable or mostly(samples, key) else {}
    for key in [keys[name] for name in _VERDICTS if name in keys]:
        verdicts = [row[key] for row in samples if row.get(key) not in (None, "")]
        plain = [type(verdict) for verdict in verdicts if read_verdict(verdict) is not None]
        words = {str(verdict).strip() for verdict in verdicts}
        if {"-1", "0"} <= words:
            continue  # three classes
        # Others of the same type are classes; of another type they are slips.
        alike = sum(type(verdict) in plain for verdict in verdicts)
        if 2 * len(plain) > len(verdicts) and 10 * len(plain) >= 9 * alike:
            # true and false are a verdict on however few rows, a word is one if most rows have it.
            return {"kto_tag": key} if bool in plain or mostly(samples, key) else {}
    return {}


def detected(
    name: str, container: str, head: Sequence[Any], format_name: str = ""
) -> tuple[Format, Shape]:
    """Return the format of a file and the shape of its rows, of which `head` are the first."""
    if not head:
        raise DataError(f"{name} holds no rows; fetch it again or leave it out")
    tried = [format_named(format_name)] if format_name else list(formats().values())
    best = best_fits(head, tried) or _most_frequent(head, tried)
    if not best:
        raise DataError(f"{name} ({container}) {_unknown(container, head, tried)}")
    if len(best) > 1:
        names = " and as ".join(form.name for form, _ in best)
        raise DataError(
            f"{name} ({container}) has rows that can be read as {names}; say which with --format, "
            f"for example --format {best[0][0].name}"
        )
    return best[0]


def detected_or_questions(
    name: str, container: str, head: Sequence[Any], format_name: str = ""
) -> tuple[Format, Shape]:
    """Return the format of a file and the shape of its rows, which may be questions alone."""
    try:
        return detected(name, container, head, format_name)
    except DataError:
        rows = [row for row in head if isinstance(row, dict)]
        key, keys = question_key(rows), keys_of(rows)
        if not key:
            raise
    query = {"query": keys["input"]} if "input" in keys and key != keys["input"] else {}
    # A response that no row has: each of them is empty.
    nothing = next(name for name in ("response", "output", "answer", "") if name not in keys)
    shape = Shape("questions", "alpaca", {"prompt": key, **query, "response": nothing})
    return replace(format_named("alpaca"), name="questions", optional={}), shape


def best_fits(values: Sequence[Any], tried: Iterable[Format] = ()) -> list[tuple[Format, Shape]]:
    """Return the formats that explain most of rows, mostly one: with it, the shape of the rows."""
    fits: list[tuple[Format, Shape]] = []
    for form in tried or formats().values():
        rows = [row for row in map(form.keyed, values) if isinstance(row, dict)]
        if shape := form.detect(rows):
            fits.append((form, shape))
    deepest = max((form.rank for form, _ in fits), default=0)
    fits = [fit for fit in fits if fit[0].rank == deepest]
    if len(fits) < 2:
        return fits
    explained = [_explained(values[:_MEASURED], *fit) for fit in fits]
    return [fit for fit, size in zip(fits, explained, strict=True) if size == max(explained)]


def _explained(values: Sequence[Any], form: Format, shape: Shape) -> int:
    size = 0
    for value in map(form.keyed, values):
        if isinstance(value, dict):
            size += sum(map(len, parse(form.convert(value, shape).row, shape).texts))
    return size


def _most_frequent(values: Sequence[Any], tried: list[Format]) -> list[tuple[Format, Shape]]:
    alone = [(best_fits([value], tried), value) for value in values]
    names = Counter(fits[0][0].name for fits, _ in alone if fits)
    if not names or 2 * names.total() < len(values):
        return []
    name = names.most_common(1)[0][0]
    return best_fits([value for fits, value in alone if fits and fits[0][0].name == name], tried)


def _unknown(container: str, head: Sequence[Any], tried: list[Format]) -> str:
    """Return that rows have no known format, the formats that there are, and what to do."""
    rows = [row for row in head if isinstance(row, dict)]
    keys = sorted({_shortened(key) for row in rows for key in row})[:_KEYS]
    has = f"rows with the keys {', '.join(keys)}" if keys else "rows without a key"
    problem = f"no format that is read. Formats are {', '.join(form.name for form in tried)}"
    if len(tried) == 1:
        problem = f"not what --format says, {tried[0].name} ({tried[0].keys})"
    do = (
        "Say which key is which: --columns prompt=KEY response=KEY or --columns messages=KEY; "
        "questions that have no response are read for --against and --like"
    )
    lists = {
        key: value
        for row in rows
        for key, value in row.items()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    }
    said = {str(m.get("role", m.get("from"))) for v in lists.values() if are_messages(v) for m in v}
    if said:
        roles = ", ".join(map(_shortened, sorted(said)[:_KEYS]))
        do = f"The messages have the roles {roles}; say which with --roles user=WORD assistant=WORD"
    elif lists and len(head) == 1:
        wrapping = _shortened(next(iter(lists)))
        do = f"One object wraps the rows under {wrapping!r}: save that list alone"
    elif container == "csv":
        do = (
            "The first line of a table has to name the columns; put one there, or rename them. "
            "Plain text is read with --format pretraining, a row a line"
        )
    elif not rows:
        has = "values that are no objects"
        do = "A row has to be an object, or a list of texts that begin 病人： and 医生："
    return f"has {has}: {problem}. {do}"


def _shortened(key: object) -> str:
    text = str(key).encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _LONGEST_KEY else f"{text[:_LONGEST_KEY]}…"
