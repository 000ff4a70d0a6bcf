"""Data sets of dataset_info.json that lie on a hub, or of which a part is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import curate
from curate.data.hub_files import chosen, subset_of
from curate.errors import DataError
from curate.llamafactory.dataset_info import data_file, located
from curate.llamafactory.doctor.data_set import attributes, stage_of
from curate.system.hub import Address
from tests.calling import Caller, share_models
from tests.conftest import ROOT
from tests.converter import converted, train_in
from tests.data.test_naming import row_for
from tests.test_hub import REPOS, Hub, hub

__all__ = ["hub"]
pytestmark = pytest.mark.usefixtures("scratch_cache")
# All of LLaMA-Factory 0.9.5's own: what they name, and none of their rows.
ENTRIES = json.loads((ROOT / "tests/fixtures/dataset_info.json").read_text(encoding="utf-8"))
ON_HUBS = [name for name, entry in ENTRIES.items() if "file_name" not in entry]
NAMELESS = ("nectar_rm", "orca_dpo_de")  # it ends on its own entries of these
SETS = "datasets/"


@pytest.fixture
def near(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Let this process know the hubs of this machine alone."""
    from huggingface_hub import constants

    for name in ("USE_MODELSCOPE_HUB", "USE_OPENMIND_HUB"):
        monkeypatch.delenv(name, raising=False)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub.home))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("MODELSCOPE_CACHE", "MODELSCOPE_HOME"):
        monkeypatch.setenv(name, str(hub.home / "ms"))
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.endpoint)
    return hub


def lines(values: list[Any]) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def file_of(entry: dict[str, Any]) -> str:
    """Return the name of the file that an entry's rows are in."""
    where = f"{entry['folder']}/" if "folder" in entry else ""
    if "subset" in entry:
        return f"{entry['subset']}.jsonl"
    if "_" in entry.get("split", "") or entry.get("split") == "full":
        return f"data/{entry['split']}-00000-of-00001.jsonl"
    return f"{where}{'valid' if entry.get('split') == 'validation' else 'train'}.jsonl"


def put(entries: dict[str, dict[str, Any]], folder: Path, monkeypatch: Any) -> None:
    """Register entries, and put rows made up for them on the hub and into folders."""
    repos: dict[str, dict[str, str]] = {}
    for number, entry in enumerate(entries.values()):
        files = repos.setdefault(entry["hf_hub_url"], {"x.py": "raise SystemExit"})
        files[file_of(entry)] = lines([row_for(entry, number), row_for(entry, number + 1)])
        if "subset" in entry:
            names = [name.removesuffix(".jsonl") for name in files if name.endswith(".jsonl")]
            configs = [{"config_name": name, "data_files": f"{name}.jsonl"} for name in names]
            files["README.md"] = f"---\nconfigs: {json.dumps(configs)}\n---\n# Rows\n"
    for repo, files in repos.items():
        monkeypatch.setitem(REPOS, SETS + repo, {"main": files})
        for name, text in files.items():
            path = folder / "sets" / repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    register(folder, entries)


def register(folder: Path, entries: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "dataset_info.json").write_text(json.dumps(entries), encoding="utf-8")


def check(rows: Any, values: list[Any], entry: dict[str, Any]) -> None:
    """See that rows say what LLaMA-Factory makes of some values."""
    stage = stage_of(attributes(entry))
    assert len(rows) == len(values)
    for row, value in zip(rows, values, strict=True):
        became = converted(value, entry, stage)
        assert (row.flaw, became.verdict) == ("", "usable")
        assert (row.system, row.parsed.tools) == (became.system or "", became.tools or "")
        said = [turn.content for turn in row.turns]
        if stage == "dpo":
            said += [row.parsed.chosen, row.parsed.rejected]
        answers = [answer["content"] for answer in became.response]
        if stage == "kto":
            assert row.parsed.verdict is bool(answers[0])
            answers = [answer for answer in answers if answer]
        assert said == [turn["content"] for turn in became.prompt] + answers


