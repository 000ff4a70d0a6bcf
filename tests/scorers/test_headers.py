"""Chat templates of every kind: each row has its own header, whatever rows stand beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest

from curate.data.read import read
from curate.data.rows import Rows
from curate.engine.local import LocalEngine
from curate.models.causal_lm import CausalLM, load_causal_lm
from curate.models.protocols import TokenSequence
from curate.models.resolve import resolve
from curate.models.row_templates import Rendered, render_chat
from curate.scorers.contract import Scores
from curate.scorers.ifd import IFDParams, score
from tests.converter import Letters, factory
from tests.fake import Characters
from tests.models.tiny import naive
from tests.scorers.test_templates import row

TURNS = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
ASKS = "{% if add_generation_prompt %}"
EMPTY = "<think>\n\n</think>\n\n"
# The template, and the header of a row without a system prompt and of one that is told to be brief.
KINDS: dict[str, tuple[str, str, str]] = {
    "closes with eos": (
        TURNS + ASKS + "<|assistant|>\n{% else %}{{ eos_token }}{% endif %}",
        "<|assistant|>\n",
        "<|assistant|>\n",
    ),
    "closes with eos and nothing else": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
        + ASKS
        + "<|model|>{% else %}{{ eos_token }}{% endif %}",
        "<|model|>",
        "<|model|>",
    ),
    "header by the system prompt": (
        TURNS + ASKS + "<|assistant{% if 'brief' in messages[0].content %}:brief{% endif %}|>\n"
        "{% endif %}",
        "<|assistant|>\n",
        "<|assistant:brief|>\n",
    ),
    "header by a flag where the question ends": (
        TURNS + ASKS + "<|assistant|>{% if messages[-1].content.endswith('/brief') %}"
        " In short: {% endif %}{% endif %}",
        "<|assistant|>",
        "<|assistant|> In short: ",
    ),
    "trims": (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }}<|end|>"
        "{{ '\n' if add_generation_prompt or not loop.last else eos_token }}{% endfor %}"
        + ASKS
        + "<|assistant|>\n{% endif %}",
        "\n<|assistant|>\n",
        "\n<|assistant|>\n",
    ),
    "header whether asked for or not": (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}<|end|>\n"
        "{% else %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n"
        "{% if m.role == 'user' %}<|assistant|>\n{% endif %}{% endif %}{% endfor %}",
        "<|assistant|>\n",
        "<|assistant|>\n",
    ),
    "opens a thought": (
        TURNS + ASKS + "<|assistant|>\n<think>\n{% endif %}",
        "<|assistant|>\n" + EMPTY,
        "<|assistant|>\n" + EMPTY,
    ),
    "thinks where it is told to": (
        TURNS + ASKS + "<|assistant|>\n{% if 'brief' not in messages[0].content %}<think>\n"
        "{% endif %}{% endif %}",
        "<|assistant|>\n" + EMPTY,
        "<|assistant|>\n",
    ),
}
ROWS = [
    ("", "Name a colour.\n", "Blue is a colour."),
    ("Please be brief.", "What is 2 + 2? /brief", "It is four."),
    ("", "Who wrote Faust?", "Johann Wolfgang von Goethe wrote it, over sixty years."),
    ("Please be brief.", "Say assistant. /brief", "assistant"),
    ("", "List three fruits.", "1. Apples\n2. Pears\n3. Plums"),
]


class Jinja(Characters):
    def __init__(self, template: str) -> None:
        self.template = jinja2.Environment(trim_blocks=True).from_string(template)

    def render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        return self.template.render(
            messages=messages, add_generation_prompt=generation_prompt, eos_token="<|endoftext|>"
        )


def rendered(kind: str, system: str, *turns: str) -> Rendered:
    roles = ("user", "assistant") * len(turns)
    one = row(*zip(roles, turns, strict=False), system=system)
    return render_chat(one, Jinja(KINDS[kind][0]))


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_has_its_own_header(kind: str) -> None:
    _, plain, brief = KINDS[kind]
    for system, question, answer in ROWS:
        found = rendered(kind, system, question, answer)
        assert found.headers == (brief if system else plain,)
        assert found.leads[0].endswith(found.headers)
        assert question.strip() in found.leads[0]


def test_a_response_with_its_thought_follows_the_bare_header() -> None:
    found = rendered("opens a thought", "", "q", "<think>\nso\n</think>\n\na")
    assert found.leads == ("<|user|>\nq<|end|>\n<|assistant|>\n",)
    assert found.headers == ("<|assistant|>\n",)
    assert not found.note


def test_thoughts_of_earlier_turns_stay_as_in_training() -> None:
    template = KINDS["opens a thought"][0].replace(
        "{{ m.content }}", "{{ m.content.split('</think>')[-1] | trim }}"
    )
    turns = [("user", "q"), ("assistant", "<think>\nso\n</think>\n\na"), ("user", "r")]
    found = render_chat(row(*turns, ("assistant", "b")), Jinja(template))
    assert found.joined
    pairs = zip(found.leads, found.responses, strict=True)
    assert "".join(map("".join, pairs)) == (
        "<|user|>\nq<|end|>\n<|assistant|>\n<think>\nso\n</think>\n\na<|end|>\n"
        f"<|user|>\nr<|end|>\n<|assistant|>\n{EMPTY}b"
    )
    assert found.headers == ("<|assistant|>\n", "<|assistant|>\n" + EMPTY)


def test_rows_are_framed_as_llamafactory_does() -> None:
    pytest.importorskip("llamafactory")
    formatter = factory().template.StringFormatter
    end = "<|end|>\n"
    template = replace(
        factory().template.TEMPLATES["deepseekr1"],
        format_user=formatter([f"<|user|>\n{{{{content}}}}{end}<|assistant|>\n"]),
        format_assistant=formatter([f"{{{{content}}}}{end}"]),
        format_prefix=factory().template.EmptyFormatter(),
    )
    turns = ["q", "a", "r", "<think>\nso\n</think>\n\nb", "s", "so\n</think>\n\nc"]
    roles = ["user", "assistant"] * 3
    messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=True)]
    pairs: Any = template.encode_multiturn(Letters(), messages)
    trained = "".join(chr(each) for prompt, response in pairs for each in prompt + response)
    found = rendered("opens a thought", "", *turns)
    scored = "".join(map("".join, zip(found.leads, found.responses, strict=True)))
    assert scored + end == trained


def test_a_template_that_shows_an_empty_thought_gives_one_to_plain_rows() -> None:
    """As Qwen3's: nothing is opened, but the last answer stands behind an empty thought."""
    shown = TURNS.replace(
        "{{ m.content }}",
        "{% if m.role == 'assistant' and loop.last %}{{ empty }}{% endif %}{{ m.content }}",
    ).replace("{{ empty }}", EMPTY)
    encoder = Jinja(shown + ASKS + "<|assistant|>\n{% endif %}")
    plain = render_chat(row(("user", "q"), ("assistant", "a")), encoder)
    assert (plain.headers, plain.note) == (("<|assistant|>\n" + EMPTY,), "")
    own = render_chat(row(("user", "q"), ("assistant", "<think>\nso\n</think>\n\na")), encoder)
    assert own.headers == ("<|assistant|>\n",)


