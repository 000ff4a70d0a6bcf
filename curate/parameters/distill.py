"""Parameters of asking language models for rows: of every verb, and of how requests are sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from curate.errors import UsageError
from curate.parameters.option import check, option, options_of, seed

REFUSE, MASK, ALLOW = "refuse", "mask", "allow"
DROP, KEEP = "drop", "keep"
_ADDRESS = "URL#NAME"
_HOTTEST = 2.0


def _model(what: str) -> str:
    model: str = option("", f"{what}: http://HOST:PORT/v1#NAME.", metavar=_ADDRESS, shown="")
    return model


def models_of(params: Asking) -> dict[str, str]:
    """Return the options of models, and what was given for each."""
    options = options_of(type(params))
    return {name: getattr(params, name) for name in options if options[name][2].metavar == _ADDRESS}


@dataclass(frozen=True)
class Sending:
    """How requests are sent, and what they may cost."""

    concurrency: int = option(16, "Requests at once.", least=1)
    rpm: int | None = option(
        None, "Requests in any minute.", metavar="N", shown="no limit", least=1
    )
    tpm: int | None = option(None, "Tokens in any minute.", metavar="N", shown="no limit", least=1)
    timeout: float = option(60.0, "Seconds in which a whole answer has to be there.")
    tries: int = option(6, "Of a request; waiting as long as the server asks for is none.", least=1)
    longest_wait: float = option(600.0, "Seconds that a server may ask to wait.")
    price: str | None = option(
        None,
        "Of a million tokens of prompts / responses / cached prompts.",
        metavar="IN/OUT[/CACHED]",
        shown="",
    )
    max_cost: float | None = option(
        None, "What all runs on this --name may cost; needs --price.", shown="no limit"
    )
    dry_run: bool = option(False, "Send nothing; say how much there is to ask and what it costs.")
    tokenizer: str | None = option(
        None, "Counts the prompts of --dry-run.", metavar="M", shown="about, by characters"
    )
    pii_in: str | None = option(
        None,
        "Identifiers of people in what is sent.",
        allowed=(REFUSE, MASK, ALLOW),
        shown="mask; allow on this machine",
    )
    api_key_env: str | None = option(
        None, "Variable with the key.", metavar="NAME", shown="CURATRAIN_API_KEY"
    )
    api_key_file: Path | None = option(None, "File with the key.", metavar="F")

    def __post_init__(self) -> None:
        check(self)
        for name, seconds in (("timeout", self.timeout), ("longest-wait", self.longest_wait)):
            if not seconds > 0:
                raise UsageError(f"--{name} {seconds:g}: allowed are seconds above 0")
        if self.max_cost is None:
            return
        if not self.max_cost > 0:
            raise UsageError(
                f"--max-cost {self.max_cost:g} allows no request; leave it out for no limit"
            )
        if self.price is None:
            raise UsageError(
                f"--max-cost {self.max_cost:g} could not be kept without prices; give --price "
                "IN/OUT, of a million tokens: 2/8"
            )


@dataclass(frozen=True)
class Asking(Sending):
    """What all verbs ask with."""

    verb: ClassVar = ""
    temperature: float = option(0.7, "0 always takes the most likely token.")
    max_tokens: int = option(1024, "Where an answer is cut off.", least=1)
    lang: str = option(
        "auto",
        "Of the prompts.",
        metavar="zh|en",
        shown="of the rows",
        allowed=("auto", "zh", "en"),
    )
    template: tuple[Path, ...] = option(
        (), "A prompt of your own; its name says which, where a verb has several.", metavar="F.j2…"
    )
    limit: int | None = option(
        None,
        "Ask about so many, drawn by the seed; the rest later, under the same name.",
        metavar="N",
        shown="all",
        least=1,
    )
    pii: str = option(
        MASK, "Identifiers of people in the rows that are written.", allowed=(MASK, DROP, KEEP)
    )
    flawed: str = option(
        DROP,
        "Answers that refuse, speak as an AI, loop, copy the question, are in another language, or "
        "mention what the reader does not see.",
        allowed=(DROP, KEEP),
    )
    keep_thinking: bool = option(False, "Leave what the model thought in the rows, as <think>.")
    seed: int = seed()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.temperature <= _HOTTEST:
            raise UsageError(f"--temperature {self.temperature:g}: allowed are 0 to {_HOTTEST:g}")
        if self.tpm is not None and self.tpm < self.max_tokens:
            raise UsageError(
                f"--tpm {self.tpm}: less than one answer may have (--max-tokens {self.max_tokens})"
            )

    def decisive(self) -> dict[str, Any]:
        """Return what decides which rows are made, as a manifest has it."""
        decisive = {}
        for name, (_, _, way) in options_of(type(self)).items():
            value = getattr(self, name)
            if str(way.metavar).startswith("F") and value is not None:  # files
                many = isinstance(value, tuple)
                value = [Path(path).name for path in value] if many else Path(value).name
            decisive[name] = value
        return {k: value for k, value in decisive.items() if k not in options_of(Sending)}


@dataclass(frozen=True)
class AnswerParams(Asking):
    """Answer the questions of rows; several answers to each with --n.

    Rows may be questions alone; a .txt has one a line. Of several answers
    `curate select --recipe answers` keeps the one that a model finds likeliest.

    Example: curate distill answer --input q.jsonl
    --model http://127.0.0.1:8000/v1 --limit 20
    """

    verb: ClassVar = "answer"
    model: str = _model("What answers")
    n: int = option(1, "Answers to each question.", least=1)
    system_file: Path | None = option(
        None, "Said before each question, and not written into the rows.", metavar="F"
    )


@dataclass(frozen=True)
class RewriteParams(Asking):
    """Rewrite the answers of rows; of a dialogue one after the other.

    Example: curate distill rewrite --input huatuo.json
    --model http://127.0.0.1:8000/v1 --limit 20
    """

    verb: ClassVar = "rewrite"
    model: str = _model("What rewrites")
    rubric: Path | None = option(None, "A text of what makes an answer a good one.", metavar="F")


@dataclass(frozen=True)
class ScoreParams(Asking):
    """Give rows 0 to 5 points for accuracy, completeness, safety, clarity.

    `curate select --scores NAME.scores.parquet --by points` chooses by their
    mean.

    Example: curate distill score --input huatuo.json
    --model http://127.0.0.1:8000/v1 --name huatuo_points
    """

    verb: ClassVar = "score"
    temperature: float = option(0.0, "0 always takes the most likely token.")
    model: str = _model("What gives points")
    rubric: Path | None = option(None, "A text of what makes an answer a good one.", metavar="F")


@dataclass(frozen=True)
class PreferParams(Asking):
    """Make pairs: one model's answers are the better ones, another's the worse.

    Example: curate distill prefer --input q.jsonl
    --chosen http://HOST/v1#LARGE --rejected http://127.0.0.1:8000/v1
    """

    verb: ClassVar = "prefer"
    chosen: str = _model("Whose answers are the better ones")
    rejected: str = _model("Whose answers are the worse ones")


@dataclass(frozen=True)
class DialogueParams(Asking):
    """Let two models talk: one is the patient of a row's case, one the doctor.

    Example: curate distill dialogue --input cases.jsonl
    --patient http://127.0.0.1:8000/v1 --doctor http://HOST/v1#LARGE
    """

    verb: ClassVar = "dialogue"
    patient: str = _model("Who asks")
    doctor: str = _model("Who answers")
    turns: int = option(4, "Questions with an answer.", least=1)


@dataclass(frozen=True)
class DocumentParams(Asking):
    """Ask questions about texts, and answer them; a text is cut into pieces.

    Reads .txt and .md, and files of rows that are texts. The pieces are in
    NAME.chunks.parquet, and each row has the id of its own. An answer that
    has nothing in common with its piece is `unsupported`, and flawed.
    --hold-out sets pieces aside: their rows are NAME_test, for
    `deploy compare --prompts`.

    Example: curate distill document --input book.txt
    --model http://127.0.0.1:8000/v1 --hold-out 5%
    """

    verb: ClassVar = "document"
    model: str = _model("What asks and answers")
    chunk: int = option(1500, "Characters of a piece of text.", least=1)
    overlap: int = option(0, "Characters that a piece shares with the one before.")
    questions: int = option(3, "To each piece.", least=1)
    hold_out: str | None = option(
        None, "Pieces whose rows go to NAME_test.", metavar="P%|N", shown="none"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.overlap < self.chunk:
            raise UsageError(
                f"--overlap {self.overlap}: allowed are 0 to less than --chunk {self.chunk}"
            )


@dataclass(frozen=True)
class InstructParams(Asking):
    """Think out new tasks after examples, until there are as many as wanted.

    Each request shows three of --examples and names a kind of task and some
    of --entities, all drawn. Rows near an example or another row are left out.

    Example: curate distill instruct --examples seeds.jsonl
    --entities drugs.txt --target 1000 --model http://127.0.0.1:8000/v1
    """

    verb: ClassVar = "instruct"
    model: str = _model("What thinks them out")
    examples: tuple[Path, ...] = option(
        (), "Rows that show what is wanted.", metavar="F…", python=False
    )
    entities: Path | None = option(None, "What they may be about, a line each.", metavar="F.txt")
    tasks: Path | None = option(
        None, "Kinds of tasks: a YAML list.", metavar="F.yaml", shown="ten usual ones"
    )
    target: int = option(1000, "Rows wanted.", least=1)
    per_request: int = option(5, "Rows that one answer lists.", least=1)


VERBS: tuple[type[Asking], ...] = (
    *(AnswerParams, RewriteParams, ScoreParams, PreferParams, DialogueParams),
    *(DocumentParams, InstructParams),
)
# Verbs that ask about questions, which may be all that there is of a row.
QUESTIONS = ("answer", "prefer", "dialogue")
