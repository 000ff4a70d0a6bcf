"""From the words of the command line to those of Python, for what a notebook shows.

Notes and errors name options as they are typed, `--keep 10%`. Here, and nowhere else, that
becomes `keep="10%"`, and `curate dedup` in back quotes becomes `curate.dedup()`. What is typed in a
terminal alone (`curate models --get M`, `train sft`) stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Commands that are functions, and options that have no value.
FUNCTIONS = (
    *("car", "dedup", "doctor", "ifd", "mix", "mods", "prove", "report", "score", "select"),
    "using",
)
FLAGS = frozenset(
    ("brief-experience", "content", "dry-run", "fix", "good-only", "keep-above-one")
    + ("keep-thinking", "no-map", "no-packing", "overwrite", "rates-per-arm", "table")
    + ("trust-remote-code",)
)
# A small word behind an option is its value if it is one of these; else it goes on the sentence.
_WORDS = (
    "alpaca|answers|auto|base|basic|belle|calls|chat|clusters|coachlm|comet|completion|"
    "complexity|context|deita|diverse|dolly|exam|exchanges|firefly|huatuogpt|ifd|io|kto|length|like|"
    "longest|loss|margin|meddialog|moss|none|oasst|openai|pairs|ppl|preference|pretraining|"
    "prompt|qa|qas|quality|query|questions|random|ranking|repeat|response|responses|reward|sft|"
    "sharegpt|shrink|speakers|spoken|stack|superfilter|swift|threshold|toyhom|trained|ultrachat|use|"
    "wenda"
)
_DICTS, _LISTS = ("fill", "columns", "roles"), ("set", "train-set")
# A quoted text, a number, a name in capitals, a small word with - or _ in it, or anything with a
# digit, %, = or / in it; no mark of the sentence's own.
_VALUE = (
    r"(?:'[^'\n]*'|-?\d[\d,]*(?:\.\d+)?(?![\w%/=.:-]*[\w%/])"
    r"|(?=[^\s;()`'\"]*[\d%/=])[^\s;()`'\",]*[^\s;()`'\",.:]"
    r"|[A-Z]{1,8}\b|[a-z]+(?:[-_][a-z0-9]+)+\b|(?:" + _WORDS + r")\b)"
)
_OPTION = rf"--([a-z][a-z-]*[a-z])((?: {_VALUE})*)"
_PARTS = re.compile(
    # At the beginning stands what was given, whatever it is, and a colon.
    rf"^--(?P<first>[a-z-]+) (?P<given>[^:;`]{{1,60}})(?=: )"
    rf"|(?P<quote>`?)curate (?P<command>[a-z]+)(?P<rest>(?: [a-z]+\b)?(?: {_OPTION})*)(?P=quote)"
    rf"|(?P<other>(?:train|deploy) [a-z]+(?: {_OPTION})+)|{_OPTION}"
)


def in_python(text: str) -> str:
    """Return a note or an error with options and commands as Python has them.

    Example:
        >>> in_python("--keep 0: allowed are 5%, 500; see `curate models`, or --model gemma3-270m")
        'keep=0: allowed are 5%, 500; see `curate models`, or model="gemma3-270m"'
    """
    return _PARTS.sub(_translated, text)


def _translated(match: re.Match[str]) -> str:
    whole, first, command = match[0], match["first"], match["command"]
    if first:
        if first in FLAGS or re.fullmatch(_OPTION, whole):
            return re.sub(_OPTION, _option, whole)
        return f"{first.replace('-', '_')}={_quoted(match['given'])}"
    if command:
        options = re.findall(_OPTION, match["rest"])
        if command not in FUNCTIONS or not (match["quote"] or options):
            return whole
        inside = ", ".join(_named(name, re.findall(_VALUE, values)) for name, values in options)
        return f"{match['quote']}curate.{command}({inside}){match['quote']}"
    return whole if match["other"] else re.sub(_OPTION, _option, whole)


def _option(match: re.Match[str]) -> str:
    return _named(match[1], re.findall(_VALUE, match[2]))


def _named(option: str, values: Sequence[str]) -> str:
    """Return an option with its values as a keyword."""
    name = option.replace("-", "_")
    if option == "seeds-only":
        return 'responder="none"'
    if option in FLAGS:
        return " ".join((f"{name}=True", *values))
    if not values:
        return name
    if option in _DICTS and all("=" in value for value in values):
        pairs = (value.partition("=") for value in values)
        return f"{name}={{{', '.join(f'{_text(key)}: {_text(word)}' for key, _, word in pairs)}}}"
    if option in _LISTS:
        return f"{name}=[{', '.join(map(_text, values))}]"
    written = [_quoted(value) for value in values]
    return f"{name}={written[0] if len(written) == 1 else '(' + ', '.join(written) + ')'}"


def _quoted(value: str) -> str:
    number = value.replace(",", "")
    if re.fullmatch(r"-?\d+(\.\d+)?", number):
        return number
    return value if re.fullmatch("[A-Z]{1,8}", value) else _text(value.strip("'"))


def _text(value: str) -> str:
    return '"' + value.replace('"', "'") + '"'
