"""Which key of a file is which column, and which word which role, where somebody names them.

A user names them with --columns and --roles, a registered data set in its dataset_info.json. Rows
stay as they are: what is named becomes the file's shape. What a user does not name is looked for
under LLaMA-Factory's own names; '' names what is not to be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from curate.data.formats import Format, Row, detected, format_named, keys_of, kto_column, mostly
from curate.data.formats.messages import message_keys, tags_of
from curate.data.formats.named import beside
from curate.data.row_keys import RENAMED, folded
from curate.data.schema import MEDIA, ROLES, Shape
from curate.errors import DataError, UsageError, did_you_mean

COLUMNS = (
    *("prompt", "query", "response", "history", "system", "messages", "tools"),
    *("chosen", "rejected", "kto_tag", *MEDIA),
)
PARTS = ("role", "content")  # keys of a message
_PAIR = ("chosen", "rejected")
# Without them a row says nothing; others may turn up late in a file.
_NEEDED = ("prompt", "response", "messages", *_PAIR)
_USUAL = {"response": "output", "query": "input"}  # keys beside a prompt of any name
_SHOWN = 12


@dataclass(frozen=True)
class Naming:
    """LLaMA-Factory's column, or `role` and `content` of a message, to key; and role to word."""

    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    by: str = "--columns"  # what names them, for people
    expected: tuple[str, ...] = ()  # columns whose keys some row has to have

    def __bool__(self) -> bool:
        return bool(self.columns or self.roles)

    def in_use(self, shape: Shape) -> dict[str, str]:
        """Return the named columns with the keys that they were read from, '' for none."""
        keys = {part: shape.tags.get(f"{part}_tag", "") for part in PARTS} | shape.columns
        return {
            column: keys.get(column, "")
            for column, key in self.columns.items()
            if not key or column in keys
        }

    def is_of(self, value: Any) -> bool:
        """Tell whether a value has keys that are named: it is a row, and holds no rows."""
        keys = {key for column, key in self.columns.items() if key and column not in PARTS}
        return isinstance(value, dict) and any(
            key in value or folded(key) in map(folded, value) for key in keys
        )


def naming(columns: Mapping[str, str] | None, roles: Mapping[str, str] | None) -> Naming:
    """Return what a user names, every name and word checked."""
    columns, roles = dict(columns or {}), dict(roles or {})
    for what, named, allowed in (("columns", columns, (*COLUMNS, *PARTS)), ("roles", roles, ROLES)):
        for name, word in named.items():
            if name not in allowed:
                raise UsageError(
                    f"{what} {name!r}: no such name.{did_you_mean(str(name), allowed)} Allowed are "
                    f"{', '.join(allowed)}, each with the rows' own word behind ="
                )
            if not isinstance(word, str):
                raise UsageError(f"{what} {name}={word!r}: allowed is a text; give the rows' word")
        twice = [word for word, times in Counter(named.values()).items() if word and times > 1]
        if twice:
            both = " and ".join(name for name, word in named.items() if word == twice[0])
            raise UsageError(f"{what}: {twice[0]!r} is named as {both}; name it once")
    fields = [name for name in ("prompt", "query", "response", "history") if columns.get(name)]
    messages = [name for name in ("messages", *PARTS) if columns.get(name)]
    if fields and (messages or roles):
        raise UsageError(
            f"columns {', '.join(fields)} and {', '.join(messages) or '--roles'}: rows have a "
            "prompt and a response, or they have messages with roles; name what these rows have"
        )
    return Naming(columns, roles, expected=tuple(columns))


