"""One vector for every row, for the selectors that compare rows with each other.

The text that is embedded is a parameter. CaR (arXiv 2402.18191) embeds instruction, input and
response under their names, MoDS (arXiv 2311.15653) the instruction alone. A part that a row does
not have is left out here, name and all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.data.describe import counted
from curate.data.rows import Row, Rows
from curate.errors import ModelError, OutputError, UsageError, did_you_mean
from curate.models.protocols import EmbeddingModel
from curate.scorers.contract import OK, Engine, Work, digest_of, in_batches
from curate.system.files import whole_files, writing_to

EMPTY, REFUSED = "empty_text", "template_refused"
# A vector says less and less of a text that goes on; and a text as long as a book takes minutes.
LONGEST = 20_000
# Part of every key: a changed way of making texts never finds what an older one left.
_FORM = "embedding 1"
_SURROGATES = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """Return a text without halves of surrogate pairs: neither tokenizers nor servers take them."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def whole_text(row: Row) -> str:
    """Return instruction, input and response under their names, as CaR has it."""
    asked = "\n".join(turn.content for turn in row.turns[:-1])
    if row.input:
        asked = asked.removesuffix(row.input).rstrip("\n")
    parts = (("Instruction", asked), ("Input", row.input), ("Response", row.response))
    return " ".join(f"{name}: {text}" for name, text in parts if text)


def instruction_text(row: Row) -> str:
    """Return what was asked, input and all, as MoDS has it; of a dialogue, all questions."""
    return "\n".join(turn.content for turn in row.turns if turn.role == "user")


TEXTS: dict[str, Callable[[Row], str]] = {"row": whole_text, "instruction": instruction_text}


@dataclass(frozen=True)
class EmbeddingParams:
    """What is embedded."""

    text: str = "row"  # instruction, input and response; or `instruction`

    def __post_init__(self) -> None:
        if self.text not in TEXTS:
            hint = did_you_mean(self.text, TEXTS)
            raise UsageError(f"embedded text '{self.text}': allowed are {', '.join(TEXTS)}.{hint}")


@dataclass(frozen=True)
class Embeddings:
    """A vector for every row, in input order."""

    status: NDArray[np.object_]  # (n,) `ok`, or why the row has no vector
    vectors: NDArray[np.float32]  # (n, d) on disk; NaN where the status is not ok
    notes: tuple[str, ...] = ()  # what a user should be told, a sentence each


def embed(
    rows: Rows,
    params: EmbeddingParams,
    model: EmbeddingModel,
    engine: Engine,
    framed: Callable[[Row], str] | None = None,
) -> Embeddings:
    """Embed every row; what cannot be embedded has NaN and a status that says why.

    Equal texts are embedded once and have the same vector, bit for bit; texts are put in an order
    of their own first, so a row's vector does not depend on the order of the rows. The finished
    vectors lie in the engine's folder by a key over every text, the model's fingerprint and the
    text form.
    `framed` puts a row into text in the model's own way instead; ModelError where it cannot.

    Raises:
        OutputError: The cache cannot be written.
    """
    embeddings = embedded_before(rows, params, model, engine, framed, compute=True)
    if embeddings is None:
        raise OutputError("embeddings in the cache cannot be read again; is the disk whole?")
    return embeddings


def embedded_before(
    rows: Rows,
    params: EmbeddingParams,
    model: EmbeddingModel,
    engine: Engine,
    framed: Callable[[Row], str] | None = None,
    *,
    compute: bool = False,
) -> Embeddings | None:
    """Return what embed() gives where an earlier run has left it; else None, unless to compute."""

    def text_of(row: Row) -> str:
        return without_surrogates((framed or TEXTS[params.text])(row))

    status = np.full(len(rows), OK, dtype=object)
    long, digests, positions = 0, [], []
    for row in rows:
        try:
            text, why_not = "" if row.flaw else text_of(row), row.flaw or EMPTY
        except ModelError:
            text, why_not = "", REFUSED
        if not text.strip():
            status[row.position] = why_not
            continue
        long += len(text) > LONGEST
        digests.append(hashlib.sha256(text[:LONGEST].encode()).hexdigest()[:32])
        positions.append(row.position)
    owners = np.array(positions, dtype=np.int64)
    different, first, inverse = np.unique(
        np.array(digests, dtype="S32"), return_index=True, return_inverse=True
    )
    key = hashlib.sha256(f"{_FORM}|{model.fingerprint}|{params.text}".encode())
    for part in (different, inverse.astype("<i8"), owners.astype("<i8")):
        key.update(f"|{len(part)}|".encode() + part.tobytes())
    key.update(str(len(rows)).encode())
    path = engine.folder / "embeddings" / f"{key.hexdigest()[:32]}.npy"
    vectors = _cached(path, len(rows))
    if vectors is None and compute:
        # One item a different text; the texts themselves are not held.
        places = owners[first]

        def take(items: NDArray[np.int64]) -> list[str]:
            return [text_of(rows[place])[:LONGEST] for place in places[items].tolist()]

        batches = in_batches(range(len(places)))
        lengths = [size for batch in batches for size in model.lengths(take(np.array(batch)))]
        work = Work(
            model=model,
            lengths=np.array(lengths, dtype=np.int64),
            widths=model.dimensions,
            take=take,
            answer=_vectors,
            digest=digest_of(_FORM, different),
            dtype="float32",
            names=lambda items: [rows[place].id for place in places[items].tolist()],
        )
        values = engine.run(work, len(owners)).reshape(len(places), model.dimensions)
        line_of = np.full(len(rows), -1, dtype=np.int64)
        line_of[owners] = inverse
        _write(path, line_of, values)
        engine.forget(work)
        vectors = _cached(path, len(rows))
    notes: tuple[str, ...] = ()
    if long:
        notes = (f"embedded by the beginning: {counted(long)} of more than {LONGEST:,} characters",)
    return None if vectors is None else Embeddings(status, vectors, notes)


def _vectors(model: EmbeddingModel, texts: list[str]) -> NDArray[np.float32]:
    return model.embed(texts)


def _cached(path: Path, rows: int) -> NDArray[np.float32] | None:
    """Return the finished vectors, memory-mapped; None where there are none, or not whole."""
    try:
        stored: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = stored.ndim == 2 and len(stored) == rows and stored.dtype == np.float32
    return stored if whole else None


def _write(path: Path, line_of: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
    """Write each row's line of the vectors, NaN for a row of line -1, a few hundred at a time."""
    shape = (len(line_of), vectors.shape[1])
    kept = ". They stay in the journal; give the command again"
    with writing_to(path.parent, "embeddings", "set CURATRAIN_CACHE to another folder", kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_files(path, shared=True) as (part,), part.open("wb") as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for batch in in_batches(line_of.tolist()):
                lines = np.array(batch)
                block = np.full((len(lines), shape[1]), np.nan, dtype="<f4")
                block[lines >= 0] = vectors[lines[lines >= 0]]
                stream.write(block.tobytes())
