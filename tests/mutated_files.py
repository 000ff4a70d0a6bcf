"""Files that were damaged at random: read, refused in one line, or told; never a crash or a loss.

python -m tests.mutated_files --minutes 60 [--seed 0]

Rows of many layouts are written to many kinds of files. Half of the files are then damaged in
their bytes: reading may refuse them, and nothing else. In the other half rows are damaged as JSON:
every row has to be there, and every text of it has to be in what the row says, or the row is
flawed, or the key of the text is named in what reading says, but for keys that tell about a row.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.data.read import read
from curate.errors import CuratrainError

Row = dict[str, Any]
SLOW = 20.0
# What is said about a row and no part of it, which nobody wants to be told of.
_ABOUT = {"source", "name", "weight", "kind"}
ROWS = 12


def _texts(random: np.random.Generator) -> Iterator[str]:
    """Yield texts that occur nowhere else, so that each can be looked for."""
    for number in range(10**9):
        letters = "".join(chr(0x4E00 + int(at)) for at in random.integers(0, 5000, 5))
        yield f"{letters}，第{number}句？{'一句更长的话。' * int(random.integers(0, 4))}"


def _messages(text: Callable[[], str], role: str, content: str, user: str, bot: str) -> list[Row]:
    return [{role: word, content: text()} for word in (user, bot, user, bot)]


LAYOUTS: dict[str, Callable[[Callable[[], str]], Row]] = {
    "alpaca": lambda t: {"instruction": t(), "input": t(), "output": t(), "system": t()},
    "history": lambda t: {"instruction": t(), "output": t(), "history": [[t(), t()]]},
    "sharegpt": lambda t: {"conversations": _messages(t, "from", "value", "human", "gpt")},
    "openai": lambda t: {"messages": _messages(t, "role", "content", "user", "assistant")},
    "qa": lambda t: {"question": t(), "answer": t()},
    "query": lambda t: {"query": t(), "response": t()},
    "huatuo": lambda t: {"data": [f"问：{t()}", f"答：{t()}", f"问：{t()}", f"答：{t()}"]},
    "preference": lambda t: {"instruction": t(), "chosen": t(), "rejected": t()},
    "dpo": lambda t: {
        "conversations": [{"from": "human", "value": t()}],
        "chosen": {"from": "gpt", "value": t()},
        "rejected": {"from": "gpt", "value": t()},
    },
    "kto": lambda t: {"prompt": t(), "completion": t(), "label": True},
    "texts": lambda t: {"text": t()},
    "firefly": lambda t: {"kind": "NLI", "input": t(), "target": t()},
}


def _jsonl(rows: list[Row], path: Path) -> None:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")


def _json(rows: list[Row], path: Path) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), "utf-8")


def _gb18030(rows: list[Row], path: Path) -> None:
    path.write_bytes(json.dumps(rows, ensure_ascii=False).encode("gb18030", "replace"))


def _parquet(rows: list[Row], path: Path) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    pq.write_table(pa.Table.from_pylist([{k: row.get(k) for k in keys} for row in rows]), path)


CONTAINERS = {"a.jsonl": _jsonl, "b.json": _json, "c.json": _gb18030, "d.parquet": _parquet}


def _bytes_damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Return bytes of which some were deleted, doubled, overwritten, or put somewhere else."""
    for _ in range(int(random.integers(1, 4))):
        start = int(random.integers(0, max(1, len(data))))
        end = start + int(random.integers(1, 40))
        marks = [b'"', b"{", b"]", b",", b"\n", b"\0", b"\xff\xfe", b"\\u12", b"//", b"```", b"\r"]
        extra = marks[int(random.integers(len(marks)))]
        data = [
            data[:start] + data[end:],
            data[:start] + data[start:end] * 2 + data[end:],
            data[:start] + extra + data[start:],
            data[:start],
            data[:start] + random.bytes(end - start) + data[end:],
            data.replace(extra, b"", 1) if extra in data else extra + data,
        ][int(random.integers(6))]
    return data


