"""Directories of sentence-transformers: the same vectors as that library, and none of its risks."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.normalize import Normalize
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules.pooling import Pooling
from transformers import BertConfig, BertModel, BertTokenizerFast

from curate.errors import ModelError
from curate.models.embedding import load_encoder
from curate.models.ranking.features import EmbeddingFeatures

TEXTS = [
    "a b c",
    "头 痛 怎 么 办",
    "c",
    "",
    "  b a  ",
    "B A",
    "a " * 50,
    "头 b 痛 c 头",
]
WIDE = 16


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A BERT of one layer with weights drawn at random, and a vocabulary of a dozen words."""
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", *"头痛怎么办", ":"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=WIDE,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def saved(base, tmp_path, scratch_cache):
    def save(pooling="mean", dense=False, normalise=False, **options):
        lower = options.pop("lower", False)
        modules = [
            Transformer(str(base), max_seq_length=20, do_lower_case=lower),
            Pooling(WIDE, pooling),
        ]
        torch.manual_seed(1)
        wide = modules[1].get_embedding_dimension()
        modules += [Dense(wide, 6)] if dense else []
        modules += [Normalize()] if normalise else []
        folder = tmp_path / "encoder"
        SentenceTransformer(modules=modules, device="cpu", **options).save(str(folder))
        return folder

    return save


def ours(folder):
    encoder = load_encoder(str(folder))
    encoder.prepare()
    return encoder, encoder.embed(TEXTS)


def theirs(folder):
    return SentenceTransformer(str(folder), device="cpu").encode(TEXTS)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pooling": "cls", "normalise": True},
        {"pooling": "max"},
        {"pooling": "lasttoken"},
        {"pooling": "mean_sqrt_len_tokens"},
        {"pooling": ("cls", "mean"), "dense": True},
        {"dense": True, "normalise": True},
        {"lower": True},
        {"prompts": {"query": "a : "}, "default_prompt_name": "query"},
    ],
    ids=str,
)
def test_the_same_vectors(saved, options):
    folder = saved(**options)
    encoder, found = ours(folder)
    np.testing.assert_allclose(found, theirs(folder), atol=1e-6)
    assert found.shape == (len(TEXTS), encoder.dimensions)
    assert len({tuple(each) for each in found.round(4).tolist()}) > 4


def test_a_prompt_that_is_not_pooled(saved):
    folder = saved(prompts={"query": "a : "}, default_prompt_name="query")
    path = folder / "1_Pooling" / "config.json"
    pooled = ours(folder)[1]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"include_prompt": False}))
    found = ours(folder)[1]
    assert abs(found - pooled).max() > 1e-3
    np.testing.assert_allclose(found, theirs(folder), atol=1e-6)


def test_as_older_releases_wrote_it(saved):
    folder = saved("cls", normalise=True)
    wanted = ours(folder)[1]
    old = {"word_embedding_dimension": WIDE, "pooling_mode_cls_token": True}
    old |= {f"pooling_mode_{each}": False for each in ("mean_tokens", "max_tokens", "lasttoken")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(old))
    for path in (folder / "modules.json",):
        modules = json.loads(path.read_text())
        for each in modules:
            each["type"] = f"sentence_transformers.models.{each['type'].rpartition('.')[2]}"
        path.write_text(json.dumps(modules))
    assert ours(folder)[1].tolist() == wanted.tolist()


def test_a_plain_transformer_is_pooled_by_the_mean(base, saved):
    wanted = ours(saved())[1]
    encoder = load_encoder(str(base))
    encoder.prepare()
    np.testing.assert_allclose(encoder.embed(TEXTS[:6]), wanted[:6], atol=1e-5)


def test_vectors_of_the_loop_that_was_here_before(saved):
    """Recorded from a forward pass of transformers with the states pooled by hand."""
    recorded = np.load(Path(__file__).parent.parent / "fixtures" / "encoder_vectors.npy")
    found = ours(saved(("cls", "mean"), dense=True, normalise=True, lower=True))[1]
    np.testing.assert_allclose(found, recorded, atol=1e-6)


def test_several_threads_at_once(saved):
    encoder, expected = ours(saved())
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(encoder.embed, [TEXTS] * 40):
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_lengths_are_tokens_and_cut(saved):
    encoder = load_encoder(str(saved()))
    assert encoder.lengths(["a b c", "", "a " * 50]) == [5, 2, 20]


