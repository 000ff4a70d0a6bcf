"""How messages become tokens: LLaMA-Factory's templates, and a model's tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.errors import ModelError, UsageError, did_you_mean
from curate.system.model_folder import TOKENIZER_CONFIG, chat_template, read_json

CONTENT = "{{content}}"
# In a template: where the tokenizer's end token goes.
EOS = None
Slots = tuple[str | None, ...]


@dataclass(frozen=True)
class Template:
    """How messages become text; what follows `user` is the response."""

    name: str
    user: Slots = (CONTENT,)
    assistant: Slots = (CONTENT,)
    system: Slots = (CONTENT,)
    observation: Slots = ()
    prefix: str = ""
    default_system: str = ""
    tools: str | None = "default"  # tool format; None where it is not known


_TURN = "<|im_start|>{}\n{{{{content}}}}<|im_end|>\n"
_ANSWER = "<|im_start|>assistant\n"
TEMPLATES = {
    template.name: template
    for template in (
        Template(
            "chatml",
            user=(_TURN.format("user") + _ANSWER,),
            assistant=(f"{CONTENT}<|im_end|>\n",),
            system=(_TURN.format("system"),),
            observation=(_TURN.format("tool") + _ANSWER,),
        ),
        Template(
            "default",
            user=(f"Human: {CONTENT}", EOS, "\nAssistant:"),
            assistant=(CONTENT, EOS, "\n"),
            system=(f"System: {CONTENT}", EOS, "\n"),
        ),
        Template(
            "alpaca",
            user=(f"### Instruction:\n{CONTENT}\n\n### Response:\n",),
            assistant=(CONTENT, EOS, "\n\n"),
            default_system="Below is an instruction that describes a task. "
            "Write a response that appropriately completes the request.\n\n",
        ),
        Template("empty"),
    )
}
OFFERED = ("auto", "own", *TEMPLATES)
_OTHERWISE = "name one with --template, such as default"


class Tokens:
    """A model's tokenizer: its tokenizer.json where there is one, so that no torch is loaded."""

    def __init__(
        self, folder: Path, words: tuple[str, ...] = (), trust_remote_code: bool = False
    ) -> None:
        self._plain = (folder / "tokenizer.json").is_file()
        self._tokenizer = _loaded(folder, self._plain, trust_remote_code)
        end = ""
        for path in (folder / TOKENIZER_CONFIG, folder / "special_tokens_map.json"):
            token = read_json(path).get("eos_token") if not end and path.is_file() else ""
            token = token.get("content") if isinstance(token, dict) else token
            end = end or (token if isinstance(token, str) else "")
        words = words or (end or str(getattr(self._tokenizer, "eos_token", None) or ""),)
        known = self._tokenizer.get_vocab()
        missing = [word or "end" for word in words if word not in known]
        if missing:
            raise ModelError(
                f"the template wants the tokens {' and '.join(missing)}, and the tokenizer of "
                f"{folder.name} has not; LLaMA-Factory would add them; {_OTHERWISE}"
            )
        self.end = int(known[words[-1]])

    def encode(self, text: str) -> list[int]:
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        return list(encoded.ids if self._plain else encoded)


def template_in(folder: Path, name: str = "auto", trust_remote_code: bool = False) -> Template:
    """Return a template for the model of a folder.

    `own` is what LLaMA-Factory takes out of the tokenizer's chat template; `auto` is chatml, `own`
    or default, by what the tokenizer brings. Models whose chat template writes tools into <tools>
    are trained with one of several templates that differ from chatml in how they describe tools.
    """
    if name not in OFFERED:
        raise UsageError(
            f"--template {name}: allowed are {', '.join(OFFERED)}; LLaMA-Factory's others are "
            f"not measured.{did_you_mean(name, OFFERED)}"
        )
    if name == "auto":
        chat = chat_template(folder)
        name = "chatml" if "<|im_start|>" in chat else "own" if chat else "default"
        if name == "chatml" and "<tools>" in chat:
            return replace(TEMPLATES[name], tools=None)
    if name == "own":
        return own_template(_loaded(folder, False, trust_remote_code))
    return TEMPLATES[name]


def own_template(tokenizer: Any) -> Template:
    """Return the template that LLaMA-Factory parses out of a tokenizer's chat template."""
    talk = [("user", "u1"), ("assistant", "a1"), ("user", "u2"), ("assistant", "a2")]

    def shown(*messages: tuple[str, str], header: bool = False) -> str:
        turns = [{"role": role, "content": text} for role, text in messages]
        return str(
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=header)
        )

    what = "the tokenizer's own chat template cannot be taken apart as LLaMA-Factory does it"
    try:
        prefix = str(tokenizer.decode(tokenizer.encode("")))
        system = shown(("system", CONTENT))[len(prefix) :]
        no_system = shown(("system", ""), ("user", CONTENT), header=True)[len(prefix) :]
        user = shown(("user", CONTENT), header=True)[len(prefix) :]
        answer = shown(("user", CONTENT), ("assistant", CONTENT))[len(prefix) + len(user) :]
        whole = shown(*talk)
    except Exception as error:  # noqa: BLE001 - a chat template raises whatever it likes
        first = (str(error).splitlines() or [""])[0]
        raise ModelError(f"{what} ({first}); {_OTHERWISE}") from error
    if "<think>" in answer:
        raise ModelError(
            "this model's chat template thinks aloud, and what LLaMA-Factory makes of that depends "
            f"on its options; {_OTHERWISE}"
        )
    default = ""
    if len(user) > len(no_system):
        default = _added(no_system, user)
        user = user[len(system.replace(CONTENT, default, 1)) :]
    if not all(CONTENT in slot for slot in (system, user, answer)):
        raise ModelError(f"{what}; {_OTHERWISE}")
    turns = [(user if role == "user" else answer).replace(CONTENT, text, 1) for role, text in talk]
    opening = system.replace(CONTENT, default, 1) if default else ""
    if (prefix + opening + "".join(turns)).rstrip() != whole.rstrip():
        raise ModelError(f"{what}: turns come out otherwise; {_OTHERWISE}")
    return Template("own", (user,), (answer,), (system,), prefix=prefix, default_system=default)


def _added(short: str, long: str) -> str:
    place, added = 0, ""
    for letter in long:
        if place == len(short):
            break
        if short[place] == letter:
            place += 1
        else:
            added += letter
    return added


def _loaded(folder: Path, plain: bool, trust_remote_code: bool) -> Any:
    try:
        if plain:
            from tokenizers import Tokenizer

            tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            return tokenizer
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:  # noqa: BLE001 - tokenizers raises bare Exception
        first = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"the tokenizer of {folder.name} cannot be loaded ({first}); fetch the model again"
        ) from error
