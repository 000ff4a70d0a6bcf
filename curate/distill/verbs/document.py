"""Questions about texts, and their answers: a text in pieces, some questions to each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.data.describe import language_of
from curate.data.encoding import BINARY, PACKED, sniff
from curate.data.read import read, sources_as_dicts
from curate.distill.answers import ALPACA, REPEAT, Known, answer_text, texts
from curate.distill.prompts import Prompts
from curate.distill.requests import OK, Line, Request, Steps, Verb
from curate.emission.emit import CHUNKS
from curate.errors import DataError, UsageError
from curate.parameters.budget import row_budget
from curate.parameters.distill import DocumentParams
from curate.system.files import at_home, whole_files, writing_to

_QUESTION, _ANSWER = "question", "from_text"
_TEXTS = {".txt", ".md", ".markdown", ""}
UNSUPPORTED, SUPPORT = "unsupported", "support"
# A number of two digits, an abbreviation, a name such as HbA1c.
_ENTITY = re.compile(r"[A-Za-z]*\d[\d.]+%?|[A-Za-z]+\d\w*|[A-Z][a-z]*[A-Z]\w*")
_BETWEEN_SENTENCES = re.compile(r"(?<=[。！？!?\n])|(?<=\.)(?=\s)")


@dataclass(frozen=True)
class Chunk:
    id: str  # of its content
    source: str
    number: int  # from 1, in its text
    text: str


def document(paths: Sequence[Path], params: DocumentParams, models: Mapping[str, str]) -> Verb:
    """Ask for questions about each piece, and once more for the answer to each."""
    chunks, sources = chunks_of(paths, params)
    fields = {_QUESTION: ("count", "chunk"), _ANSWER: ("chunk", "question")}
    prompt = Prompts(fields, params, (chunk.text for chunk in chunks))
    held_out = _held_out(chunks, params)

    def steps(place: int) -> Steps:
        chunk = chunks[place]
        messages = prompt.messages(_QUESTION, chunk=chunk.text, count=params.questions)
        (asked,) = yield [Request.by(params, models["model"], messages, items=params.questions)]
        listed = texts(asked)
        if isinstance(listed, str):
            return [Line(chunk.id, chunk.source, listed, None, (asked,))]
        questions, repaired = listed[0][: params.questions], listed[1]
        prompts = [prompt.messages(_ANSWER, chunk=chunk.text, question=each) for each in questions]
        replies = yield [Request.by(params, models["model"], messages) for messages in prompts]
        lines, aside = [], place in held_out
        for number, (question, reply) in enumerate(zip(questions, replies, strict=True), 1):
            id_ = f"{chunk.id}-{number}"
            value = {
                **{"instruction": question, "input": "", "output": answer_text(reply, params)},
                **{"source_id": id_, "chunk": chunk.id},
            }
            took = (asked, reply) if number == 1 else (reply,)
            if reply.status != OK:
                lines.append(Line(id_, chunk.source, reply.status, None, took, repaired, aside))
                continue
            share, entity = support(reply.text, chunk.text)
            flaw = "" if share or entity else UNSUPPORTED
            scores = {SUPPORT: share}
            line = Line(id_, chunk.source, OK, value, took, repaired, aside, scores, flaw)
            lines.append(line)
        return lines

    def chosen(lines: Iterable[Line]) -> Iterator[Line]:
        known = Known()
        for line in lines:
            fresh = line.value is None or known.add(line.value["instruction"])
            yield line if fresh else replace(line, status=REPEAT, value=None)

    def write_chunks(folder: Path, name: str) -> list[str]:
        path = folder / f"{name}{CHUNKS}"
        columns = ("id", "source", "number", "text")
        lists = {key: [getattr(chunk, key) for chunk in chunks] for key in columns}
        with writing_to(folder), whole_files(path) as (part,):
            pq.write_table(pa.table(lists), part)
        return [path.name]

    return Verb(
        size=len(chunks),
        steps=steps,
        shape=ALPACA,
        prompts=prompt.sha256,
        sources=sources,
        columns=(SUPPORT,),
        chosen=chosen,
        beside=write_chunks,
    )


def chunks_of(
    paths: Sequence[Path], params: DocumentParams
) -> tuple[list[Chunk], list[dict[str, Any]]]:
    """Return the pieces of texts, and the files as a manifest has them.

    Text, Markdown and files without an ending are one text each, in any encoding that curate
    reads; of files of rows each row is one.
    """
    chunks: list[Chunk] = []
    sources: list[dict[str, Any]] = []
    files = [file for path in paths for file in _files(path)]
    for path in files:
        if path.suffix.lower() in _TEXTS:
            file = sniff(path)
            if file.encoding == BINARY or file.encoding in PACKED.values():
                raise DataError(f"{path.name} is no text ({file.encoding}); give its text as .txt")
            whole = [path.read_text(encoding=file.encoding)]
            sources.append({"name": path.name, "sha256": file.sha256})
        else:
            rows = read(path)
            whole = ["\n".join(turn.content for turn in row.turns) for row in rows]
            sources += sources_as_dicts(rows)
        pieces = [piece for text in whole for piece in _pieces(text, params.chunk, params.overlap)]
        for number, text in enumerate(pieces, 1):
            id_ = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
            chunks.append(Chunk(id_, path.name, number, text))
    if not chunks:
        names = ", ".join(path.name for path in files) or ", ".join(map(str, paths))
        raise DataError(f"{names}: there is no text in it, or only white space; give other files")
    return list({chunk.id: chunk for chunk in reversed(chunks)}.values())[::-1], sources


def support(answer: str, text: str) -> tuple[float, bool]:
    """Return the share of an answer's n-grams that a text has, too, and whether a number or name.

    An n-gram is 8 letters and digits of Chinese, else 20. That is a count, and proves nothing.
    """
    letters, read = (
        "".join(character for character in each.lower() if character.isalnum())
        for each in (answer, text)
    )
    n = min(8 if language_of(answer) == "zh" else 20, max(1, len(letters)))
    grams = [letters[at : at + n] for at in range(len(letters) - n + 1)]
    share = sum(gram in read for gram in grams) / max(1, len(grams))
    return share, bool(set(_ENTITY.findall(answer)) & set(_ENTITY.findall(text)))


def _held_out(chunks: Sequence[Chunk], params: DocumentParams) -> frozenset[int]:
    if params.hold_out is None:
        return frozenset()
    count = row_budget(params.hold_out, len(chunks), "--hold-out")
    if count >= len(chunks):
        raise UsageError(
            f"--hold-out {params.hold_out}: there are {len(chunks):,} pieces, and some have to be "
            "left to train on; give less"
        )
    return frozenset(np.random.default_rng(params.seed).permutation(len(chunks))[:count].tolist())


def _files(path: Path) -> Iterator[Path]:
    path = at_home(path)
    if path.is_dir():
        inside = (each for each in path.rglob("*") if each.is_file())
        # What an editor or a desktop hides there is no text.
        yield from sorted(
            each
            for each in inside
            if not any(part.startswith(".") for part in each.relative_to(path).parts)
        )
    elif path.is_file():
        yield path
    else:
        raise DataError(f"no file '{path}'; give texts (.txt, .md) or files of rows")


def _pieces(text: str, most: int, overlap: int) -> Iterator[str]:
    """Yield pieces of so many characters at most, cut between sentences where that can be."""
    room, piece = most - overlap, ""
    for sentence in _BETWEEN_SENTENCES.split(text):
        for part in (sentence[at : at + room] for at in range(0, len(sentence), room)):
            if piece.strip() and len(piece) + len(part) > most:
                yield piece.strip()
                piece = piece[len(piece) - overlap :] if overlap else ""
            piece += part
    if piece.strip():
        yield piece.strip()
