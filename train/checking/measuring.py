"""A model's tokenizer and template in the form that the doctor measures a cutoff with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError
from train.planning.models import read_json
from train.planning.templates import Choice

if TYPE_CHECKING:
    from curate.llamafactory.doctor.stages import Verdict
    from curate.llamafactory.doctor.truncation import Cutoff, Template

_END_OF_TURN = "<|im_end|>"
# Templates that differ from chatml in their system prompt alone, as far as lengths go.
_LIKE_CHATML = {
    "chatml": "",
    "qwen": "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    "qwen3_nothink": "",
    "smollm2": "You are a helpful AI assistant named SmolLM, trained by Hugging Face.",
}


# Rules of rows that the cutoff shortens.
_CUT = {"cut_text", "cut_prompt", "cut_response", "no_end_token", "no_response_left", "lost_turns"}


class Counting:
    """Measures rows as the doctor's Cutoff does, and counts their tokens on the way.

    Attributes:
        tokens: Of all usable rows.
        longest: Tokens of the longest row.
        cut: Rows of the file that are cut.
    """

    def __init__(self, cutoff: Cutoff, tokens: Tokens) -> None:
        self._cutoff, self._counter = cutoff, tokens
        self.tokens = self.longest = self.cut = 0

    @property
    def about(self) -> str:
        """What is assumed, for people."""
        return self._cutoff.about

    def begins(self) -> None:
        """Hear that a file begins."""
        self.cut = 0
        self._cutoff.begins()

    def row(self, stage: str, verdict: Verdict) -> Iterable[str]:
        """Return the rules that a row falls under, and count."""
        before = self._counter.counted
        rules = list(self._cutoff.row(stage, verdict))
        self.cut += bool(_CUT & set(rules))
        # The end token that packed texts get is not encoded.
        here = self._counter.counted - before + (1 if stage == "pt" else 0)
        self.tokens += here
        self.longest = max(self.longest, here)
        return rules

    def batch_ends(self) -> None:
        """Hear that 1,000 rows have passed by, or the last ones."""
        self._cutoff.batch_ends()

    def whole(self) -> Iterable[tuple[str, str]]:
        """Return rules that hold for the file."""
        return self._cutoff.whole()


class Tokens:
    """A tokenizer.json, without the libraries that load models.

    Args:
        folder: Of the model.
        end: The token that ends a response.
    """

    def __init__(self, folder: Path, end: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        found = self._tokenizer.token_to_id(end)
        if found is None:
            raise ModelError(f"the tokenizer in {folder} does not know its own end token {end}")
        self._end = int(found)
        self.counted = 0

    @property
    def end(self) -> int:
        """The id of the token that ends a response."""
        return self._end

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, nothing added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        self.counted += len(ids)
        return ids


def measure(
    folder: Path | None, choice: Choice, cutoff: int, unpacked: bool
) -> tuple[Counting | None, str]:
    """Return what measures rows, or None and why there is no measuring."""
    from curate.llamafactory.doctor.truncation import Cutoff

    own = _own(folder) if choice.name is None and folder is not None else None
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None, "the model's tokenizer.json is not here"
    template = own or _known(choice.name or "")
    end = _END_OF_TURN if choice.name in _LIKE_CHATML else _end_token(folder)
    if template is None or not end:
        return None, f"template {choice.name} is not one that is measured"
    tokens = Tokens(folder, end)
    return Counting(Cutoff(template, tokens, cutoff, unpacked), tokens), ""


def _known(name: str) -> Template | None:
    from curate.llamafactory.doctor.truncation import TEMPLATES

    if name in _LIKE_CHATML:
        return replace(TEMPLATES["chatml"], name=name, default_system=_LIKE_CHATML[name])
    return TEMPLATES.get(name)


def _end_token(folder: Path) -> str:
    path = folder / "tokenizer_config.json"
    told = read_json(path).get("eos_token") if path.is_file() else None
    told = told.get("content") if isinstance(told, dict) else told
    return told if isinstance(told, str) else ""


def _own(folder: Path) -> Template:
    """Return the template that LLaMA-Factory takes out of a tokenizer, if it says the same."""
    from transformers import AutoTokenizer

    from curate.llamafactory.doctor.own_template import own_template

    tokenizer = AutoTokenizer.from_pretrained(str(folder))

    def render(messages: list[dict[str, str]], header: bool) -> str:
        return str(
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=header)
        )

    what = "the tokenizer's own chat template cannot be taken apart as LLaMA-Factory does it"
    try:
        template = own_template(render, tokenizer.decode(tokenizer.encode("")))
        talk = [("user", "u1"), ("assistant", "a1"), ("user", "u2"), ("assistant", "a2")]
        told = render([{"role": role, "content": text} for role, text in talk], False)
    except Exception as error:  # noqa: BLE001 - a chat template raises whatever it likes
        raise ModelError(
            f"{what} ({(str(error).splitlines() or [''])[0]}); name one with --template, such as "
            "default"
        ) from error
    if _joined(template, talk).rstrip() != told.rstrip():
        raise ModelError(f"{what}: turns come out otherwise; name one with --template")
    return replace(template, name="own")


def _joined(template: Template, talk: list[tuple[str, str]]) -> str:
    from curate.llamafactory.doctor.truncation import CONTENT

    def fill(slots: Iterable[object], text: str) -> str:
        return "".join(str(slot) for slot in slots).replace(CONTENT, text, 1)

    system = fill(template.system, template.default_system) if template.default_system else ""
    turns = [
        fill(template.user if role == "user" else template.assistant, text) for role, text in talk
    ]
    return template.prefix + system + "".join(turns)
