"""What a row is, whatever file it came from, and what LLaMA-Factory must be told of its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

# Flaws that leave no canonical view: such a row is known by its raw JSON alone.
STRUCTURAL = frozenset(
    {"not_an_object", "wrong_field_count", "not_text", "unknown_role", "bad_history", "other_keys"}
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
ROLES = ("user", "assistant", "observation", "function", "system")

# White space, and characters that nobody sees: zero-width ones, soft hyphens, byte order marks.
_UNSEEN = " \t\n\r\v\f\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\u3000\ufeff"

Kind = Literal["sft", "preference", "kto", "pretraining"]


def is_blank(text: str) -> bool:
    """Tell whether a text shows nothing."""
    return not text.strip() or not text.strip(_UNSEEN)


class Turn(NamedTuple):
    role: str  # user, assistant, observation or function; in a `bad_turn_order` also system
    content: str


class Parsed(NamedTuple):
    """The canonical view of one row, as a format's `parse` makes it."""

    system: str = ""
    turns: tuple[Turn, ...] = ()  # all messages but a leading system message
    input: str = ""  # Alpaca's, which is also part of the last user turn
    chosen: str | None = None  # the preferred response of a ranking row
    rejected: str | None = None
    tools: str = ""  # their descriptions as text
    verdict: bool | None = None  # KTO's: whether the response is a good one
    flaw: str = ""  # why the row cannot be trained on

    @property
    def prompt(self) -> str:
        return self._last("user", "observation")

    @property
    def response(self) -> str:
        """The last answer; the preferred one of a ranking row."""
        return self._last("assistant", "function") if self.chosen is None else self.chosen

    def _last(self, *roles: str) -> str:
        for turn in reversed(self.turns):
            if turn.role in roles:
                return turn.content
        return ""

    @property
    def texts(self) -> list[str]:
        beside = [self.system, self.tools, self.chosen or "", self.rejected or ""]
        return [*beside, *(turn.content for turn in self.turns)]

    @property
    def responses(self) -> int:
        """How many answers there are; two to compare are one."""
        answers = [turn for turn in self.turns if turn.role in ("assistant", "function")]
        return len(answers) + (self.chosen is not None)


@dataclass(frozen=True)
class Shape:
    """The keys and role names of a file: all that its dataset_info.json entry has to say."""

    format: str  # name of a Format of `curate.data.formats`
    formatting: Literal["alpaca", "sharegpt"]  # LLaMA-Factory's converter
    # LLaMA-Factory's column to the file's key, for every column that the file has.
    columns: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)  # all seven for sharegpt, none for alpaca
    ranking: bool = False  # whether rows are preference pairs

    @property
    def kind(self) -> Kind:
        if self.ranking:
            return "preference"
        if "kto_tag" in self.columns:
            return "kto"
        answered = self.formatting == "sharegpt" or "response" in self.columns
        return "sft" if answered else "pretraining"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def value(self, row: Mapping[str, Any], column: str) -> Any:
        """Return what a row has in a column; pandas' index, whose key is '', is none."""
        return row.get(self.columns[column]) if column in self.columns else None

    def with_columns(self, optional: Mapping[str, str], keys: Iterable[str]) -> Shape:
        """Return the shape with those optional columns whose keys occur in the file."""
        present = set(keys)
        added = {column: key for column, key in optional.items() if key in present}
        return replace(self, columns={**added, **self.columns})

    def joined(self, other: Shape) -> Shape | None:
        """Return the shape of rows of both, with columns that only one has; None without one."""
        columns = {**other.columns, **self.columns}
        alike = (self.formatting, self.tags) == (other.formatting, other.tags)
        alike = alike and other.columns.items() <= columns.items()
        whole = len({*columns.values()}) == len(columns)  # else one key would be read twice
        return replace(self, columns=columns) if alike and whole else None

    def __str__(self) -> str:
        names = {**self.columns, **self.tags}
        kind = f"{self.format} ranking" if self.ranking else self.format
        return f"{kind} ({', '.join(f'{name}={key}' for name, key in names.items())})"


class Converted(NamedTuple):
    """A row made readable by its format: as it is kept and emitted."""

    row: dict[str, Any]
    changes: tuple[str, ...] = ()  # what was done to it, for people
    flaw: str = ""  # why it could not be converted; '' leaves it to parsing to find a flaw
    unused: tuple[str, ...] = ()  # keys that held text and are gone with it


@dataclass(frozen=True)
class Source:
    """A file that rows came from."""

    name: str  # without its folder
    sha256: str
    format: str
    container: str  # what held the rows: json, jsonl, csv, parquet …
    encoding: str
    rows: int
    changes: dict[str, int] = field(default_factory=dict)  # in reading, to rows; 0: the file
    unused: dict[str, int] = field(default_factory=dict)  # keys whose text is not used, to rows
    fill: dict[str, str] = field(default_factory=dict)  # placeholder to the text put there
    unfilled: dict[str, int] = field(default_factory=dict)  # to rows in which it still stands
    columns: dict[str, str] = field(default_factory=dict)  # named ones to keys, '' for none
    roles: dict[str, str] = field(default_factory=dict)  # named ones to words
    part: str = ""  # of the file: a sheet, a member, rows that an entry takes; '' for the whole
