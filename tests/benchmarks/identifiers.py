"""How many identifiers the gate finds in annotated texts, and how many it finds that are none.

    python tests/benchmarks/identifiers.py FILE [ROWS ...] [--rules]

FILE is JSON lines of {"text": ..., "spans": [{"kind": ..., "value": ...}]}; ROWS are data sets of
which nothing is annotated, so that whatever is found in their first 500 rows is counted. Counts
alone are printed, never a text. A value is found if spans of any kind cover all of it, wherever it
stands; one of one or two characters, if they cover it somewhere. A span that touches no value is
false. --rules looks without the extra `pii`.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import curate
from curate.content import IDENTIFIERS, people
from curate.content.gate import identifiers

_ROWS, _SHORT = 500, 3


def places(value: str, text: str) -> list[tuple[int, int]]:
    """Return where a value stands in a text."""
    return [match.span() for match in re.finditer(re.escape(value), text)]


def main(file: str, *sets: str) -> None:
    """Print found/total by kind, false spans, and what is found in sets of rows."""
    total, found, false = Counter[str](), Counter[str](), Counter[str]()
    texts = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
    for entry in texts:
        text, there = entry["text"], Counter[str]()
        covered, annotated = bytearray(len(text)), bytearray(len(text))
        spans = identifiers(text)
        for start, end, _ in spans:
            covered[start:end] = b"1" * (end - start)
        for value in entry["spans"]:
            where = places(value["value"], text)
            whole = [all(covered[start:end]) for start, end in where]
            total[value["kind"]] += 1
            found[value["kind"]] += all(whole) if len(value["value"]) >= _SHORT else any(whole)
            for start, end in where:
                annotated[start:end] = b"1" * (end - start)
        there.update(kind for start, end, kind in spans if not any(annotated[start:end]))
        false += there
    numbers = [kind for kind in total if kind not in ("name", "address")]
    for label, kinds in (
        *((kind, [kind]) for kind in IDENTIFIERS),
        ("all but name, address", numbers),
    ):
        all_, well = sum(total[kind] for kind in kinds), sum(found[kind] for kind in kinds)
        if all_:
            print(f"{label:24} {well:4} / {all_:4} {well / all_:6.1%}")
    print(f"false in {len(texts)} texts: {false.total()} {dict(false)}")
    for path in sets:
        counts, rows = Counter[str](), curate.read(path)
        for number, row in enumerate(rows):
            if number == _ROWS:
                break
            told = json.dumps(row.value, ensure_ascii=False)
            counts.update(span.kind for span in identifiers(told))
        print(f"{Path(path).name}: {counts.total()} in {number} rows {dict(counts)}")


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--rules"]
    if "--rules" in sys.argv:
        people.recogniser = lambda: None
    main(*arguments)
