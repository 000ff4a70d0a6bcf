"""From a verb and how to send to a data set: what verbs have in common, and each as a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from curate.content.gate import look_before_sending, policy_for
from curate.data.read import read, rows_of, sources_as_dicts
from curate.data.rows import Rows
from curate.distill.emission import NOTES, Made, emit
from curate.distill.ledger import open_ledger
from curate.distill.requests import FREE, OK, Verb, estimate, parse_price
from curate.distill.run import Run
from curate.distill.verbs import about_rows, document, instruct
from curate.emission.emit import LEDGER, check_target, default_name
from curate.errors import CuratrainError, UsageError
from curate.models.asking import Asking as Server
from curate.models.asking import Patience
from curate.models.openai_client import (
    address_of,
    check_reachable,
    is_address,
    is_local,
    key_for,
    only_model,
)
from curate.models.text_tokenizer import prompt_counter
from curate.parameters.distill import ALLOW, QUESTIONS, VERBS, Asking, Sending, models_of
from curate.parameters.option import keywords
from curate.system.files import writing_to
from curate.system.keys import read_key
from curate.system.manifest import versions

if TYPE_CHECKING:
    from curate.data.read import Readable

RECIPE = "distill_"


def make(
    what: Callable[[], Rows | list[Path]],
    params: Asking,
    output: Path,
    name: str,
    overwrite: bool = False,
    asking: Callable[[int], Callable[[int], Any]] = lambda places: lambda place: None,
) -> Made:
    """Ask, and write what was answered; the same answers give the same bytes.

    `what` reads what is asked about, once the server is known to be there; `asking` takes how many
    that are, and returns what is told of each.
    """
    for target in (name, *([f"{name}_test"] if getattr(params, "hold_out", None) else [])):
        check_target(output, target, RECIPE + params.verb, overwrite)
    with _opened(params, output, name) as (run, models):
        asked = what()
        home = {"document": document, "instruct": instruct}.get(params.verb, about_rows)
        verb: Verb = getattr(home, params.verb)(asked, params, models)
        if isinstance(asked, Rows):
            verb = replace(verb, sources=sources_as_dicts(asked))
        places = _first_places(verb, params)
        if params.dry_run:
            count = prompt_counter(params.tokenizer) if params.tokenizer else None
            price = run.price if params.price else None
            return Made(name, estimate=estimate(run.replies(verb, places), price, count))
        places = _ask(run, verb, places, asking(len(places)))
        if isinstance(run.stopped, CuratrainError) and not run.ledger.answers():
            raise run.stopped

        def manifest(made: Made) -> dict[str, Any]:
            return {
                "recipe": RECIPE + params.verb,
                "params": params.decisive(),
                "sources": list(verb.sources),
                "shape": verb.shape.as_dict() if verb.shape else None,
                "models": dict(models),
                "answered_by": dict(sorted(made.models.items())),
                "prompts": dict(verb.prompts),
                "counts": made.counts,
                "tokens": dict(made.tokens),
                "price": params.price,
                "cost": made.cost if params.price else None,
                "notes": list(NOTES),
                "versions": versions(),
            }

        lines = verb.chosen(run.lines(verb, places))
        made = emit(run, lines, verb, params, output, Made(name), manifest)
        made.files += verb.beside(output, name)
        made.asked, made.lost, made.answers = run.asked, run.ledger.lost(), run.ledger.answers()
        made.spent, made.stopped, made.ledger = run.ledger.spent, run.stopped, run.ledger.path
        made.left_out = {each.base: each.left_out for each in run.servers.values()}
        return made


@contextmanager
def _opened(params: Asking, output: Path, name: str) -> Iterator[tuple[Run, dict[str, str]]]:
    """Open the ledger, and give what asks, and each model's whole name by its option."""
    addresses = {}
    for option, given in models_of(params).items():
        if not is_address(given):
            raise UsageError(
                f"--{option} {given or 'is not given'}: allowed is the address of a server with "
                "OpenAI's interface, http://HOST:PORT/v1#NAME; `deploy serve` starts one"
            )
        addresses[option] = address_of(given)
    keys = _keys({base for base, _ in addresses.values()}, params)
    price = parse_price(params.price) if params.price else FREE
    path = output / f"{name}{LEDGER}"
    if not path.exists() and not params.dry_run:
        for base in keys:
            check_reachable(base)
    with writing_to(output):
        output.mkdir(parents=True, exist_ok=True)
    with open_ledger(path) as ledger:
        names = {}
        for option, (base, model) in addresses.items():
            # A server's one model, as it was when it was first asked.
            if not (model := model or ledger.model_at(base)):
                ledger.note_model(base, model := only_model(base, keys[base]))
            names[option] = f"{base}#{model}"
        patience = Patience(params.tries, params.timeout, params.longest_wait)
        servers = {
            base: Server(base, key, params.concurrency, patience, params.rpm, params.tpm)
            for base, key in keys.items()
        }
        yield Run(ledger, servers, _looking(params), price, params.max_cost), names