def layout_named(
    name: str, container: str, head: Sequence[Any], format_name: str, naming: Naming
) -> tuple[Format, Shape]:
    """Return the format of a file and the shape of its rows by what is named."""
    rows = [row for row in head if isinstance(row, dict)]
    if not rows:
        return detected(name, container, head, format_name)
    file = _File(name, rows, naming, format_name)
    columns = {
        column: file.key(column, key)
        for column, key in naming.columns.items()
        if key and column not in PARTS
    }
    if "messages" in columns or naming.roles or any(part in naming.columns for part in PARTS):
        form, shape = _of_messages(file, columns)
    elif "prompt" in columns:
        form, shape = _of_fields(file, columns)
    else:
        form, shape = detected(name, container, head, format_name)
        ranking = shape.ranking or columns.keys() >= {*_PAIR}
        everything = {**file.unnamed(shape.columns, columns), **columns}
        file.check_needed(form, shape.columns, everything)
        shape = replace(shape, columns=everything, ranking=ranking)
    optional = {} if shape.kind == "pretraining" else file.unnamed(form.optional, shape.columns)
    for column, key in columns.items():
        if not any(key in row for row in rows):  # it may turn up later
            optional[column] = shape.columns.pop(column)
    return replace(form, optional=optional), shape


@dataclass(frozen=True)
class _File:
    """Some rows of a file, and what is named of them."""

    name: str
    rows: list[Row]
    naming: Naming
    format: str

    @property
    def keys(self) -> dict[str, str]:
        return keys_of(self.rows)

    def key(self, column: str, named: str, rows: list[Row] | None = None) -> str:
        """Return the key of the rows that is meant: exactly so, or in other letters."""
        rows = self.rows if rows is None else rows
        keys = keys_of(rows)
        if any(named in row for row in rows):
            return named
        if folded(named) in keys or RENAMED.get(named) in keys:
            return keys.get(folded(named)) or RENAMED[named]
        if column not in (*_NEEDED, *PARTS):
            return named
        raise DataError(
            f"{self.name}, {self.naming.by} {column}={named}: no row has this key."
            f"{did_you_mean(named, keys.values())} They have {_some(keys.values())}; name one of "
            "them"
        )

    def unnamed(self, usual: Mapping[str, str], taken: Mapping[str, str]) -> dict[str, str]:
        """Return those of usual columns that are not named and whose keys are not taken."""
        return {
            column: key
            for column, key in usual.items()
            if column not in {*taken, *self.naming.columns} and key not in taken.values()
        }

    def with_unnamed(self, usual: Mapping[str, str], columns: dict[str, str]) -> dict[str, str]:
        verdict = {} if "chosen" in columns else kto_column(self.rows)
        more = {**beside(usual, self.keys), **verdict}
        return {**self.unnamed(more, columns), **columns}

    def check_needed(
        self, form: Format, usual: Mapping[str, str], columns: Mapping[str, str]
    ) -> None:
        """Refuse to take a key for another column than the one without which rows say nothing."""
        named, by = self.naming.columns, self.naming.by
        no_response = named.get("response") == "" or columns.keys() >= {*_PAIR}
        unanswered = {"response"} if no_response else set()
        for column in _NEEDED:
            if column in usual.keys() - columns.keys() - unanswered:
                other = next((c for c, key in columns.items() if key == usual[column]), column)
                raise UsageError(
                    f"{self.name}, {by} {other}={named.get(other, '')}: rows read as {form.name} "
                    f"have the {column} there; name {column}=KEY, too, or leave {other} out"
                )

    def form(self, *allowed: str) -> Format:
        if self.format and self.format not in allowed:
            raise UsageError(
                f"--format {self.format}: with what {self.naming.by} names, allowed are "
                f"{', '.join(allowed)}; leave --format out"
            )
        return format_named(self.format or allowed[0])


def _some(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:_SHOWN]) or "none"


