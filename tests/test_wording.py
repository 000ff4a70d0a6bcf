"""Notes and errors in the words of Python."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import is_dataclass

import pytest

import curate
import curate.parameters
from curate.data.formats import formats
from curate.errors import UsageError
from curate.notebook.wording import FLAGS, FUNCTIONS, in_python
from curate.parameters.option import options_of
from curate.parameters.score import scorers
from curate.parameters.select import recipes

SAID = {
    "--keep 0: allowed are a share, 5%": "keep=0: allowed are a share, 5%",
    "--keep 10%: too few": 'keep="10%": too few',
    "--near 1.5: allowed are 0.3 to 1": "near=1.5: allowed are 0.3 to 1",
    "--seed -1: allowed are 0 and more": "seed=-1: allowed are 0 and more",
    "--where response > 20: give --scores FILE": 'where="response > 20": give scores=FILE',
    "good enough (--min-quality 60%); coverage": 'good enough (min_quality="60%"); coverage',
    "Better: --model gemma3-270m (see `curate models`), or --model Qwen/Qwen2.5-0.5B": (
        'Better: model="gemma3-270m" (see `curate models`), or model="Qwen/Qwen2.5-0.5B"'
    ),
    "ask it as it is: --responder base": 'ask it as it is: responder="base"',
    "--seeds says how many, 1,000 is usual": "seeds says how many, 1,000 is usual",
    "so that is --max-length here": "so that is max_length here",
    "than --max-length 1,024 tokens and": "than max_length=1024 tokens and",
    "give --template alpaca or --template none": 'give template="alpaca" or template="none"',
    "`curate dedup` leaves repeats out": "`curate.dedup()` leaves repeats out",
    "`curate mix --shortage repeat` does": '`curate.mix(shortage="repeat")` does',
    "there is curate score --scorer pairs": 'there is curate.score(scorer="pairs")',
    "fetch it: curate models --get smollm2 --accept-terms": (
        "fetch it: curate models --get smollm2 --accept-terms"
    ),
    "curate ranker train --pairs F --encoder use --output DIR": (
        "curate ranker train --pairs F --encoder use --output DIR"
    ),
    "fill them in with --fill name=小医 author=某": (
        'fill them in with fill={"name": "小医", "author": "某"}'
    ),
    "--columns role=KEY content=KEY": 'columns={"role": "KEY", "content": "KEY"}',
    "--set neighbours=x: it is of type int": 'set=["neighbours=x"]: it is of type int',
    "give --between 25% 75% too": 'give between=("25%", "75%") too',
    "--good-only, which leaves": "good_only=True, which leaves",
    "--trust-remote-code runs them": "trust_remote_code=True runs them",
    "--brief-experience trains a model: no": "brief_experience=True trains a model: no",
    "--seeds-only ends with quality": 'responder="none" ends with quality',
    "as train sft --set a=1": "as train sft --set a=1",
    "a-b -- c, a--b": "a-b -- c, a--b",
    "--on response: these rows": 'on="response": these rows',
}


@pytest.mark.parametrize("typed", SAID)
def test_options_become_keywords(typed):
    assert in_python(typed) == SAID[typed]


def test_every_flag_and_every_function_is_known():
    modules = [
        importlib.import_module(f"curate.parameters.{each.name}")
        for each in pkgutil.iter_modules(curate.parameters.__path__)
    ]
    classes = [each for module in modules for each in vars(module).values() if is_dataclass(each)]
    flags = {
        name.replace("_", "-")
        for each in classes
        for name, (kind, _, option) in options_of(each).items()
        if kind is bool and option.python
    }
    assert flags | {"overwrite"} == FLAGS
    made = [name for name, home in curate._HOME.items() if home == "curate.api"]
    assert set(FUNCTIONS) == set(made)


@pytest.mark.parametrize(
    ("option", "names"),
    [("recipe", recipes), ("scorer", scorers), ("format", formats)],
    ids=["recipes", "scorers", "formats"],
)
def test_every_name_of_the_project_is_a_value(option, names):
    for name in names():
        assert in_python(f"give --{option} {name} or less") == f'give {option}="{name}" or less'


def test_an_error_in_a_notebook_is_one_line():
    assert UsageError("--keep 0: no\nmore")._render_traceback_() == ["UsageError: keep=0: no more"]
