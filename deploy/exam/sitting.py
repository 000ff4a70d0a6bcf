"""A model sits an exam, in two ways that differ by tens of points for the same model.

By letter: the letter that is likeliest where its answer begins (Hendrycks et al., "Measuring
Massive Multitask Language Understanding", arXiv 2009.03300). By answer: what it says, greedily, and
the letter that is named in that, if one is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from curate.errors import CuratrainError
from curate.models.causal_lm import CausalLM, load_causal_lm
from curate.models.generate import load_server
from curate.models.openai_client import address_of, connect, is_address, key_for
from curate.models.openai_request import failure_of
from curate.models.protocols import TOO_LONG, Generator, TokenSequence
from curate.models.recipe import choose_device
from curate.models.text_tokenizer import HFEncoder, first_token
from curate.parameters.split import DecontaminateParams
from curate.recipes.decontaminate import decontaminate
from curate.system.background import in_background
from curate.system.run_record import read_run
from deploy.compare.asking import Answer, Conversation, KeptAnswers, answered, ask
from deploy.compare.held_out import trained_before
from deploy.exam.letters import letter_in
from deploy.exam.questions import Exam
from deploy.output import noted, portable, trained_in
from deploy.training_data import data_set_of

LETTER, ANSWER, HARNESS = "letter likelihood", "generated answer", "lm-evaluation-harness"
# Question, answer, an empty line: how models without a chat template are shown an exam.
_PLAIN = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}"
    "{{ ' ' if messages[loop.index0 - 1]['content'][-1:] == ':' }}{{ m['content'] }}\n\n"
    "{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
)
_LIKELIEST = 20  # tokens that servers tell of at most
# From a conversation and its letters to the likeliest letter.
Choose = Callable[[Conversation, str], Answer]


@dataclass(frozen=True)
class Sitting:
    """What one model answered; a letter is '' where none could be read, or nothing was said."""

    name: str
    fingerprint: str
    answers: tuple[Answer, ...]
    letters: Mapping[str, tuple[str, ...] | None]  # by way; None where likelihoods are not told
    seen: frozenset[int] | None = None  # places of questions in its training data; None: not known
    notes: tuple[str, ...] = ()
    kept: tuple[KeptAnswers, ...] = ()  # a server's are to be forgotten once the exam is written


def sit(
    name: str,
    generator: Generator,
    kept: KeptAnswers,
    exam: Exam,
    max_tokens: int,
    mark: str,
    done: Callable[[int], Any],
) -> Sitting:
    """Let a model answer all questions in both ways; answers are kept, a second run goes on."""
    asked = [question.conversation(exam.shots) for question in exam.questions]
    letters_of = {c[-1]["content"]: q.letters for c, q in zip(asked, exam.questions, strict=True)}
    seen, note, at_once = None, "", 1
    if is_address(name):
        fingerprint, choose, at_once = "server", _server_chooser(name, asked[0]), 8
        note = "" if choose else f"{name} tells no likelihoods of letters: that column is –"
    else:
        seen, note = seen_in_training(trained_in(name), exam, portable(name))
        model = letter_model(name)
        fingerprint, choose, at_once = model.fingerprint, _chooser(model), model.workers
        del model
    likeliest = None
    letters = KeptAnswers(f"{fingerprint}|letters", f"{name} {mark}" if is_address(name) else "")
    if choose is not None:
        chosen = partial(_in_threads, choose, letters_of, at_once)
        likeliest = tuple(each.text for each in answered(chosen, asked, 1, letters, done))
        del chosen
    else:
        done(len(asked))
    choose = None  # with this the weights are let go
    if (encoder := getattr(generator, "encoder", None)) and set_plain_template(encoder):
        kept = KeptAnswers(f"{generator.fingerprint}|plain")
    answers = ask(generator, asked, max_tokens, kept, done)
    generated = tuple(letter_in(a.text, q) for a, q in zip(answers, exam.questions, strict=True))
    return Sitting(
        name=generator.name,
        fingerprint=generator.fingerprint,
        answers=tuple(answers),
        letters={LETTER: likeliest, ANSWER: generated},
        seen=seen,
        notes=(note,) if note else (),
        kept=(letters, kept),
    )


def _in_threads(
    choose: Choose, letters_of: Mapping[str, str], at_once: int, batch: Sequence[Conversation]
) -> list[Answer]:
    letters = [letters_of[conversation[-1]["content"]] for conversation in batch]
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(choose, batch, letters))


def letter_model(name: str) -> CausalLM:
    # In bfloat16 rounding decides between letters that are close.
    model = load_causal_lm(name, "float32" if choose_device("auto") == "cpu" else "auto")
    set_plain_template(model.encoder)
    return model


def set_plain_template(encoder: HFEncoder) -> bool:
    """Give a tokenizer that has no chat template a plain one; tell whether it had none."""
    if encoder.has_chat_template:
        return False
    begins = first_token(encoder, "a")
    encoder.tokenizer.chat_template = (encoder.tokenizer.decode(begins) if begins else "") + _PLAIN
    return True


def seen_in_training(folder: Path, exam: Exam, called: str) -> tuple[frozenset[int] | None, str]:
    """Return the places of the questions that stand in what a model was trained on, and a note.

    By `curate decontaminate`'s rules, with its defaults. None, and why, where it is not known.
    """
    run = read_run(folder) if folder.is_dir() else None
    if run is None and not noted(folder):
        return None, f"what {called} was trained on is not known here: no question is looked for"
    try:
        trained_on = data_set_of(folder, None, None)
        matches = [
            decontaminate(rows, DecontaminateParams(), exam.files).details["against"]
            for rows in trained_on.read()
        ]
    except CuratrainError as error:
        return None, f"whether {called} was trained on these questions is not known: {error}"
    by_file = [(number, each) for sets in matches for number, each in enumerate(sets)]
    ids = {(number, row["id"]) for number, each in by_file for row in each["where"]}
    note = ""
    if trained_on.changed:
        changed = (
            f"data set '{trained_on.name}', which {called} was trained on, has changed since then"
        )
        note = f"{changed}: which questions stood in it is not known"
    elif earlier := run and trained_before(run):
        note = f"{called} went on from {earlier}: what that was trained on is not looked at"
    return frozenset(at for at, q in enumerate(exam.questions) if (q.file, q.id) in ids), note


def _chooser(model: CausalLM) -> Choose:
    def choose(conversation: Conversation, letters: str) -> Answer:
        model.prepare()
        text = model.encoder.render([dict(message) for message in conversation], True)
        context, *ids = letter_ids(model.encoder, text, letters)
        start = len(os.path.commonprefix([context, *ids]))
        if max(map(len, ids)) > model.max_positions:
            return Answer("", failure=TOO_LONG)
        with model.worker():
            if all(line[:-1] == context for line in ids):
                context_alone = TokenSequence(tuple(context), ())
                [nll] = model.next_nll([context_alone], [line[-1] for line in ids])
            else:
                whole = [TokenSequence(tuple(line), ((start, len(line)),)) for line in ids]
                nll = [values[0] for values in model.span_nll(whole)]
        return Answer(letters[nll.index(min(nll))])

    return choose


def letter_ids(encoder: HFEncoder, text: str, letters: str) -> list[list[int]]:
    """Return the ids of a text, and of it with each letter behind it, cut up as one text."""
    return encoder.encode([text, *(text + behind(text) + letter for letter in letters)])


def behind(text: str) -> str:
    return " " if text.endswith(":") else ""


def _server_chooser(name: str, first: Conversation) -> Choose | None:
    """Return a function that asks a server; None if it tells no likelihoods of the first tokens.

    A letter that is not among the likeliest tokens is less likely than each of them: which of the
    letters comes first is certain.
    """
    import openai

    base, model = address_of(name)[0], load_server(name).model
    key = key_for(base, os.environ)
    client = connect(base, key)

    def choose(conversation: Conversation, letters: str) -> Answer:
        try:
            answer = in_background(
                client.chat.completions.create(
                    model=model,
                    messages=list(conversation),
                    max_tokens=1,
                    temperature=0,
                    logprobs=True,
                    top_logprobs=_LIKELIEST,
                )
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            return Answer("", failure="refused")
        except openai.OpenAIError as error:
            raise failure_of(error, base, key).after(1) from error
        logprobs = answer.choices[0].logprobs
        if not (logprobs and logprobs.content and logprobs.content[0].top_logprobs):
            return Answer("", failure="no likelihoods")
        tokens = sorted(logprobs.content[0].top_logprobs, key=lambda each: -each.logprob)
        texts = (each.token.strip() for each in tokens)  # " B" is B, too
        return Answer(next((text for text in texts if text in [*letters]), ""))

    return None if choose(first, "").failure else choose
