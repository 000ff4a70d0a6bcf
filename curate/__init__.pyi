"""Made by `python -m tests.stub`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from curate.data.read import Readable
from curate.llamafactory.doctor.findings import Diagnosis
from curate.recipes.like import QuestionSets
from curate.recipes.mix import Given
from curate.data.read import read as read
from curate.data.rows import Row as Row
from curate.data.rows import Rows as Rows
from curate.mixture.mixed import Mixed as Mixed
from curate.recipes.advise import advise as advise
from curate.recipes.controls import control as control
from curate.selection import Selection as Selection
from curate.selection import emit as emit
def car(
    rows: Readable,
    *,
    ranker: str = "pairs",
    encoder: str = "use",
    top: str | int | None = None,
    tokenizer: str | None = None,
    per_cluster: int = 1,
    clusters: str | int = "auto",
    seed: int = 0,
    good_only: bool = False,
) -> Selection: ...
def dedup(
    rows: Readable,
    against: Readable | Sequence[Readable] = (),
    scores: str | Path | None = None,
    *,
    near: float = 0.8,
    by: str = "first",
    on: str = "both",
    ngram: int = 5,
    contained: float | None = None,
    seed: int = 0,
) -> Selection: ...
def doctor(
    given: Readable | None = None,
    *,
    dataset: str | None = None,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    dataset_dir: str | Path | None = None,
    stage: str | None = None,
    model: str | None = None,
    cutoff_len: int | None = None,
    template: str = "auto",
    no_packing: bool = False,
    fix: bool = False,
    output: str | Path | None = None,
    trust_remote_code: bool = False,
) -> Diagnosis: ...
def ifd(
    rows: Readable,
    output: str | Path = "data",
    name: str | None = None,
    saves: str | Path = "saves",
    *,
    model: str = "smollm2",
    keep: str | int | None = None,
    form: str = "loss",
    template: str = "auto",
    max_length: int | None = None,
    dtype: str = "auto",
    keep_above_one: bool = False,
    tokenizer: str | None = None,
    seed: int = 0,
    trust_remote_code: bool = False,
    brief_experience: bool = False,
    experience: str = "auto",
    train_set: tuple[str, ...] = (),
    good_only: bool = False,
) -> Selection: ...
def mix(
    domain: Given | Sequence[Given] = (),
    general: Given | Sequence[Given] = (),
    ratio: str = "1:5",
    *,
    by: str = "rows",
    model: str = "smollm2",
    shortage: str = "error",
    stage: str = "sft",
    seed: int = 0,
    name: str = "",
    good_only: bool = False,
) -> Mixed: ...
def mods(
    rows: Readable,
    output: str | Path = "data",
    name: str | None = None,
    saves: str | Path = "saves",
    *,
    reward: str = "pairs",
    encoder: str = "use",
    min_quality: str | float = "0",
    seeds: str | int | None = None,
    tokenizer: str | None = None,
    seed: int = 0,
    responder: str = "none",
    model: str = "smollm2",
    max_necessity: str | float = "0",
    augment: str | int | None = None,
    max_new_tokens: int = 256,
    train_set: tuple[str, ...] = (),
    good_only: bool = False,
) -> Selection: ...
def score(
    rows: Readable,
    scorer: tuple[str, ...],
    *,
    model: str | None = None,
    dtype: str | None = None,
    trust_remote_code: bool = False,
    reward: str | None = None,
    encoder: str | None = None,
    template: str | None = None,
    max_length: int | None = None,
    hard: str | None = None,
    small: str | None = None,
) -> Selection: ...
def select(
    rows: Readable,
    scores: Sequence[str | Path] = (),
    like: QuestionSets = (),
    *,
    recipe: str | None = None,
    keep: str | int | None = None,
    tokenizer: str | None = None,
    by: str | None = None,
    where: str | None = None,
    between: tuple[str, ...] = (),
    pool: str | int | None = None,
    nearest: float = 0.9,
    model: str | None = None,
    encoder: str = "use",
    complexity: str | None = None,
    quality: str | None = None,
    min_quality: str | float | None = None,
    set: tuple[str, ...] = (),
    seed: int = 0,
    trust_remote_code: bool = False,
    good_only: bool = False,
    stage: str = "sft",
) -> Selection: ...