@pytest.mark.slow
def test_every_entry_of_llamafactory_on_a_hub_is_read_as_it_reads_it(
    near: Hub, tmp_path: Path, monkeypatch: Any
) -> None:
    datasets = pytest.importorskip("datasets")
    entries = {name: dict(ENTRIES[name]) for name in ON_HUBS}
    for entry in entries.values():  # both hubs have the same
        url = entry.setdefault("hf_hub_url", entry.get("ms_hub_url"))
        entry["hf_hub_url"] = url if "/" in url else f"owner/{url}"
    put(entries, tmp_path / "data", monkeypatch)
    assert len(entries) == 90
    for name, entry in entries.items():
        if name in NAMELESS:
            value = json.loads(json.dumps(row_for(entry, 0)))
            assert converted(value, entry, "dpo").error == "KeyError: None"
            with pytest.raises(DataError, match="does not name chosen and rejected"):
                curate.read(dataset=name, dataset_dir=tmp_path / "data")
            continue
        rows = curate.read(dataset=name, dataset_dir=tmp_path / "data")
        loaded = datasets.load_dataset(
            str(tmp_path / "data" / "sets" / entry["hf_hub_url"]),
            name=entry.get("subset"),
            data_dir=entry.get("folder"),
            split=entry.get("split", "train"),
            cache_dir=str(tmp_path / "cache"),
        )
        check(rows, list(loaded), entry)


@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in ON_HUBS])
def test_every_entry_of_llamafactory_with_a_file_is_read_as_it_reads_it(
    tmp_path: Path, name: str
) -> None:
    entry = ENTRIES[name]
    values = [row_for(entry, 0), row_for(entry, 1)]
    register(tmp_path, {name: entry})
    path = tmp_path / entry["file_name"]
    text = json.dumps(values) if path.suffix == ".json" else lines(values)
    if path.suffix == ".txt":
        values = [{"text": value["text"]} for value in values]
        text = "".join(value["text"] + "\n" for value in values)
    path.write_text(text, encoding="utf-8")
    assert not train_in(tmp_path, name, stage_of(attributes(entry))).error
    check(curate.read(dataset=name, dataset_dir=tmp_path), values, entry)


@pytest.mark.parametrize("at", ["hf", "ms"])
def test_a_split_and_a_draw_of_a_set_of_a_hub(
    near: Hub, tmp_path: Path, monkeypatch: Any, at: str
) -> None:
    values = [{"q": f"问{n}", "a": f"答{n}"} for n in range(10)]
    files = {"test.jsonl": lines(values[:1]), "train.jsonl": lines(values)}
    monkeypatch.setitem(REPOS, f"{SETS}owner/qa", {"main": files})
    entry = {f"{at}_hub_url": "owner/qa", "columns": {"prompt": "q", "response": "a"}}
    parts = {"all": {}, "some": {"split": "train[2:50%]"}, "few": {"num_samples": 4}}
    register(tmp_path, {name: entry | part for name, part in parts.items()})
    rows = curate.read(dataset="all", dataset_dir=tmp_path)
    assert [row.prompt for row in rows] == [value["q"] for value in values]
    assert rows.sources[0].name == "owner/qa/train.jsonl"
    some = curate.read(dataset="some", dataset_dir=tmp_path)
    assert [row.prompt for row in some] == ["问2", "问3", "问4"]
    assert "3 of 10 rows, those of train[2:50%]" in some.sources[0].changes
    assert len(curate.read(dataset="few", dataset_dir=tmp_path)) == 4
    diagnosis = curate.doctor(dataset="all", dataset_dir=tmp_path)
    assert (diagnosis.usable, diagnosis.rows, diagnosis.well) == (10, 10, True)


def test_what_a_set_of_a_hub_does_not_have(near: Hub, tmp_path: Path) -> None:
    register(
        tmp_path,
        {
            "none": {"hf_hub_url": "owner/none", "ms_hub_url": "owner/set"},
            "split": {"hf_hub_url": "owner/set", "split": "dev"},
            "subset": {"hf_hub_url": "owner/set", "subset": "zh"},
        },
    )
    for name, says in (
        ("none", "entry 'none': hf://owner/none:train could not .* USE_MODELSCOPE_HUB=1"),
        ("split", "entry 'split': .*no split 'dev'. It has train, test"),
        ("subset", "no subset 'zh'. Its page names none"),
    ):
        with pytest.raises(DataError, match=says):
            curate.read(dataset=name, dataset_dir=tmp_path)


