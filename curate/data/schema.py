"""What a row is, whatever file it came from, and what LLaMA-Factory must be told of its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

# Flaws that leave no canonical view: such a row is known by its raw JSON alone.
STRUCTURAL = frozenset(
    {"not_an_object", "wrong_field_count", "not_text", "unknown_role", "bad_history"}
)

# LLaMA-Factory's own words, for rows that are written anew.
CANONICAL_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
MEDIA = ("images", "videos", "audios")

Kind = Literal["sft", "preference", "kto", "pretraining"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message.

    Attributes:
        role: `user`, `assistant`, `observation` or `function`; in a row with the flaw
            `bad_turn_order` also `system`.
        content: Its text.
    """

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """The canonical view of one row, as a format's `parse` makes it.

    Attributes:
        system: The system prompt, '' without one.
        turns: All messages but a leading system message.
        input: Alpaca's input, which is also part of the last user turn.
        chosen: The preferred response of a ranking row.
        rejected: The other response of a ranking row.
        tools: Descriptions of tools as text, '' without them.
        verdict: KTO's: whether the response is a good one; None in other rows.
        flaw: Why the row cannot be trained on, '' if it can.
    """

    system: str = ""
    turns: tuple[Turn, ...] = ()
    input: str = ""
    chosen: str | None = None
    rejected: str | None = None
    tools: str = ""
    verdict: bool | None = None
    flaw: str = ""

    @property
    def prompt(self) -> str:
        """The last thing that was asked."""
        return self._last("user", "observation")

    @property
    def response(self) -> str:
        """The last answer; the preferred one of a ranking row."""
        return self._last("assistant", "function") if self.chosen is None else self.chosen

    def _last(self, *roles: str) -> str:
        return next((turn.content for turn in reversed(self.turns) if turn.role in roles), "")

    @property
    def responses(self) -> int:
        """How many answers there are; two to compare are one."""
        answers = sum(turn.role in ("assistant", "function") for turn in self.turns)
        return answers + (self.chosen is not None)


@dataclass(frozen=True)
class Shape:
    """The keys and role names of a file: all that its dataset_info.json entry has to say.

    Attributes:
        format: The reader's name, of a module of `curate.data.formats`.
        formatting: LLaMA-Factory's converter.
        columns: LLaMA-Factory's column to the file's key, for every column that the file has.
        tags: All seven of LLaMA-Factory's tags for sharegpt, none for alpaca.
        ranking: Whether rows are preference pairs.
    """

    format: str
    formatting: Literal["alpaca", "sharegpt"]
    columns: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    ranking: bool = False

    @property
    def kind(self) -> Kind:
        """What rows of this shape are good for."""
        if self.ranking:
            return "preference"
        if "kto_tag" in self.columns:
            return "kto"
        answered = self.formatting == "sharegpt" or "response" in self.columns
        return "sft" if answered else "pretraining"

    def as_dict(self) -> dict[str, Any]:
        """Return the shape as JSON has it."""
        return asdict(self)

    def with_columns(self, optional: Mapping[str, str], keys: Iterable[str]) -> Shape:
        """Return the shape with those optional columns whose keys occur in the file."""
        present = set(keys)
        added = {column: key for column, key in optional.items() if key in present}
        return replace(self, columns={**added, **self.columns})

    def __str__(self) -> str:
        names = {**self.columns, **self.tags}
        kind = f"{self.format} ranking" if self.ranking else self.format
        return f"{kind} ({', '.join(f'{name}={key}' for name, key in names.items())})"


@dataclass(frozen=True, slots=True)
class Converted:
    """A row made readable by its format.

    Attributes:
        row: The row that is kept and emitted.
        changes: What was done to it, for people; empty where nothing was lost or moved.
        flaw: Why it could not be converted; '' leaves it to parsing to find a flaw.
    """

    row: dict[str, Any]
    changes: tuple[str, ...] = ()
    flaw: str = ""


@dataclass(frozen=True)
class Source:
    """A file that rows came from.

    Attributes:
        name: File name, without its folder.
        sha256: Of its bytes.
        format: Reader of its rows.
        container: What held them: json, jsonl, csv, parquet …
        encoding: Of its text.
        rows: How many it has.
        changes: What its format changed to make it readable, to the rows changed.
        fill: Placeholder to the text that was put there.
        unfilled: Placeholder to the rows in which it still stands.
    """

    name: str
    sha256: str
    format: str
    container: str
    encoding: str
    rows: int
    changes: dict[str, int] = field(default_factory=dict)
    fill: dict[str, str] = field(default_factory=dict)
    unfilled: dict[str, int] = field(default_factory=dict)


def text_of(value: Any) -> str | None:
    """Return a field as text: '' for a missing one, None for one that is no text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else None


def tools_of(value: Any) -> str:
    """Return descriptions of tools as text, whether the file has them as text or as JSON."""
    if not value:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def mostly(samples: list[dict[str, Any]], *keys: str) -> bool:
    """Tell whether at least half of the rows have all of the keys."""
    having = sum(all(key in row for key in keys) for row in samples)
    return having > 0 and 2 * having >= len(samples)


def kto_column(samples: list[dict[str, Any]]) -> dict[str, str]:
    """Return the column of KTO's verdict, if rows have one: true, false, here and there nothing.

    A `label` that is a word is something else.
    """
    for key in ("kto_tag", "label"):
        kinds = {type(row.get(key)) for row in samples}
        if mostly(samples, key) and bool in kinds and kinds <= {bool, type(None)}:
            return {"kto_tag": key}
    return {}


def verdict_of(value: dict[str, Any], shape: Shape) -> bool | None:
    """Return KTO's verdict on a row, None for a row without one."""
    verdict = value.get(shape.columns.get("kto_tag", ""))
    return verdict if isinstance(verdict, bool) else None
