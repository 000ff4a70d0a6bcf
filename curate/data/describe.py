"""What a data set looks like at a glance: turns, languages, lengths, repeats, flaws."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.data.encoding import BINARY
from curate.data.file_kinds import CONTAINERS
from curate.data.formats import formats
from curate.data.schema import STRUCTURAL, Source
from curate.notebook.pictures import Panel, Picture, picture
from curate.notebook.tables import html_notes, html_table

# Shares of the rows that are no longer than the length that is told.
QUANTILES = (0.05, 0.5, 0.95, 0.99, 1.0)
# High bytes of Chinese characters in UTF-16: U+3400 to U+9FFF, U+F900 to U+FAFF.
_HAN = bytes([*range(0x34, 0xA0), 0xF9, 0xFA])
_KANA = re.compile(r"[\u3040-\u30ff]")
_LETTERS = bytes(byte if chr(byte).isalpha() else 32 for byte in range(128)) + b" " * 128
_NAMED = 12  # keys that are told of a file


@dataclass(frozen=True)
class Description:
    """Counts over all rows; turns, languages and lengths over those that could be understood."""

    sources: tuple[tuple[str, int, str], ...]  # name, rows, how it was read
    rows: int
    turns: dict[int, int]  # responses in a row to the number of such rows
    languages: dict[str, int]  # two-letter code to rows
    prompt_characters: tuple[int, ...]  # lengths at QUANTILES
    response_characters: tuple[int, ...]
    repeats: int  # rows that repeat an earlier one word for word
    flaws: dict[str, int]
    notes: tuple[str, ...]  # what was changed to read the files, what is still to be filled in


def describe(
    table: pa.Table, sources: tuple[Source, ...], repeats: int, flaws: dict[str, int]
) -> Description:
    """Return what the table of some rows looks like; it was counted when they were read."""
    unread = pa.array(sorted(STRUCTURAL))
    known = pc.invert(pc.is_in(table.column("flaw"), value_set=unread))

    def counts(column: str) -> list[tuple[int, str]]:
        values = table.column(column).filter(known).value_counts().to_pylist()
        return [(value["counts"], value["values"]) for value in values]

    def lengths(column: str) -> tuple[int, ...]:
        values = table.column(column).filter(known)
        if not len(values):
            return (0,) * len(QUANTILES)
        return tuple(np.quantile(values.to_numpy(), QUANTILES).astype(int).tolist())

    return Description(
        sources=tuple((source.name, source.rows, how_read(source)) for source in sources),
        rows=table.num_rows,
        turns=dict(sorted((int(value), count) for count, value in counts("responses"))),
        languages={name: -count for count, name in sorted((-n, v) for n, v in counts("language"))},
        prompt_characters=lengths("prompt_characters"),
        response_characters=lengths("response_characters"),
        repeats=repeats,
        flaws=flaws,
        notes=tuple(note for source in sources for note in notes_on(source)),
    )


def how_read(source: Source) -> str:
    """Return how a file was read, for people: 'alpaca, JSON Lines, UTF-8'."""
    known = formats().get(source.format)
    title = (known.title if known else "") or source.format
    parts = [title, CONTAINERS[source.container].title]
    if source.encoding == "utf-8-sig":
        parts.append("UTF-8 with a mark")
    elif source.encoding != BINARY:
        parts.append(source.encoding.upper())
    parts += [
        f"{name}={word}"
        for name, word in (source.columns | source.roles).items()
        if word not in ("", name)
    ]
    return ", ".join(parts)


def notes_on(source: Source) -> list[str]:
    """Return what a reader of a file should know: what was changed, what is to be filled in."""
    notes = [
        f"{source.name}: {what}" + (f": {counted(rows)}" if rows else "")
        for what, rows in source.changes.items()
    ]
    if source.unused:
        keys = [f"{key} ({counted(rows)})" for key, rows in source.unused.items()]
        more = f" and {len(keys) - _NAMED} more keys" if len(keys) > _NAMED else ""
        notes.append(f"{source.name}: not used: {', '.join(keys[:_NAMED])}{more}")
    if source.unfilled:
        holes = ", ".join(f"{{{{{name}}}}} in {counted(n)}" for name, n in source.unfilled.items())
        give = " ".join(f"{name}=…" for name in source.unfilled)
        notes.append(
            f"{source.name}: placeholders that nobody has filled in: {holes}; such rows have the "
            f"flaw unfilled_placeholder; fill them in with --fill {give}"
        )
    # A key may be any text; here it stands in one line.
    return ["".join(" " if c.isspace() else c for c in visible(note)) for note in notes]


def visible(text: str) -> str:
    """Return a text in which nothing can move a terminal's cursor or change its colours."""
    return "".join(
        c
        if c.isprintable() or c in "\n\t" or unicodedata.category(c) == "Zs"
        else f"\\u{ord(c):04x}"
        for c in text.replace("\r\n", "\n")
    )