def test_where_an_entry_leads_goes_by_the_user(tmp_path: Path, monkeypatch: Any) -> None:
    both = {"hf_hub_url": "a/b", "ms_hub_url": "c/d", "om_hub_url": "e/f", "file_name": "x.json"}
    register(
        tmp_path,
        {
            "both": both,
            "ms": {"ms_hub_url": "c/d", "om_hub_url": "e/f", "folder": "zh", "split": "dev"},
            **{"om": {"om_hub_url": "e/f"}, "script": {"script_url": "x.py"}},
            **{"cloud": {"cloud_file_name": "s3://x"}, "odd": {"hf_hub_url": "../a/b/c"}},
        },
    )
    assert located(tmp_path, "both") == Address("a/b", split="train")
    assert located(tmp_path, "ms") == Address("c/d", path="zh", split="dev", hub="ms")
    for name, says in (("om", "Modelers"), ("script", "is run"), ("cloud", "a cloud.*file_name")):
        with pytest.raises(DataError, match=f"takes it from elsewhere.*{says}"):
            located(tmp_path, name)
    with pytest.raises(DataError, match="no OWNER/NAME"):
        located(tmp_path, "odd")
    with pytest.raises(DataError, match="curate convert .*--dataset both --to sharegpt"):
        data_file(tmp_path, "both")
    monkeypatch.setenv("USE_MODELSCOPE_HUB", "1")
    assert located(tmp_path, "both") == Address("c/d", split="train", hub="ms")
    monkeypatch.setenv("USE_OPENMIND_HUB", "true")
    monkeypatch.delenv("USE_MODELSCOPE_HUB")
    with pytest.raises(DataError, match="Modelers"):
        located(tmp_path, "both")


def card(*configs: dict[str, Any]) -> str:
    return f"---\nlicense: mit\nconfigs: {json.dumps(configs)}\n---\n# A set\n"


NAMES = ["README.md", "en/a.jsonl", "en/b.jsonl", "zh/deep/c.jsonl", "x.jsonl"]
EN = {"config_name": "en", "data_files": [{"split": "train", "path": ["en/?.jsonl"]}]}
ZH = {"config_name": "zh", "data_dir": "zh", "data_files": "**/*.jsonl"}
BY_FOLDER = {"config_name": "folder", "data_dir": "en"}


@pytest.mark.parametrize(
    ("configs", "subset", "files"),
    [
        ((EN, ZH), "en", ["en/a.jsonl", "en/b.jsonl"]),
        ((EN, ZH), "zh", ["zh/deep/c.jsonl"]),
        ((EN,), "", ["en/a.jsonl", "en/b.jsonl"]),
        ((EN | {"data_files": "en/[!b].jsonl"},), "", ["en/a.jsonl"]),
        ((EN, ZH | {"default": True}), "", ["zh/deep/c.jsonl"]),
        ((EN, ZH | {"config_name": "default"}), "", ["zh/deep/c.jsonl"]),
        ((BY_FOLDER, ZH), "folder", None),
        ((), "", None),
    ],
)
def test_subsets_are_those_of_the_card(
    tmp_path: Path, configs: Any, subset: str, files: list[str] | None
) -> None:
    datasets = pytest.importorskip("datasets")
    wanted = Address("a/b", split="train")
    ours = chosen(wanted, NAMES, subset_of(wanted, card(*configs), subset))
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"file": name}) + "\n", encoding="utf-8")
    (tmp_path / "README.md").write_text(card(*configs) if configs else "", encoding="utf-8")
    theirs = datasets.load_dataset(
        str(tmp_path), subset or None, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert ours == theirs["file"]
    assert files is None or ours == files


def test_a_card_that_names_no_such_thing_says_so() -> None:
    wanted = Address("a/b", split="dev")
    with pytest.raises(DataError, match="no subset 'zhh'. Did you mean 'zh'.* Its page names en, "):
        subset_of(wanted, card(EN, ZH), "zhh")
    with pytest.raises(DataError, match="subsets en, zh; name one as `subset`"):
        subset_of(wanted, card(EN, ZH), "")
    with pytest.raises(DataError, match="no split 'dev'. Its page names train"):
        chosen(wanted, NAMES, subset_of(wanted, card(EN), ""))
    lost = card({"config_name": "x", "data_files": "y/*.json"})
    with pytest.raises(DataError, match="as the files of this split, and there are no such"):
        chosen(Address("a/b", split="train"), NAMES, subset_of(wanted, lost, ""))
    for configs in ("[", "3"):
        assert not subset_of(wanted, f"---\nconfigs: {configs}\n---", "").splits
    open_end = card({"config_name": "x", "data_files": "[y*.json"})
    with pytest.raises(DataError, match="there are no such"):
        chosen(Address("a/b", split="train"), NAMES, subset_of(wanted, open_end, ""))


# Parts of files


def of_file(folder: Path, rows: int = 10, parts: int = 1, **more: Any) -> None:
    values = [{"instruction": f"问{n}", "input": "", "output": f"答{n}"} for n in range(rows)]
    for part in range(parts):
        path = folder / "parts" / f"{part}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines(values[part * rows // parts :][: rows // parts]), encoding="utf-8")
    register(folder, {"mine": {"file_name": "parts", **more}})


@pytest.mark.parametrize("count", [1, 4, 10, 25])
def test_num_samples_draws_what_llamafactory_draws(tmp_path: Path, count: int) -> None:
    of_file(tmp_path, num_samples=count)
    rows = curate.read(dataset="mine", dataset_dir=tmp_path)
    np.random.seed(42)  # noqa: NPY002 - as it does before it loads
    became = train_in(tmp_path, "mine").rows
    assert sorted(row.prompt for row in rows) == sorted(row.prompt[0]["content"] for row in became)
    assert sum(source.rows for source in rows.sources) == len(rows) == count
    said = rows.description().notes
    drawn = "25 of 10 rows drawn, as num_samples says; 15 of them again"
    assert any((drawn if count > 10 else f"{count} of 10 rows drawn") in note for note in said)


@pytest.mark.parametrize(
    "split", ["train[:3]", "train[-3:]", "train[25%:]", "train[:-75%]", "train[4:6]", "train[:]"]
)
def test_a_split_takes_what_llamafactory_takes(tmp_path: Path, split: str) -> None:
    of_file(tmp_path, parts=2, split=split)  # it takes the files of a folder as they come
    of_two = curate.read(dataset="mine", dataset_dir=tmp_path)
    (tmp_path / "parts" / "1.jsonl").unlink()
    of_file(tmp_path, split=split)
    rows = curate.read(dataset="mine", dataset_dir=tmp_path)
    assert list(of_two.ids) == list(rows.ids)
    became = train_in(tmp_path, "mine").rows
    assert [row.prompt for row in rows] == [row.prompt[0]["content"] for row in became]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"split": "test"}, "split 'test'; allowed is train or train"),
        ({"split": "train+test"}, "allowed is train or"),
        ({"split": "train[10:]"}, "leaves none of 10 rows"),
        ({"num_samples": "5"}, "num_samples '5'; allowed are whole numbers"),
        ({"num_samples": 0}, "num_samples 0"),
        ({"formatting": ["alpaca"]}, r"formatting \['alpaca'\]; allowed are alpaca"),
    ],
)
def test_a_part_that_cannot_be_taken_is_refused(tmp_path: Path, more: Any, says: str) -> None:
    of_file(tmp_path, **more)
    with pytest.raises(DataError, match=says):
        curate.read(dataset="mine", dataset_dir=tmp_path)


