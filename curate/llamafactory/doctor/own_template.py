"""A model's own chat template, taken apart as LLaMA-Factory does it where no template is named."""

from __future__ import annotations

from collections.abc import Callable

from curate.errors import ModelError
from curate.llamafactory.doctor.truncation import CONTENT, Template

Render = Callable[[list[dict[str, str]], bool], str]


def own_template(render: Render, prefix: str) -> Template:
    """Return the template that LLaMA-Factory parses out of a tokenizer's chat template."""

    def shown(*messages: tuple[str, str], header: bool = False) -> str:
        return render([{"role": role, "content": text} for role, text in messages], header)

    system = shown(("system", CONTENT))[len(prefix) :]
    no_system = shown(("system", ""), ("user", CONTENT), header=True)[len(prefix) :]
    user = shown(("user", CONTENT), header=True)[len(prefix) :]
    answer = shown(("user", CONTENT), ("assistant", CONTENT))[len(prefix) + len(user) :]
    if "<think>" in answer:
        raise ModelError(
            "this model's chat template thinks aloud, and what LLaMA-Factory makes of that depends "
            "on its options; give the --template that you train with, if it is among those offered"
        )
    default = ""
    if len(user) > len(no_system):
        default = _added(no_system, user)
        user = user[len(system.replace(CONTENT, default, 1)) :]
    if not all(CONTENT in slot for slot in (system, user, answer)):
        raise ModelError(
            "this model's chat template cannot be taken apart as LLaMA-Factory does it; give the "
            "--template that you train with, if it is among those offered"
        )
    return Template("the model's own", (user,), (answer,), (system,), (), prefix, default)


def _added(short: str, long: str) -> str:
    """Return what a text has more than another that it contains in order."""
    place, added = 0, ""
    for each in long:
        if place == len(short):
            break
        if short[place] == each:
            place += 1
        else:
            added += each
    return added