def test_alone_or_in_a_batch(saved):
    encoder, found = ours(saved(normalise=True))
    alone = np.concatenate([encoder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize("file", ["model.safetensors", "1_Pooling/config.json", "modules.json"])
def test_every_file_that_decides_is_in_the_fingerprint(saved, file):
    folder = saved("cls")
    before = load_encoder(str(folder))
    path = folder / file
    if file == "model.safetensors":
        from safetensors.torch import load_file, save_file

        tensors = load_file(path)
        save_file({name: each + 1 for name, each in tensors.items()}, path, {"format": "pt"})
    elif file == "modules.json":
        modules = json.loads(path.read_text())
        modules.append(
            {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
        )
        path.write_text(json.dumps(modules))
    else:
        path.write_text(path.read_text().replace('"cls"', '"mean"'))
    after = load_encoder(str(folder))
    assert after.fingerprint != before.fingerprint
    assert after.origin != before.origin


def test_another_device_is_another_fingerprint_of_the_same_origin(saved):
    folder = saved("cls")
    here = load_encoder(str(folder))
    there = load_encoder(str(folder), "cuda")
    # Journals go on where they were begun; a ranker goes where its encoder goes.
    assert (here.fingerprint == there.fingerprint, here.origin == there.origin) == (False, True)
    one, other = EmbeddingFeatures(here), EmbeddingFeatures(there)
    assert (one.fingerprint == other.fingerprint, one.origin == other.origin) == (False, True)


def damage(folder: Path, what: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    if what == "code":
        modules[1]["type"] = "evil.Thing"
        (folder / "evil.py").write_text("raise SystemExit('ran')")
    elif what == "outside":
        modules[1]["path"] = "../elsewhere"
    elif what == "pickle":
        (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    elif what == "weights":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif what == "pooling":
        path = folder / "1_Pooling" / "config.json"
        path.write_text(json.dumps({"embedding_dimension": WIDE, "pooling_mode": "nothing"}))
    elif what == "nopooling":
        del modules[1:]
    elif what == "json":
        (folder / "1_Pooling" / "config.json").write_text("{")
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("code", "module that is not of sentence-transformers \\(evil.Thing\\)"),
        ("outside", "outside its folder \\(../elsewhere\\)"),
        ("pickle", "2_Dense has no model.safetensors; .bin files are not loaded"),
        ("weights", "has no \\*.safetensors"),
        ("pooling", "encoder 'encoder': .*nothing"),
        ("nopooling", "encoder 'encoder': .*sentence_embedding"),
        ("json", "config.json is not JSON"),
    ],
)
def test_refused(saved, what, said):
    folder = saved(dense=True)
    damage(folder, what)
    with pytest.raises(ModelError, match=said):
        load_encoder(str(folder)).prepare()


def drop(path, *starts):
    kept = {name: w for name, w in load_file(path).items() if not name.startswith(starts)}
    assert len(kept) < len(load_file(path))
    save_file(kept, path, metadata={"format": "pt"})


def test_weights_that_are_not_in_the_files_are_not_made_up(saved):
    folder = saved()
    drop(folder / "model.safetensors", "encoder.layer.0.attention.self")
    encoder = load_encoder(str(folder))
    with pytest.raises(ModelError, match="whole encoder: 6 of its weights are not in the files"):
        encoder.prepare()


@pytest.mark.parametrize("name", ["linear.weight", "linear.bias"])
def test_a_projection_without_one_of_its_parts_is_refused(saved, name):
    folder = saved(dense=True)
    drop(next(folder.glob("*_Dense")) / "model.safetensors", name)
    with pytest.raises(ModelError, match=rf"Missing key.*{name}"):
        load_encoder(str(folder)).prepare()


def test_a_pooler_that_nobody_reads_may_be_missing(saved):
    folder = saved()
    _, expected = ours(folder)
    drop(folder / "model.safetensors", "pooler.")
    _, found = ours(folder)
    np.testing.assert_array_equal(found, expected)


def test_a_transformer_in_a_folder_of_its_own(saved):
    folder = saved()
    before = ours(folder)[1]
    inner = folder / "0_Transformer"
    inner.mkdir()
    for path in list(folder.iterdir()):
        aside = ("modules.json", "config_sentence_transformers.json", "README.md")
        if path.is_file() and path.name not in aside:
            path.rename(inner / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    old = "sentence_transformers.models."
    for module in modules:
        module["type"] = old + module["type"].rpartition(".")[2]
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    encoder, vectors = ours(folder)
    assert np.abs(vectors - theirs(folder)).max() <= 1e-6
    assert np.abs(vectors - before).max() <= 1e-6
    assert max(encoder.lengths(TEXTS)) == 20


def test_word_vectors_without_a_transformer_are_refused_for_that(base, tmp_path, scratch_cache):
    from sentence_transformers.sentence_transformer.modules.static_embedding import StaticEmbedding

    tokenizer = BertTokenizerFast.from_pretrained(base)
    folder = tmp_path / "static"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)]).save(str(folder))
    with pytest.raises(ModelError, match=r"'static' has no config\.json of a transformer"):
        load_encoder(str(folder))


def transformer(base, folder, config, kind):
    """Write a transformer with weights drawn at random, alone in its folder."""
    torch.manual_seed(3)
    kind(config).save_pretrained(folder)
    BertTokenizerFast.from_pretrained(base).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("whole", [False, True])
def test_encoders_of_the_t5_kind(base, tmp_path, scratch_cache, whole):
    from transformers import T5Config, T5EncoderModel, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=14, d_model=WIDE, d_kv=8, d_ff=16, num_layers=1, num_heads=2, dropout_rate=0.0
    )
    kind = T5ForConditionalGeneration if whole else T5EncoderModel
    folder = transformer(base, tmp_path / "t5", config, kind)
    encoder, vectors = ours(folder)
    assert encoder.dimensions == WIDE
    assert np.abs(vectors - theirs(folder)).max() <= 1e-6


@pytest.mark.parametrize("said", [None, 34])
def test_a_table_of_positions_that_begins_behind_the_padding(base, tmp_path, scratch_cache, said):
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=14,
        hidden_size=WIDE,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=34,
        pad_token_id=0,
    )
    folder = transformer(base, tmp_path / "roberta", config, RobertaModel)
    if said:
        settings = json.dumps({"max_seq_length": said, "do_lower_case": False})
        (folder / "sentence_bert_config.json").write_text(settings)
    encoder, vectors = ours(folder)
    assert max(encoder.lengths(TEXTS)) == 33
    assert np.isfinite(vectors).all()


def test_an_encoder_that_cannot_compute_says_so_in_a_line(saved, monkeypatch):
    encoder, _ = ours(saved())

    def fail(*_, **__):
        raise IndexError("index out of range in self")

    monkeypatch.setattr(encoder._model.ready, "encode", fail)
    with pytest.raises(ModelError, match="cannot compute a batch of texts"):
        encoder.embed(TEXTS)
