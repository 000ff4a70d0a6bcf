"""Parameters of choosing by scores that are there, by chance, or by a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError, check_one_of
from curate.parameters import option as options
from curate.parameters.budget import METAVAR
from curate.parameters.mods import parse_bound
from curate.parameters.option import check, option, refuse_unused

RANDOM, SUPERFILTER, DEITA, LIKE = "random", "superfilter", "deita", "like"
THREE_DS, ANSWERS = "3ds", "answers"
METHODS = (RANDOM, SUPERFILTER, DEITA, LIKE, THREE_DS, ANSWERS)
SFT, KTO = "sft", "kto"


@dataclass(frozen=True)
class SelectParams:
    """How rows are chosen."""

    recipe: str | None = option(
        None,
        "random, superfilter, deita, like, 3ds, answers or a selector; or give --by.",
        metavar="NAME",
    )
    keep: str | int | None = options.keep()
    tokenizer: str | None = options.tokenizer()
    by: str | None = option(
        None, "Keep the highest, such as ifd or 2*reward-ifd.", metavar="EXPRESSION"
    )
    where: str | None = option(
        None, "Choose only among rows where it holds, such as reward > 0.", metavar="CONDITION"
    )
    between: tuple[str, ...] = option(
        (),
        "Choose only among rows whose --by lies between two percentiles; 3ds: its difficulties.",
        metavar="25% 75%",
        several=True,
        shown="3ds: 25% 75%",
    )
    pool: str | int | None = option(
        None, "superfilter: so much by score, thinned out.", metavar=METAVAR, shown="20%"
    )
    nearest: float = option(0.9, "deita: skip a row whose cosine to a kept one is above this.")
    model: str | None = option(
        None,
        "3ds, answers: the model that will be trained; superfilter, deita without --by: what "
        "computes IFD; like: RDS+ by it, in place of --encoder; of pairs the implicit gap; see "
        "`curate models`.",
        shown="smollm2; pairs: none",
    )
    encoder: str = option(
        "use",
        "superfilter, deita, like: use, a sentence-transformers directory, a hub id or "
        "ms://OWNER/NAME.",
    )
    complexity: str | None = option(
        None,
        "deita: a language model trained to say how complex an instruction is.",
        metavar="MODEL",
        shown="IFD",
    )
    quality: str | None = option(
        None,
        "deita: one trained to say how good a response is.",
        metavar="MODEL",
        shown="the bundled ranker",
    )
    min_quality: str | float | None = option(
        None,
        "3ds: quality that rows have to exceed; 50% leaves out the lowest half.",
        metavar="X|50%",
        shown="50%",
    )
    max_new_tokens: int = option(256, "3ds: where the model's own answer is cut off.", least=1)
    set: tuple[str, ...] = option(
        (), "Parameter of a selector, such as neighbours=10.", metavar="KEY=VALUE"
    )
    seed: int = options.seed()
    trust_remote_code: bool = options.trust_remote_code()
    good_only: bool = options.good_only()
    stage: str = option(SFT, "kto: choose among good and bad rows as they are.", allowed=(SFT, KTO))
    limit: int | None = options.limit()
    marks: str | None = option(
        None,
        "Keep and drop what was marked on the page of `curate report`; alone: that data set as it "
        "is, with the marks.",
        metavar="F",
    )
    scores: tuple[str, ...] = options.filled_in()  # names and sha256 of the scores files
    like: tuple[str, ...] = options.filled_in()  # those of the questions, a text a set

    def __post_init__(self) -> None:
        from curate.selectors import by_vectors

        self._refuse_unknown_recipe()
        if self.recipe in (RANDOM, LIKE) and self.by is not None and not self.between:
            by = "questions" if self.recipe == LIKE else "nothing"
            raise UsageError(f"--by: --recipe {self.recipe} goes by {by}; leave one of them out")
        self._refuse_what_a_method_lacks()
        check(self)
        if self.good_only and self.stage == KTO:
            raise UsageError(
                "--good-only and --stage kto: kto learns from the bad rows, too; give one"
            )
        if self.set and not self.selector:
            raise UsageError(
                f"--set {self.set[0]}: only a recipe that is a selector takes it: "
                f"{', '.join(recipes()[len(METHODS) :])}"
            )
        refuse_unused(
            self,
            "recipe",
            pool=(SUPERFILTER,),
            nearest=(DEITA,),
            min_quality=(THREE_DS,),
            max_new_tokens=(THREE_DS,),
            encoder=tuple(dict.fromkeys((SUPERFILTER, DEITA, LIKE, *by_vectors()))),
        )
        if not -1 <= self.nearest <= 1:
            raise UsageError(f"--nearest {self.nearest:g}: allowed is a cosine, -1 to 1")

    def _refuse_unknown_recipe(self) -> None:
        from curate.selectors import params_from_text

        if self.recipe is not None:
            check_one_of("--recipe", self.recipe, recipes())
        elif self.by is None and self.marks is None:
            raise UsageError(
                f"nothing to choose by: give --recipe {'|'.join(METHODS)}, or --by COLUMN with "
                "--scores FILE"
            )
        if self.only_marks and (self.keep is not None or self.where is not None):
            raise UsageError(
                "--marks alone changes the choice that was marked; --keep and --where go with --by "
                "or --recipe"
            )
        if self.selector:
            params_from_text(self.selector, self.set, 1, self.seed)
        if self.keep is not None and self.recipe == ANSWERS:
            raise UsageError(
                f"--keep {self.keep}: --recipe {ANSWERS} keeps one answer to each prompt; leave it "
                "out"
            )
        if self.keep is not None and not self.counted:
            raise UsageError(
                f"--keep {self.keep}: --recipe {self.recipe} keeps what its parameters say; "
                "leave it out, and give --set KEY=VALUE"
            )

    def _refuse_what_a_method_lacks(self) -> None:
        if self.between:
            parse_between(self.between)
            if self.by is None and self.recipe != THREE_DS:
                raise UsageError(
                    f"--between {' '.join(self.between)}: give --by COLUMN, whose percentiles they "
                    f"are, or --recipe {THREE_DS}"
                )
        if self.by is not None and self.recipe == ANSWERS:
            raise UsageError(f"--by {self.by}: --recipe {ANSWERS} goes by --model; leave it out")
        if self.min_quality is not None:
            share, number = parse_bound(self.min_quality)
            if (share is None or not 0 <= share < 1) and number is None:
                raise UsageError(
                    f"--min-quality {self.min_quality}: allowed are a number, or a quantile from "
                    "0% to below 100%"
                )

    @property
    def selector(self) -> str:
        """The recipe where it is a selector and no method with a file of its own, else ''."""
        return "" if self.recipe in (None, *METHODS) else str(self.recipe)

    @property
    def only_marks(self) -> bool:
        """Whether marks alone change a choice that is there."""
        return self.recipe is None and self.by is None and self.marks is not None

    @property
    def counted(self) -> bool:
        """Whether so many rows are kept as `keep` says."""
        from curate.selectors import takes_number

        if self.only_marks:
            return False
        return takes_number(self.selector) if self.selector else self.recipe != ANSWERS


def parse_between(between: tuple[str, ...]) -> tuple[float, float]:
    """Return the two percentiles of a band: 25.0 and 75.0 of `25%`, `75%`."""
    match [parse_bound(each)[0] for each in between]:
        case [float(low), float(high)] if 0 <= low < high <= 1:
            return 100 * low, 100 * high
    raise UsageError(
        f"--between {' '.join(map(str, between))}: allowed are two percentiles from 0% to 100%, "
        "the lower one first, such as 25% 75%"
    )


def recipes() -> tuple[str, ...]:
    """Return what `recipe` may be: the published methods first, then every selector."""
    from curate.selectors import selectors

    return (*METHODS, *(name for name in sorted(selectors()) if name not in METHODS))
