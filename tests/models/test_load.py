"""From a folder to a model: errors that say what to do, and fingerprints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.errors import ModelError, UsageError
from curate.models import weights
from curate.models.causal_lm import load_causal_lm
from curate.models.protocols import TokenSequence
from tests.models.tiny import make, naive, save

pytestmark = pytest.mark.usefixtures("scratch_cache")
EVIL = "from pathlib import Path\nPath(__file__).with_name('ran').write_text('x')\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(make("Llama"), tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


def edit(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def failure(folder: Path, prepare: bool = False, **options: bool) -> str:
    def load() -> None:
        model = load_causal_lm(str(folder), "float32", **options)
        if prepare:
            model.prepare()

    with pytest.raises(ModelError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder.parent) not in message
    return message


def test_a_directory_gives_the_likelihoods_of_its_model(folder: Path) -> None:
    lm = load_causal_lm(str(folder), "float32")
    assert (lm.name, lm.dtype, lm.max_positions) == ("tiny", "float32", 512)
    assert (lm.encoder.bos, lm.encoder.first_token) == (256, 256)
    assert lm.route is None
    lm.prepare()
    ids = (256, *lm.encoder.encode(["Grüße, 世界"])[0])
    sequence = TokenSequence(ids, ((1, len(ids)),))
    assert lm.span_nll([sequence])[0] == pytest.approx(naive(make("Llama"), sequence), rel=1e-5)


def test_without_bos_the_first_token_is_eos(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", lambda told: told.pop("bos_token"))
    encoder = load_causal_lm(str(folder)).encoder
    assert (encoder.bos, encoder.first_token) == (None, 257)


def test_only_known_dtypes(folder: Path) -> None:
    with pytest.raises(UsageError, match="--dtype float16: allowed are auto, float32, bfloat16"):
        load_causal_lm(str(folder), "float16")


@pytest.mark.parametrize("config", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_is_not_run_unasked(folder: Path, config: str) -> None:
    (folder / "evil.py").write_text(EVIL)
    names = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}
    names = names if config == "config.json" else {"AutoTokenizer": ["evil.T", None]}  # type: ignore
    edit(folder / config, lambda told: told.update(auto_map=names))
    message = failure(folder)
    assert "--trust-remote-code" in message
    assert "Python files" in message
    assert not (folder / "ran").exists()


def test_code_without_a_file_is_refused_too(folder: Path) -> None:
    names = {"AutoConfig": "other/repo--evil.C", "AutoModelForCausalLM": "other/repo--evil.M"}
    edit(folder / "config.json", lambda told: told.update(auto_map=names, model_type="evil"))
    assert "--trust-remote-code" in failure(folder)


def test_code_is_run_when_it_is_trusted(folder: Path) -> None:
    (folder / "own.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
        "class OwnModel(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    edit(folder / "config.json", lambda told: told.update(auto_map=names, model_type="own"))
    lm = load_causal_lm(str(folder), "float32", trust_remote_code=True)
    lm.prepare()
    assert lm.route == "selected"


def test_a_type_that_transformers_does_not_know(folder: Path) -> None:
    edit(folder / "config.json", lambda told: told.update(model_type="nonesuch"))
    edit(folder / "config.json", lambda told: told.pop("max_position_embeddings"))
    assert "nonesuch" in failure(folder)


def test_weights_cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert "model 'tiny': model.safetensors is cut short or corrupt" in failure(folder)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 100, b"\x05\0\0\0\0\0\0\0hello"])
def test_weights_that_are_something_else(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert "model.safetensors is cut short or corrupt" in failure(folder)


def test_a_missing_shard(folder: Path) -> None:
    shards = {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    assert "1 of 2 weight files are missing (model-00002-of-00002.saf" in failure(folder)
    index.write_text("{")
    assert "model.safetensors.index.json cannot be read" in failure(folder)


def test_weights_that_lack_a_layer_are_not_made_up(folder: Path) -> None:
    edit(folder / "config.json", lambda told: told.update(num_hidden_layers=3))
    assert "not a whole causal language model" in failure(folder, prepare=True)


def test_weights_of_another_shape(folder: Path) -> None:
    edit(folder / "config.json", lambda told: told.update(intermediate_size=48))
    assert failure(folder, prepare=True).startswith("model 'tiny': ")


def test_too_large_for_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_free_memory", lambda device: 1000)
    message = failure(folder, prepare=True)
    assert "in float32" in message
    assert "--dtype bfloat16 halves it" in message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_files_that_are_not_json(folder: Path, name: str) -> None:
    (folder / name).write_text("{ nothing")
    assert "tiny" in failure(folder)


def test_the_fingerprint_knows_weights_tokenizer_and_dtype_but_not_the_folder(
    folder: Path, tmp_path: Path
) -> None:
    def mark(dtype: str = "float32") -> str:
        return load_causal_lm(str(folder), dtype).fingerprint

    seen = {mark(), mark("bfloat16")}
    assert len(seen) == 2
    original = mark()
    folder = Path(shutil.move(folder, tmp_path / "elsewhere" / "renamed"))
    assert mark() == original
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    seen.add(mark())
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    seen.add(mark())
    assert len(seen) == 4


def test_max_positions_of_nested_and_of_longrope_configs(folder: Path) -> None:
    from curate.models.weights import max_positions

    assert max_positions({"text_config": {"max_position_embeddings": 7}}) == 7
    assert max_positions({"n_positions": 5}) == 5
    assert max_positions({"model_type": "bloom"}) is None
    rope = {"type": "longrope"}
    phi = {
        "max_position_embeddings": 9,
        "original_max_position_embeddings": 4,
        "rope_scaling": rope,
    }
    assert max_positions(phi) == 4