@pytest.mark.parametrize(
    ("opening", "empty"),
    [
        ("<think>", "<think></think>"),
        ("</think>", "</think>"),
        ("<|start_thinking|>", "<|start_thinking|>"),
    ],
)
def test_a_frame_that_cannot_be_known_is_told(opening: str, empty: str) -> None:
    encoder = Jinja(TURNS + ASKS + f"<|assistant|>{opening}{{% endif %}}")
    found = render_chat(row(("user", "q"), ("assistant", "a")), encoder)
    assert found.headers == ("<|assistant|>" + empty,)
    assert found.note.endswith(f"{empty}'")


@pytest.fixture(
    params=[
        "closes with eos",
        "header by the system prompt",
        "trims",
        "header whether asked for or not",
        "thinks where it is told to",
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(kind: str, tmp_path: Path) -> CausalLM:
    """The bundled model with another chat template."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in resolve("smollm2").folder.iterdir():
        if path.name == "chat_template.jinja":
            (folder / path.name).write_text(KINDS[kind][0], encoding="utf-8")
        elif path.name != "curate.json":
            (folder / path.name).symlink_to(path)
    return load_causal_lm(str(folder), "float32")


def rows_of(path: Path, rows: list[tuple[str, str, str]]) -> Rows:
    written = [{"system": s, "instruction": q, "output": a} for s, q, a in rows]
    path.write_text(json.dumps(written), encoding="utf-8")
    return read(path)


@pytest.mark.model
def test_scores_do_not_depend_on_the_rows_beside(
    kind: str, model: CausalLM, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    def scores(*places: int) -> Scores:
        rows = rows_of(tmp_path / "rows.json", [ROWS[place] for place in places])
        return score(rows, IFDParams("chat"), model, LocalEngine(tmp_path))

    columns = ("nll_prompted", "nll_alone", "ifd_loss")
    whole, back = scores(0, 1, 2, 3, 4), scores(4, 3, 2, 1, 0)
    fewer, more = scores(1, 0), scores(0, 1, 2, 3, 4, 4, 2)
    for column in columns:
        given = whole.values(column)
        np.testing.assert_allclose(back.values(column)[::-1], given, rtol=1e-6)
        np.testing.assert_allclose(fewer.values(column), given[[1, 0]], rtol=1e-6)
        np.testing.assert_allclose(more.values(column)[:5], given, rtol=1e-6)
    plain = AutoModelForCausalLM.from_pretrained(resolve("smollm2").folder).eval()
    for (system, _, answer), value in zip(ROWS, whole.values("nll_alone"), strict=True):
        header = KINDS[kind][2 if system else 1]
        before, after = model.encoder.encode([header, answer])
        if len(after) < 2:
            assert np.isnan(value)
            continue
        ids = (model.encoder.bos or 0, *before, *after)
        nll = naive(plain, TokenSequence(ids, ((len(ids) - len(after), len(ids)),)))[0]
        assert value == pytest.approx(nll / len(after), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_generation_prompt_that_answers_follow_needs_no_note(kind: str) -> None:
    # This one asks for <|model|> and writes <|assistant|>.
    differs = kind == "closes with eos and nothing else"
    assert bool(rendered(kind, "", "q", "a").note) == differs


def test_what_stands_between_generation_prompt_and_answer_is_told() -> None:
    template = (
        "{% for m in messages %}<|start|>{{ m.role }}{% if m.role == 'assistant' %}<|channel|>final"
        "{% endif %}<|message|>{{ m.content }}<|end|>{% endfor %}" + ASKS + "<|start|>assistant"
        "{% endif %}"
    )
    found = render_chat(row(("user", "q"), ("assistant", "a")), Jinja(template))
    assert found.leads == ("<|start|>user<|message|>q<|end|><|start|>assistant",)
    assert found.note.endswith("framed with '<|start|>assistant'")