@pytest.mark.model
def test_parts_of_a_file_are_counted_by_themselves(tmp_path: Path) -> None:
    share_models(tmp_path / "cache")
    of_file(tmp_path, num_samples=4)
    whole = curate.mix(tmp_path / "parts", ratio="1:0", by="tokens", name="x")
    part = curate.mix(
        curate.read(dataset="mine", dataset_dir=tmp_path), ratio="1:0", by="tokens", name="x"
    )
    tokens = [sum(source.tokens or 0 for source in mixed.sources) for mixed in (whole, part)]
    assert tokens[0] * 4 == tokens[1] * 10


def test_a_hubs_set_is_chosen_from_and_named_after_its_entry(
    near: Hub, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    register(tmp_path, {"there": {"hf_hub_url": "owner/set"}})
    caller = Caller(capsys)
    called = caller("dedup", "--dataset-dir", tmp_path, "--dataset", "there", "--output", tmp_path)
    assert called.code == 0
    assert len(curate.read(dataset="there_dedup", dataset_dir=tmp_path)) == 3
    shown = caller("show", "--dataset-dir", tmp_path, "--dataset", "there", "--json")
    assert (shown.code, len(json.loads(shown.out)["rows"])) == (0, 3)
    listed = caller("ls", "--dataset-dir", tmp_path)
    assert "owner/set" in listed.out + listed.err


def test_what_train_refuses_of_a_hub_is_written_as_it_advises(
    near: Hub, tmp_path: Path, capsys: Any
) -> None:
    register(tmp_path, {"there": {"hf_hub_url": "owner/set"}})
    with pytest.raises(DataError) as refused:
        data_file(tmp_path, "there")
    advice = str(refused.value).split("`")[1].split()
    assert Caller(capsys)(*advice[1:]).code == 0
    (made,) = [
        each for each in json.loads((tmp_path / "dataset_info.json").read_text()) if each != "there"
    ]
    assert data_file(tmp_path, made).is_file()
    assert not train_in(tmp_path, made).error


def test_an_address_is_judged_under_the_entry_that_most_would_write(
    near: Hub, tmp_path: Path, capsys: Any
) -> None:
    options = ("--input", "hf://owner/set:train", "--fix", "--output", tmp_path, "--json")
    told = Caller(capsys)("doctor", *options)
    found = json.loads(told.out.splitlines()[-1])
    assert (told.code, found["usable"], found["entry"]) == (0, 3, {"hf_hub_url": "owner/set"})
    assert curate.doctor("hf://owner/set/books").usable == 2
