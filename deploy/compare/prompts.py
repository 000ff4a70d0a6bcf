"""What both models are asked: rows of any file that curate reads, or lines of a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from curate.data.read import read
from curate.data.rows import Row, Rows
from curate.data.schema import Turn
from curate.errors import DataError
from curate.models.row_templates import asked_turns


@dataclass(frozen=True)
class Prompt:
    id: str  # of its row
    source: str  # name of its file
    system: str  # '' without one
    turns: tuple[Turn, ...]  # the last one is the user's
    reference: str = ""  # the answer that the row has
    trained_on: bool | None = None  # whether the tuned model was; None if that is not known

    @property
    def messages(self) -> list[dict[str, str]]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        return system + [{"role": turn.role, "content": turn.content} for turn in self.turns]


@dataclass(frozen=True)
class Prompts:
    """All that is asked, in the order of the rows, and what could not be."""

    prompts: tuple[Prompt, ...]
    read: int  # rows that were looked at
    left_out: dict[str, int]  # by reason: a flaw, tools, media, trained_on, beyond_limit
    sources: dict[str, str]  # name of a file to its sha256


def read_rows(path: Path) -> Rows:
    """Read a file of prompts; of a .txt that holds no rows, every line is a prompt."""
    try:
        return read(path)
    except DataError as error:
        if path.suffix.lower() != ".txt" or not path.is_file() or not path.stat().st_size:
            other = "Prompts without answers can be given as a .txt, a prompt a line"
            raise DataError(f"{error}. {other}") from error
    return read(path, "pretraining")


def prompts_of(
    *files: Rows,
    trained_on: Callable[[Row], bool | None] = lambda row: None,
    held_out: bool = False,
) -> Prompts:
    """Return what rows ask, each prompt with what `trained_on` says of its row.

    With `held_out`, rows that were trained on are left out, and one at least has to remain.
    """
    prompts: list[Prompt] = []
    reasons: Counter[str] = Counter()
    for rows in files:
        lines = all(source.container == "lines" for source in rows.sources)
        if rows.shape.kind == "pretraining" and not lines:
            names = ", ".join(source.name for source in rows.sources)
            give = "give rows with prompts, or a .txt with a prompt a line"
            raise DataError(f"{names} holds documents, which ask nothing; {give}")
        for row in rows:
            seen = trained_on(row)
            prompt = "trained_on" if held_out and seen else _prompt(row)
            if isinstance(prompt, str):
                reasons[prompt] += 1
            else:
                prompts.append(replace(prompt, trained_on=seen))
    asked = Prompts(
        prompts=tuple(prompts),
        read=sum(len(rows) for rows in files),
        left_out=dict(sorted(reasons.items())),
        sources={source.name: source.sha256 for rows in files for source in rows.sources},
    )
    if held_out:
        check_asked(asked)
    return asked


def _prompt(row: Row) -> Prompt | str:
    turns = asked_turns(row)
    if isinstance(turns, str):
        return turns
    if not turns[-1].content.strip():
        return "empty_prompt"
    answered = len(turns) < len(row.turns)
    reference = row.parsed.chosen or (row.turns[-1].content if answered else "")
    return Prompt(
        id=row.id,
        source=row.source,
        system=writable(row.system),
        turns=tuple(Turn(turn.role, writable(turn.content)) for turn in turns),
        reference=writable(reference).strip(),
    )


def writable(text: str) -> str:
    """Return a text without halves of characters, which no tokenizer and no file takes."""
    return text.encode("utf-8", "replace").decode()


def check_asked(prompts: Prompts) -> None:
    if not prompts.prompts:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in prompts.left_out.items())
        raise DataError(
            f"{', '.join(prompts.sources)}: none of {prompts.read:,} rows can be asked"
            f"{f': {reasons}' if reasons else ''}; give rows with prompts that the model was not "
            "trained on, or a .txt with a prompt a line, as --prompts"
        )


def limited(prompts: Prompts, limit: int, seed: int) -> Prompts:
    over = len(prompts.prompts) - limit
    if over <= 0:
        return prompts
    drawn = np.random.default_rng(seed).choice(len(prompts.prompts), limit, replace=False)
    return replace(
        prompts,
        prompts=tuple(prompts.prompts[place] for place in sorted(drawn.tolist())),
        left_out={**prompts.left_out, "beyond_limit": over},
    )