def not_used(sources: Iterable[Source]) -> dict[str, dict[str, int]]:
    """Return the keys whose text is not used, with their rows, by name of the file."""
    counts: dict[str, Counter[str]] = {}
    for source in sources:  # several may have one name, in folders of their own
        if source.unused:
            counts.setdefault(source.name, Counter()).update(source.unused)
    return {name: dict(keys) for name, keys in counts.items()}


def to_lines(description: Description) -> list[tuple[str, str]]:
    """Return a description as pairs of what and how much, without the files."""
    texts = set(description.turns) == {0}  # for pre-training, or questions: nothing is answered
    lines = [] if texts else [("responses a row", _pairs(description.turns))]
    lines.append(("languages", _pairs(description.languages)))
    for name in ("prompt",) if texts else ("prompt", "response"):
        low, middle, high, top, longest = getattr(description, f"{name}_characters")
        spread = f"median {middle:,}; 90 % within {low:,}–{high:,}; 99 % up to {top:,}"
        lines.append((f"{name}, characters", f"{spread}; longest {longest:,}"))
    lines.append(("repeat an earlier row", f"{description.repeats:,}"))
    lines.append(("flaws", _pairs(description.flaws)))
    return lines


def to_text(description: Description) -> str:
    read = [f"  {name}: {how}: {counted(count)}" for name, count, how in description.sources]
    counts = [f"  {name}: {what}" for name, what in to_lines(description)]
    notes = [f"  note: {note}" for note in description.notes]
    return "\n".join([counted(description.rows), *read, *counts, *notes])


def to_html(description: Description) -> str:
    lines: list[Sequence[object]] = [("rows", description.rows)]
    lines += [(f"read {name}", f"{how}: {counted(n)}") for name, n, how in description.sources]
    lines += to_lines(description)
    return html_table(lines) + html_notes(description.notes)


def lengths(table: pa.Table) -> Picture:
    """Return a figure of the lengths of prompts and responses, of rows that could be understood."""
    known = pc.invert(pc.is_in(table.column("flaw"), value_set=pa.array(sorted(STRUCTURAL))))
    panels = []
    for name in ("prompt", "response"):
        values = table.column(f"{name}_characters").filter(known).to_numpy().astype(np.float64)
        if values.any():
            panels.append(Panel(f"{name}, characters", values, {"rows": values >= 0}))
    return picture(panels, "no row has a text to measure")


def counted(count: int, what: str = "row") -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def _pairs(counts: Mapping[int, int] | Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items()) or "none"


def language_of(text: str) -> str:
    """Return `zh`, `en` or `other`; a Latin word counts as much as a Chinese character."""
    head = text[:2000]
    # What the codecs do takes a third of the time that patterns over all characters take.
    high = head.encode("utf-16-le", "surrogatepass")[1::2]
    han = len(high) - len(high.translate(None, _HAN))
    words = len(head.encode("ascii", "replace").translate(_LETTERS).split())
    if not han and not words:
        return "other"
    # U+30.. is Chinese punctuation, too.
    if high.count(0x30) * 4 > han + words and len(_KANA.findall(head)) * 4 > han + words:
        return "other"
    return "zh" if han >= words else "en"
