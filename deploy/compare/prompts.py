"""What both models are asked: rows of any file that curate reads, or lines of a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.data.read import read
from curate.data.rows import Row, Rows
from curate.data.schema import Turn
from curate.errors import DataError

_MEDIA = ("images", "videos", "audios")


@dataclass(frozen=True)
class Prompt:
    """A question, and what a person answered to it.

    Attributes:
        id: Of its row.
        source: Name of its file.
        system: The system prompt, '' without one.
        turns: What was said, the last turn the user's.
        reference: The answer that the row has, '' for a row without one.
        trained_on: Whether the tuned model was trained on this prompt; None if that is not known.
    """

    id: str
    source: str
    system: str
    turns: tuple[Turn, ...]
    reference: str = ""
    trained_on: bool | None = None

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation as chat templates take it."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return system + [{"role": each.role, "content": each.content} for each in self.turns]


@dataclass(frozen=True)
class Prompts:
    """All that is asked, and what could not be.

    Attributes:
        prompts: In the order of their rows.
        read: Rows that were looked at.
        left_out: Reason to the rows that are not asked: a flaw, `tools`, `media`, `trained_on`,
            `beyond_limit`.
        sources: File name to the sha256 of its bytes.
    """

    prompts: tuple[Prompt, ...]
    read: int
    left_out: dict[str, int]
    sources: dict[str, str]

    def __len__(self) -> int:
        """Return how many prompts there are."""
        return len(self.prompts)


def read_rows(path: Path) -> Rows:
    """Read a file of prompts; of a .txt that holds no rows, every line is a prompt."""
    try:
        return read(path)
    except DataError as error:
        if path.suffix.lower() != ".txt" or not path.is_file() or not path.stat().st_size:
            raise DataError(
                f"{error}. Prompts without answers can be given as a .txt, a prompt a line"
            ) from error
    return read(path, "pretraining")


def prompts_of(rows: Rows, keep: Iterable[int] | None = None) -> Prompts:
    """Return what the rows ask.

    Example:
        >>> prompts_of(curate.read("huatuo.json")).prompts[0].turns[-1].content
        '高血压患者能吃党参吗？'
    """
    lines = {source.name: source.container == "lines" for source in rows.sources}
    if rows.shape.kind == "pretraining" and not all(lines.values()):
        names = ", ".join(lines)
        raise DataError(
            f"{names} holds documents, which ask nothing; give rows with prompts, or a .txt with "
            "a prompt a line"
        )
    wanted = None if keep is None else set(keep)
    prompts: list[Prompt] = []
    reasons: Counter[str] = Counter()
    for row in rows:
        if wanted is not None and row.position not in wanted:
            reasons["trained_on"] += 1
            continue
        prompt = _prompt(row)
        if isinstance(prompt, str):
            reasons[prompt] += 1
        else:
            prompts.append(prompt)
    sources = {source.name: source.sha256 for source in rows.sources}
    return Prompts(tuple(prompts), len(rows), dict(sorted(reasons.items())), sources)


def _prompt(row: Row) -> Prompt | str:
    """Return what a row asks, or why it asks nothing."""
    if isinstance(row.value, dict) and any(row.value.get(each) for each in _MEDIA):
        return "media"
    turns = row.turns
    reference = row.parsed.chosen or ""
    if row.parsed.chosen is None and turns and turns[-1].role == "assistant":
        turns, reference = turns[:-1], turns[-1].content
    if row.parsed.tools or any(each.role in ("function", "observation") for each in turns):
        return "tools"
    roles = [each.role for each in turns]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        return row.flaw or "bad_turn_order"
    if not turns[-1].content.strip():
        return "empty_prompt"
    said = tuple(Turn(each.role, _writable(each.content)) for each in turns)
    return Prompt(row.id, row.source, _writable(row.system), said, _writable(reference).strip())


def _writable(text: str) -> str:
    """Return a text without halves of characters, which no tokenizer and no file takes."""
    return text.encode("utf-8", "replace").decode()


def limited(prompts: Prompts, limit: int, seed: int) -> Prompts:
    """Return as many prompts as allowed, drawn at random, in their order."""
    over = len(prompts) - limit
    if over <= 0:
        return prompts
    drawn = np.random.default_rng(seed).choice(len(prompts), limit, replace=False)
    chosen = tuple(prompts.prompts[place] for place in sorted(drawn.tolist()))
    left_out = {**prompts.left_out, "beyond_limit": over}
    return Prompts(chosen, prompts.read, left_out, prompts.sources)
