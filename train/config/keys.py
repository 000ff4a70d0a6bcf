"""`--set key=value`: keys of LLaMA-Factory 0.9.5, checked before anything starts.

What it takes is written down in llamafactory.json: a plan can be made where it is not installed.
"""

from __future__ import annotations

import functools
import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.errors import UsageError, did_you_mean
from curate.llamafactory.release import VERSION

_HERE = Path(__file__).parent
_ABOVE_0 = 1e-9
_YES, _NO = ("true", "yes", "1", "on"), ("false", "no", "0", "off")
_BOOLS = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}
# Why a key of keys.toml's tables is refused.
_REFUSALS = {
    "ours": "this is not set by hand; {0}",
    "gone": "LLaMA-Factory 0.9.5 has no such key: {0}",
    "now": "LLaMA-Factory 0.9.5 calls this {0}: --set {0}=…",
    "secret": "secrets do not belong on a command line or in a file that is kept, where others can "
    "read them; put it into the environment ({0})",
}


@functools.cache
def hints() -> dict[str, dict[str, Any]]:
    return tomllib.loads((_HERE / "keys.toml").read_text(encoding="utf-8"))


@functools.cache
def recorded(part: str) -> Any:
    """Return a part of llamafactory.json: keys, absent, templates, models, media or tools.

    `absent` are the keys that a release has not; `media` the columns of pictures, videos and
    sounds that each template takes; `tools` the tool formats of those without the default one.
    """
    return json.loads((_HERE / "llamafactory.json").read_text(encoding="utf-8"))[part]


def settings(pairs: Sequence[str], release: str = VERSION) -> tuple[dict[str, Any], list[str]]:
    """Read `key=value` pairs; the last of a key counts. Return them typed, and notes."""
    values: dict[str, Any] = {}
    notes = []
    for pair in pairs:
        name, separator, text = pair.partition("=")
        name = name.strip().lstrip("-")
        if not separator or not name:
            raise UsageError(
                f"--set {pair}: allowed is key=value, for example --set learning_rate=1e-4"
            )
        if is_share := name == "warmup_ratio":
            notes.append("warmup_ratio is deprecated: warmup_steps below 1 is a share of the steps")
            name = "warmup_steps"
        if name in recorded("absent").get(release, ()):
            raise UsageError(
                f"--set {name}: this stage runs in LLaMA-Factory {release}, which has no such key "
                "yet; leave it out"
            )
        values[name] = _value(name, text.strip())
        if is_share and values[name] >= 1:
            raise UsageError(f"--set {pair}: allowed is a share of the steps, from 0 to below 1")
    if values.get("neat_packing"):
        values["packing"] = True  # as LLaMA-Factory takes it
    return values, notes


def _value(name: str, text: str) -> Any:
    key = _key(name)
    if key.get("empty") and text.lower() in ("none", "null", ""):
        return None
    if key.get("many"):
        return [_one(name, key, part.strip()) for part in text.split(",")]
    value = _one(name, key, text)
    least, most = (hints()[end].get(name) for end in ("least", "most"))
    if least is not None and value < least:
        allowed = "more than 0" if least == _ABOVE_0 else f"{least} and more"
        raise UsageError(f"--set {name}={text}: allowed is {allowed}")
    if most is not None and value > most:
        raise UsageError(f"--set {name}={text}: allowed is {most} and less")
    # Steps are whole; below 1 they are a share of all.
    return int(value) if name.endswith("_steps") and value >= 1 else value


def _key(name: str) -> Mapping[str, Any]:
    """Return what is known of a key, or say in one line why it cannot be set."""
    for table, why in _REFUSALS.items():
        if name in hints()[table]:
            raise UsageError(f"--set {name}: {why.format(hints()[table][name])}")
    keys: Mapping[str, Mapping[str, Any]] = recorded("keys")
    if name not in keys:
        raise UsageError(
            f"--set {name}: LLaMA-Factory 0.9.5 has no such key."
            f"{did_you_mean(name, keys)} Its keys are in its documentation; `train STAGE "
            "--dry-run` shows those that are set"
        )
    return keys[name]


def _one(name: str, key: Mapping[str, Any], text: str) -> Any:
    if choices := key.get("choices", ()):
        if text not in choices:
            more = f" and {len(choices) - 12} more" if len(choices) > 12 else ""
            raise UsageError(
                f"--set {name}={text}: allowed are {', '.join(choices[:12])}{more}."
                f"{did_you_mean(text, choices)}"
            )
        return text
    read, allowed = _READERS[key["kind"]]
    try:
        return read(text)
    except (ValueError, KeyError):
        raise UsageError(f"--set {name}={text}: allowed is {allowed}") from None


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _text(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else text


_READERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "bool": (lambda text: _BOOLS[text.lower()], "true or false"),
    "int": (int, "a whole number"),
    "float": (_float, "a number such as 5e-5"),
    "json": (json.loads, 'JSON such as {"a": 1}'),
    "str": (_text, "text, or JSON where it begins with {"),
}