def _of_fields(file: _File, columns: dict[str, str]) -> tuple[Format, Shape]:
    named, by, form = file.naming.columns, file.naming.by, file.form("alpaca", "pretraining")
    pair = [column for column in _PAIR if column in columns]
    if len(pair) == 1:
        raise UsageError(f"{by} {pair[0]}={columns[pair[0]]}: name {' and '.join(_PAIR)}, both")
    unanswered = not pair and named.get("response") == ""
    if form.name == "pretraining" or unanswered:
        shape = Shape("pretraining", "alpaca", {"prompt": columns["prompt"]})
        return format_named("pretraining"), shape
    keys = file.keys
    usual = {column: keys[key] for column, key in _USUAL.items() if key in keys}
    columns = {**file.unnamed(usual, columns), **columns}
    if pair:
        columns.pop("response", None)
    elif "response" not in columns:
        others = [key for key in keys.values() if key not in columns.values()]
        raise DataError(
            f"{file.name}, {by} prompt={columns['prompt']}: which key is the response? Name it "
            f"with --columns response=KEY, one of {_some(others)}; texts for pre-training are "
            "read with --format pretraining"
        )
    optional = {c: k for c, k in form.optional.items() if c not in _USUAL}
    columns = file.with_unnamed(optional, columns)
    return form, Shape("alpaca", "alpaca", columns, ranking=bool(pair))


def _of_messages(file: _File, columns: dict[str, str]) -> tuple[Format, Shape]:
    named, form = file.naming.columns, file.form("sharegpt", "openai")
    lists = [(key, value) for row in file.rows for key, value in row.items() if _are_dicts(value)]
    role = named.get("role", "")
    fitting = [k for k, v in lists if (role in v[0] if role else message_keys({"messages": v}))]
    key = columns.get("messages") or next(iter((*fitting, *(k for k, _ in lists))), "")
    messages = [item for at, value in lists if at == key for item in value if _are_dicts([item])]
    if not messages:
        raise DataError(
            f"{file.name}: {f'{key!r} holds' if key else 'its rows hold'} no list of messages; "
            "name the key that does with --columns messages=KEY; the rows have "
            f"{_some(file.keys.values())}"
        )
    usual = next((keys[0][1:] for m in messages if (keys := message_keys({"m": [m]}))), ("", ""))
    role_tag, content_tag = (
        file.key(part, named[part], messages) if named.get(part) else tag
        for part, tag in zip(PARTS, usual, strict=True)
    )
    if not role_tag or not content_tag:
        raise DataError(
            f"{file.name}: the messages of {key!r} have the keys "
            f"{_some(keys_of(messages).values())}; say which holds who speaks and which the text: "
            "--columns role=KEY content=KEY"
        )
    tags = {"role_tag": role_tag, "content_tag": content_tag}
    tags |= _words(file, key, Counter(str(m[role_tag]) for m in messages if role_tag in m))
    if mostly(file.rows, *_PAIR):
        pair = {**file.unnamed({column: column for column in _PAIR}, columns), **columns}
        columns = pair if pair.keys() >= {*_PAIR} else columns
    columns = file.with_unnamed(form.optional, {**columns, "messages": key})
    return form, Shape("sharegpt", "sharegpt", columns, tags, columns.keys() >= {*_PAIR})


def _words(file: _File, key: str, words: Counter[str]) -> dict[str, str]:
    """Return the word of each role: the one that is named, else one that is known and not taken."""
    named, by = file.naming.roles, file.naming.by.replace("columns", "roles")
    taken = set(named.values())
    known = {tag.removesuffix("_tag"): word for tag, word in tags_of(words).items()}
    roles = {role: "" if known[role] in taken else known[role] for role in ROLES} | dict(named)
    strangers = [word for word in words if word not in roles.values()]
    for role in ("user", "assistant"):
        if roles[role] in words or not strangers:
            continue
        has = f"The messages of {key!r} have the roles {_some(words)}"
        if role in named:
            raise DataError(
                f"{file.name}, {by} {role}={named[role]}: no message has this role."
                f"{did_you_mean(named[role], words)} {has}; name one of them"
            )
        raise DataError(
            f"{file.name}: who is the {role}? {has}; say which is which with "
            "--roles user=WORD assistant=WORD"
        )
    return {f"{role}_tag": word for role, word in roles.items()}


def _are_dicts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)