def _keys(bases: set[str], sending: Sending) -> dict[str, str]:
    """Return the key of each server: one that is named goes to no second host."""
    key = read_key(sending.api_key_env, sending.api_key_file)
    far = {urlsplit(base).hostname for base in bases if not is_local(base)}
    if key and len(far) > 1:
        raise UsageError(
            f"the key would be sent to {' and '.join(sorted(map(str, far)))}; give models of one "
            "of them, or keys by CURATRAIN_API_KEY, which every server gets"
        )
    mine = {base for base in bases if not far or not is_local(base)}
    return {
        base: key if key and base in mine else key_for(base, os.environ) for base in sorted(bases)
    }


def _looking(sending: Sending) -> Callable[[list[str], str], Sequence[str] | None]:
    def look(texts: list[str], base: str) -> Sequence[str] | None:
        policy = sending.pii_in or policy_for(base)
        return texts if policy == ALLOW else look_before_sending(texts, policy)

    return look


def _first_places(verb: Verb, params: Asking) -> Sequence[int]:
    """Return what is asked about first: all, so many drawn by the seed, or as a target needs."""
    if verb.target is not None:
        return range(-(-verb.target // verb.per_request))
    if params.limit is None or params.limit >= verb.size:
        return range(verb.size)
    drawn = np.random.default_rng(params.seed).permutation(verb.size)[: params.limit]
    return sorted(drawn.tolist())


def _ask(run: Run, verb: Verb, places: Sequence[int], done: Callable[[int], Any]) -> Sequence[int]:
    """Ask, in rounds where there is a target; return what was asked about."""
    while True:
        run.ask(verb, places, done)
        if verb.target is None or run.stopped or len(places) == verb.size:
            return places
        lines = verb.chosen(run.lines(verb, places))
        left = verb.target - sum(line.status == OK for line in lines)
        if left <= 0:
            return places
        places = range(min(verb.size, len(places) - (-left // verb.per_request)))


_DOCUMENTATION = """{says}

    Every answer is kept in `output`, and never asked for again: the same call goes on from there.

    Args:
        given: Rows, from read(), or what it takes; texts for distill_document, examples for
            distill_instruct.
        output: Folder of the rows and of the answers.
        name: Of the data set; the first source's stem and `{verb}` if not given.
        overwrite: Replace a data set of that name that something else has made.
        params: See below.

    Raises:
        UsageError: An option that is unknown or does not fit.
        ModelError: The server gives no answers; those that came are kept, and written.
        DataError: No row was made.

    Example:
        >>> made = curate.distill_{verb}("huatuo.json", {models}, limit=20)
        >>> rows = curate.read(dataset=made.name)
    """


def read_questions(given: Any, **how: Any) -> Rows:
    """Read rows that may be questions alone; of .txt every line is one."""
    paths = [given] if isinstance(given, str | Path) else given
    endings = {str(path)[-4:].lower() for path in paths} if isinstance(paths, list | tuple) else ()
    if set(endings) == {".txt"}:
        how["format"] = how.get("format") or "pretraining"
    return read(given, **how, questions=True)


def _function(params_class: type[Asking]) -> Callable[..., Made]:
    verb = params_class.verb

    def distill(
        given: Readable | Sequence[str | Path],
        output: str | Path = "data",
        name: str | None = None,
        overwrite: bool = False,
        *,
        params: Any,
    ) -> Made:
        asked: Any = given
        if verb == "document":
            paths = [asked] if isinstance(asked, str | Path) else asked
            if not (isinstance(paths, list | tuple) and paths) or not all(
                isinstance(path, str | Path) for path in paths
            ):
                raise UsageError(
                    f"{type(given).__name__} is nothing that holds texts; give the path of a text, "
                    "of a folder, or a list of some"
                )
            asked = [Path(path) for path in paths]
        elif verb in QUESTIONS and not isinstance(asked, Rows):
            asked = read_questions(asked)
        else:
            asked = rows_of(asked)
        first = asked.sources[0].name if isinstance(asked, Rows) else asked[0]
        name = name or default_name(Path(first), verb)
        made = make(lambda: asked, params, Path(output), name, overwrite)
        if isinstance(made.stopped, CuratrainError):
            raise made.stopped
        return made

    says = (params_class.__doc__ or "").partition("\n")[0].replace("--", "")
    models = ", ".join(f'{name}="http://127.0.0.1:8000/v1"' for name in models_of(params_class()))
    distill.__name__ = f"distill_{verb}"
    distill.__doc__ = _DOCUMENTATION.format(says=says, verb=verb, models=models)
    return keywords(params_class)(distill)


distill_answer, distill_rewrite, distill_score, distill_prefer = map(_function, VERBS[:4])
distill_dialogue, distill_document, distill_instruct = map(_function, VERBS[4:])