def _row_damaged(row: Row, random: np.random.Generator, text: Callable[[], str]) -> Row:
    """Return a row with one thing that rows of public sets have been seen to have."""
    row = json.loads(json.dumps(row))
    if not row:
        return row
    key = list(row)[int(random.integers(len(row)))]
    value = row[key]
    kind = int(random.integers(10))
    if kind == 0:
        del row[key]
    elif kind == 1:
        row[key] = [None, 7, "", [], {}, [value], {"text": value}, True][int(random.integers(8))]
    elif kind == 2:
        row[["note", "reasoning", "context", "options", "extra"][int(random.integers(5))]] = text()
    elif kind == 3:
        row[key.upper()] = row.pop(key)
    elif kind == 4 and isinstance(value, list) and value:
        value.append(value[int(random.integers(len(value)))])
    elif kind == 5 and isinstance(value, list) and value:
        value.pop(int(random.integers(len(value))))
    elif kind == 6 and isinstance(value, list) and value and isinstance(value[0], dict):
        value[0][["name", "weight", "thought"][int(random.integers(3))]] = text()
    elif kind == 7 and isinstance(value, str):
        row[key] = f"{value}\r\n\u200b{text()}\ud83d\ude00\u0000"[: len(value) + 5]
    elif kind == 8:
        row["meta"] = {"source": text(), "score": 0.5}
    else:
        names = list(LAYOUTS)
        row = LAYOUTS[names[int(random.integers(len(names)))]](text)
    return row


def _leaves(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every text with the keys that it stands under."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*keys, name))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, keys)
    elif isinstance(value, str) and "第" in value:
        yield keys, value


def _lost(rows: list[Row], path: Path) -> str:
    """Return what was lost of rows in silence, '' if nothing was."""
    got = read(path)
    if len(got) != len(rows):
        return f"{len(rows)} rows became {len(got)}"
    told = str(got)
    trimmed = "left out" in told  # a question at the end that nobody answers
    for row, one in zip(rows, got, strict=True):
        parsed = one.parsed
        said = "\n".join(
            [parsed.system, parsed.tools, parsed.chosen or "", parsed.rejected or ""]
            + [turn.content for turn in parsed.turns]
        )
        for keys, text in _leaves(row):
            core = text.removeprefix("问：").removeprefix("答：").split("？")[0]
            named = any(key in told or key in _ABOUT for key in keys)
            if core not in said and not (one.flaw or named or trimmed):
                return f"{keys} of {one.where} ({core}) is nowhere, and nothing tells of it"
    return ""


def trial(random: np.random.Generator, folder: Path) -> str:
    """Make, damage and read one file; return what went wrong, '' if nothing did."""
    texts = _texts(random)
    layout = list(LAYOUTS)[int(random.integers(len(LAYOUTS)))]
    container = list(CONTAINERS)[int(random.integers(len(CONTAINERS)))]
    rows = [LAYOUTS[layout](lambda: next(texts)) for _ in range(ROWS)]
    whole = bool(random.integers(2))
    if whole:
        for _ in range(int(random.integers(1, 4))):
            at = int(random.integers(ROWS))
            rows[at] = _row_damaged(rows[at], random, lambda: next(texts))
    path = folder / container
    try:
        CONTAINERS[container](rows, path)
    except pa.ArrowException:
        return ""  # one column of two types: not even written
    if not whole:
        path.write_bytes(_bytes_damaged(path.read_bytes(), random))
    started = time.monotonic()
    problem = ""
    try:
        problem = _lost(rows, path) if whole and container != "c.json" else str(read(path))[:0]
    except CuratrainError as error:
        if "\n" in str(error):
            problem = f"an error of several lines: {error}"
    except Exception as error:  # noqa: BLE001 - what a user would see as a traceback
        problem = f"crash: {type(error).__name__}: {error}"
    if time.monotonic() - started > SLOW:
        problem = problem or f"{time.monotonic() - started:.0f} s"
    return f"{layout} in {container}: {problem}" if problem else ""


def main() -> None:
    """Try files until the time is over; print what went wrong with the number of its trial."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trial", type=int, help="This one alone; its file is kept.")
    options = parser.parse_args()
    if options.trial is not None:
        folder = Path(tempfile.mkdtemp())
        print(trial(np.random.default_rng([options.seed, options.trial]), folder), folder)
        return
    end, number, problems = time.monotonic() + 60 * options.minutes, 0, 0
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            problem = trial(np.random.default_rng([options.seed, number]), Path(folder))
        if problem:
            problems += 1
            print(f"--trial {number}: {problem[:300]}", flush=True)
        number += 1
    print(f"{number:,} files, {problems:,} problems")


if __name__ == "__main__":
    main()
