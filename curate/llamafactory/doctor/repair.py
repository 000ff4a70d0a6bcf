"""Write a data set anew, so that LLaMA-Factory uses every row that can be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.data import openai_calls
from curate.data.emit import check_target, default_name, write_values
from curate.data.encoding import sniff
from curate.data.file_kinds import container_of, records
from curate.data.formats import format_named, parse
from curate.data.read import read
from curate.data.schema import Parsed, Shape
from curate.data.to_sharegpt import canonical_row, canonical_shape
from curate.errors import DataError
from curate.llamafactory.doctor.attributes import COLUMNS, FORMATTINGS, TAGS, attributes
from curate.llamafactory.doctor.data_set import Subject, of_entry
from curate.llamafactory.doctor.rules import Ends
from curate.system.manifest import versions

RECIPE = "doctor"
_PAIR = ("chosen", "rejected")
_VERDICTS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class Repaired:
    """A data set that was written anew.

    Attributes:
        subject: It, to be judged again.
        files: Names of what was written.
        written: Rows.
        dropped: Reason to rows that could not be repaired.
    """

    subject: Subject
    files: tuple[str, ...]
    written: int
    dropped: dict[str, int]


def fixed_name(subject: Subject) -> str:
    """Return the name of what --fix writes.

    Args:
        subject: What is repaired.

    Example:
        >>> fixed_name(of_file(Path("raw/dpo_zh.jsonl")))
        'dpo_zh_fixed'
    """
    return default_name(
        Path(subject.name) if subject.assumed else Path(f"{subject.name}."), "fixed"
    )


def repair(subject: Subject, folder: Path, name: str, overwrite: bool = False) -> Repaired:
    """Write a data set and its entry beside the old one, which stays as it is.

    Args:
        subject: What is repaired.
        folder: Where to write.
        name: Of the new data set.
        overwrite: Replace a data set of that name that something else made.

    Raises:
        DataError: Nobody can tell what the rows say, or no row is left.
        OutputError: It cannot be written.
    """
    check_target(folder, name, RECIPE, overwrite)
    given = _shape_in(subject)
    if subject.fill:
        given, subject = None, replace(subject, rows=read(subject.path, fill=subject.fill))
    if given is None and subject.rows is None:
        raise DataError(f"{subject.name} cannot be repaired: {subject.why}")
    kind = given.kind if given else subject.rows.shape.kind  # type: ignore[union-attr]
    dropped: Counter[str] = Counter()
    media: set[str] = set()
    written = 0
    for view, _, shape in _views(subject, given):
        flaw = _flaw(view, kind)
        dropped.update([flaw] if flaw else [])
        written += not flaw
        media.update(each for each in ("images", "videos", "audios") if each in shape.columns)
    if not written:
        reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in dropped.items())
        raise DataError(
            f"{subject.name}: no row can be repaired ({reasons}); nothing was written"
            + ("; fill them in with --fill" if "unfilled_placeholder" in dropped else "")
        )
    target = canonical_shape(kind, frozenset(media))

    def values() -> Iterator[dict[str, Any]]:
        for view, value, shape in _views(subject, given):
            if not _flaw(view, kind):
                yield canonical_row(view, value, target, shape)

    counts = {"read": written + sum(dropped.values()), "scored": 0, "kept": written}
    manifest = {
        "recipe": RECIPE,
        "params": {"entry": subject.entry},
        "sources": [{"name": subject.name}],
        "counts": {**counts, "dropped": dict(sorted(dropped.items()))},
        "versions": versions(),
    }
    files = write_values(folder, name, values, target, manifest)
    return Repaired(of_entry(folder, name), tuple(files), written, dict(dropped))


def _flaw(view: Parsed, kind: str) -> str:
    if view.flaw:
        return view.flaw
    return "no_verdict" if kind == "kto" and view.verdict is None else ""


def _views(subject: Subject, given: Shape | None) -> Iterator[tuple[Parsed, dict[str, Any], Shape]]:
    """Yield what every row says, with the row and its shape."""
    if given is None:
        assert subject.rows is not None
        for row in subject.rows:
            yield row.parsed, row.value, subject.rows.shape
        return
    attr = _completed(subject)
    form = format_named(given.format)
    for value in _values(subject.path):
        if not isinstance(value, dict):
            yield Parsed(flaw="not_an_object"), {}, given
            continue
        renamed = {new: value.get(attr[column]) for column, new in given.columns.items()}
        if "kto_tag" in given.columns:
            renamed["kto_tag"] = _verdict(renamed["kto_tag"])
        made = form.convert(renamed, given)
        view = Parsed(flaw=made.flaw) if made.flaw else parse(made.row, given)
        yield view, made.row, given


def _verdict(value: Any) -> Any:
    return value if isinstance(value, bool) else _VERDICTS.get(str(value).strip().lower())


def _values(path: Path) -> Iterator[Any]:
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        sniffed = sniff(file)
        for record in records(file, sniffed, container_of(file, sniffed)):
            yield record.value


def _completed(subject: Subject) -> dict[str, str]:
    """Return column to key: those of the entry, and of what it does not name the usual ones."""
    try:
        named = {column: key for column, key in attributes(subject.entry).columns.items() if key}
    except Ends:
        named = {}
    keys = set(next((v for v in _values(subject.path) if isinstance(v, dict)), {}))
    found = {column: key for column, key in named.items() if key in keys}
    for column, usual in COLUMNS.items():
        key = usual or column
        if column not in found and key in keys and key not in found.values():
            found[column] = key
    return found


def _shape_in(subject: Subject) -> Shape | None:
    """Return the shape that an entry means, under LLaMA-Factory's own names.

    None where curate's own reading of the file is the better one: the entry was only assumed, or
    does not fit the rows.
    """
    entry = subject.entry if isinstance(subject.entry, dict) else {}
    strict = subject.rows is not None and subject.rows.shape.kind == "kto"
    if subject.assumed and (strict or "kto_tag" not in entry.get("columns", {})):
        return None
    try:
        columns = _completed(subject)
        attr = attributes(entry)
    except (DataError, Ends):
        return None
    said = [entry.get("formatting"), entry.get("format")]
    wanted = next((each for each in said if each in FORMATTINGS), "alpaca")
    ranking = bool(attr.ranking) and all(each in columns for each in _PAIR)
    if wanted == "alpaca" and "messages" not in columns:
        return _alpaca(columns, ranking, attr.columns["response"] is not None)
    return _sharegpt(columns, ranking, dict(attr.tags)) if "messages" in columns else None


def _alpaca(columns: dict[str, str], ranking: bool, answered: bool) -> Shape | None:
    wanted = ["prompt", "query", "system", "history", "tools", "images", "videos", "audios"]
    wanted += _PAIR if ranking else ["response", "kto_tag"] if answered else []
    kept = [column for column in wanted if column in columns]
    if "prompt" not in kept or (answered and not ranking and "response" not in kept):
        return None
    return Shape("alpaca", "alpaca", {each: COLUMNS[each] or each for each in kept}, {}, ranking)


def _sharegpt(columns: dict[str, str], ranking: bool, tags: dict[str, Any]) -> Shape:
    wanted = ["messages", "system", "tools", "images", "videos", "audios"]
    wanted += _PAIR if ranking else ["kto_tag"]
    usual = openai_calls.TAGS if tags.get("role_tag") == "role" else TAGS
    whole = {tag: tags.get(tag) or usual[tag] for tag in TAGS}
    named = {each: COLUMNS[each] or each for each in wanted if each in columns}
    return replace(Shape("sharegpt", "sharegpt", named, whole), ranking=ranking)
