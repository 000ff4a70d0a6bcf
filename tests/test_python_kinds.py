"""Values of a wrong kind in Python: refused in one line, whatever the function and parameter."""

import inspect

import pytest

import curate
from curate.errors import CuratrainError, UsageError

pytestmark = pytest.mark.usefixtures("scratch_cache")
ROWS = [{"instruction": f"q{n}", "output": f"a{n}"} for n in range(9)]
NAN = float("nan")
# By what an annotation says: what it does not allow.
WRONG = {
    "str": (["x", ["y"]], object(), {"a": 1}, True),
    "int": ("x", 1.5, NAN, [1], True, object()),
    "float": ("x", NAN, [0.5], True, object()),
    "bool": ("no", 1, None, []),
    "Path": (5, NAN, ["x"], True),
    "tuple[str, ...]": (25, NAN, [5], {"a": "b"}, object()),
    "tuple[Path, ...]": (25, [None], object()),
    "tuple[str | Path, ...]": (25, [5]),
    "Mapping[str, str]": (5, "a=b", ["a"], {"a": 5}),
    "Readable": (5, NAN, object()),
    "QuestionSets": (5, NAN, [5]),
    "Sets": (5, [5]),
    "Selection": (5, "x", None),
}
FUNCTIONS = [name for name in curate.__all__ if inspect.isfunction(getattr(curate, name))]
NEEDS = {
    "emit": {"selection": None},
    "control": {"selection": None},
    "report": {"given": "none"},
    "score": {"rows": ROWS, "scorer": "length"},
    "mix": {"domain": ROWS, "general": ROWS},
}


def wrong_values():
    for name in FUNCTIONS:
        for each in inspect.signature(getattr(curate, name)).parameters.values():
            kinds = str(each.annotation).split(" | ")
            if each.kind is each.VAR_KEYWORD or len(kinds) > 2:
                continue
            if len(kinds) == 2 and kinds != [kinds[0], "None"]:
                continue
            for value in WRONG.get(kinds[0], ()):
                if value is not None or "None" not in kinds:
                    yield name, each.name, value


@pytest.mark.parametrize(("name", "parameter", "value"), list(wrong_values()))
def test_it_is_refused_in_the_words_of_the_project(name, parameter, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function = getattr(curate, name)
    given = dict(NEEDS.get(name, {}))
    first = next(iter(inspect.signature(function).parameters))
    if first in ("rows", "given") and name not in NEEDS:
        given[first] = ROWS
    if name == "select":
        given["recipe"] = "like" if parameter == "like" else "random"
    with pytest.raises(CuratrainError):
        function(**given | {parameter: value})


def test_what_is_allowed_is_told():
    with pytest.raises(UsageError, match="^between=25: allowed is a text, or several in a list$"):
        curate.select(ROWS, between=25)
    with pytest.raises(UsageError, match="^seed=None: allowed is a whole number$"):
        curate.select(ROWS, recipe="random", seed=None)
    with pytest.raises(UsageError, match="0.1 as a share is 10%"):
        curate.select(ROWS, recipe="random", keep=0.1)


def test_what_was_allowed_still_is(tmp_path):
    np = pytest.importorskip("numpy")
    chosen = curate.select(ROWS, recipe="random", keep=np.int64(3), seed=np.int64(1))
    assert chosen.summary().kept == 3
    assert curate.dedup(ROWS, near=1).summary().read == 9
    assert curate.emit(chosen, tmp_path, name="x", shard_rows=0)
    assert vars(curate)["read"] is curate.read  # where pickle looks for it
    assert len(curate.read(each for each in ROWS)) == 9
    assert curate.read.__module__ == "curate"


def test_what_is_refused_is_told_on_one_line_and_by_its_key(tmp_path):
    pd = pytest.importorskip("pandas")
    with pytest.raises(UsageError) as told:
        curate.select(ROWS, recipe="random", seed=pd.DataFrame(ROWS))
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match="^columns system=None: allowed is a text"):
        curate.read(ROWS, columns={"prompt": "instruction", "response": "output", "system": None})
    with pytest.raises(UsageError, match="^fill age=5: allowed is a text that is not empty"):
        curate.read(ROWS, fill={"age": 5})


def test_flags_of_numpy_columns_of_pandas_and_no_data_set_are_taken():
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    assert len(curate.read(ROWS, questions=np.False_, dataset=None)) == 9
    assert curate.score(ROWS, pd.Series(["length"])).summary().read == 9
