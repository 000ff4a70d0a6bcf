"""Reward models of others, made tiny here: classification, and LLaMA-Factory's stage rm."""

from __future__ import annotations

import json

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from curate.errors import ModelError
from curate.models.causal_lm import load_causal_lm
from curate.models.ranking.reward_models import fitted, load_reward
from tests.models import tiny

CHAT = (
    "{% for m in messages %}<s>{{ m['role'][0] }}:{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>a:{% endif %}"
)
PAIRS = [
    ("What is 1 + 1?", "Two."),
    ("你好", "你好！很高兴见到你。"),
    ("Say it", "a much longer response than the others have, to make padding matter"),
]


def classifier(kind, folder, labels=1, chat=False, **more):
    """Save a random model for sequence classification and return it."""
    torch.manual_seed(1)
    config = getattr(transformers, f"{kind}Config")(
        **{**tiny.SHAPE, "num_labels": labels, "architectures": None, **more}
    )
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    model.save_pretrained(folder)
    tokenizer = tiny.byte_tokenizer()
    if chat:
        tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def scores(model):
    model.prepare()
    with model.worker():
        return model.score(PAIRS)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Bert", {}),
        # As OpenAssistant's reward models have it.
        ("DebertaV2", {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    ],
)
def test_an_encoder_reads_two_texts(tmp_path, kind, more):
    model, tokenizer = classifier(kind, tmp_path, pad_token_id=257, **more)
    found = scores(load_reward(str(tmp_path)))
    for (prompt, response), score in zip(PAIRS, found, strict=True):
        ids = tokenizer(prompt, response, return_tensors="pt")
        with torch.no_grad():
            expected = float(model(**ids).logits[0, 0])
        assert score == pytest.approx(expected, abs=1e-5)
    assert np.std(found) > 0.01


@pytest.mark.parametrize("pad", [257, None])
def test_llama_reads_its_chat_template_alone_or_padded(tmp_path, pad):
    model, tokenizer = classifier("Llama", tmp_path, chat=True, pad_token_id=pad)
    reward = load_reward(str(tmp_path))
    found = scores(reward)
    for pair, score, length in zip(PAIRS, found, reward.lengths(PAIRS), strict=True):
        text = f"<s>u:{pair[0]}</s><s>a:{pair[1]}</s>"
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            expected = float(model(input_ids=ids).logits[0, 0])
        assert score == pytest.approx(expected, abs=1e-5)
        assert length == ids.shape[1]
    assert reward.fingerprint == load_reward(str(tmp_path)).fingerprint


@pytest.mark.parametrize(("kind", "pad", "longest"), [("Bert", 257, 512), ("Roberta", 1, 510)])
def test_a_long_pair_is_cut_and_scored(tmp_path, kind, pad, longest):
    classifier(kind, tmp_path, pad_token_id=pad)
    reward = load_reward(str(tmp_path))
    reward.prepare()
    assert np.isfinite(reward.score([("q " * 2000, "a " * 2000)])[0])
    assert reward.lengths([("q " * 2000, "a " * 2000)]) == [longest]


def test_no_reward_models_are_refused(tmp_path):
    classifier("Bert", tmp_path / "three", labels=3)
    with pytest.raises(ModelError, match="tells 3 classes apart"):
        load_reward(str(tmp_path / "three"))
    tiny.save(tiny.make("Llama"), tmp_path / "causal")
    with pytest.raises(ModelError, match="LlamaForCausalLM, not a reward model"):
        load_reward(str(tmp_path / "causal"))
    classifier("Bert", tmp_path / "headless", pad_token_id=257)
    path = tmp_path / "headless" / "model.safetensors"
    kept = {k: v for k, v in load_file(path).items() if not k.startswith("classifier")}
    save_file(kept, path, metadata={"format": "pt"})
    reward = load_reward(str(tmp_path / "headless"))
    with pytest.raises(ModelError, match="not a whole reward model"):
        reward.prepare()


def drop(path, *starts):
    """Rewrite a safetensors file without some of its weights."""
    kept = {name: w for name, w in load_file(path).items() if not name.startswith(starts)}
    assert len(kept) < len(load_file(path))
    save_file(kept, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pears", "no ranker or reward model 'pears'. Did you mean 'pairs'"),
        ("smollm2", "'smollm2' is a language model and gives no rewards"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ModelError, match=message):
        load_reward(name)


def test_an_empty_folder_is_no_ranker(tmp_path):
    with pytest.raises(ModelError, match="does not hold card"):
        load_reward(str(tmp_path))


# What LLaMA-Factory's stage rm writes: adapter, value head, tokenizer with the template it used.


@pytest.fixture
def base(tmp_path):
    return tiny.save(tiny.make("Llama"), tmp_path / "base")


def value_head(width=32):
    torch.manual_seed(2)
    return {"v_head.summary.weight": torch.randn(1, width), "v_head.summary.bias": torch.ones(1)}


def adapter(base, folder, template=CHAT):
    """Save a LoRA adapter with a value head over a base, and return model and head."""
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"])
    tuned = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:  # zeros, with which an adapter does nothing
                weight.normal_(std=0.3)
    tuned.save_pretrained(folder)
    head = value_head()
    save_file(head, folder / "value_head.safetensors", metadata={"format": "pt"})
    tokenizer = tiny.byte_tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tuned.eval(), tokenizer, head


def expected_values(model, tokenizer, head):
    for prompt, response in PAIRS:
        text = f"<s>u:{prompt}</s><s>a:{response}</s>"
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            last = model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0, -1]
        yield float(last @ head["v_head.summary.weight"][0] + head["v_head.summary.bias"][0])


def test_adapter_with_value_head(tmp_path, base):
    parts = adapter(base, tmp_path / "rm")
    found = scores(load_reward(str(tmp_path / "rm")))
    assert found == pytest.approx(list(expected_values(*parts)), abs=1e-4)
    plain = transformers.AutoModelForCausalLM.from_pretrained(base)
    assert found != pytest.approx(list(expected_values(plain, *parts[1:])), abs=1e-2)


def test_whole_weights_with_value_head(tmp_path, base):
    head = value_head()
    save_file(head, base / "value_head.safetensors", metadata={"format": "pt"})
    tokenizer = tiny.byte_tokenizer()
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    found = scores(load_reward(str(base)))
    assert found == pytest.approx(list(expected_values(model, tokenizer, head)), abs=1e-4)


def test_adapters_that_are_not_whole(tmp_path, base):
    adapter(base, tmp_path / "rm")
    told = tmp_path / "rm" / "adapter_config.json"
    config = json.loads(told.read_text())
    told.write_text(json.dumps({**config, "base_model_name_or_path": "gone"}))
    with pytest.raises(ModelError, match="base model of adapter 'rm' is not to be had"):
        load_reward(str(tmp_path / "rm"))
    told.write_text(json.dumps(config))
    save_file(value_head(16), tmp_path / "rm" / "value_head.safetensors")
    with pytest.raises(ModelError, match="made for 16 numbers a token, its base gives 32"):
        load_reward(str(tmp_path / "rm")).prepare()
    (tmp_path / "rm" / "value_head.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no value_head\.safetensors"):
        load_reward(str(tmp_path / "rm"))


LACKING = {
    "value_head.safetensors": ("v_head.summary.bias", "value_head.safetensors is not whole: 1 of"),
    # Two targets in each of two layers, each with two matrices.
    "adapter_model.safetensors": ("base_model.model.model.layers.1", "'rm' is not whole: 4 of its"),
}


@pytest.mark.parametrize("name", LACKING)
def test_weights_beside_the_base_are_not_made_up(tmp_path, base, name):
    adapter(base, tmp_path / "rm")
    start, message = LACKING[name]
    drop(tmp_path / "rm" / name, start)
    with pytest.raises(ModelError, match=message) as caught:
        load_reward(str(tmp_path / "rm")).prepare()
    assert f"({start}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("whole", [True, False])
def test_weights_of_the_base_are_not_made_up(tmp_path, base, whole):
    folder = base if whole else tmp_path / "rm"
    adapter(base, folder)
    if whole:
        (folder / "adapter_config.json").unlink()
    drop(base / "model.safetensors", "model.layers.1.mlp")
    with pytest.raises(ModelError, match=r"3 of its weights .*\(model\.layers\.1\.mlp\.down_proj"):
        load_reward(str(folder)).prepare()


def test_a_trained_copy_of_a_layer_that_is_gone_is_missed(tmp_path, base):
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head"])
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "lora")
    path = tmp_path / "lora" / "adapter_model.safetensors"
    load_causal_lm(str(tmp_path / "lora"), "float32").prepare()
    drop(path, "base_model.model.lm_head")
    with pytest.raises(
        ModelError, match=r"1 of its weights .*\(base_model\.model\.lm_head\.weight"
    ):
        load_causal_lm(str(tmp_path / "lora"), "float32").prepare()


def test_an_adapter_of_a_deeper_model_is_refused(tmp_path, base):
    adapter(tiny.save(tiny.make("Llama", num_hidden_layers=3), tmp_path / "deep"), tmp_path / "rm")
    told = tmp_path / "rm" / "adapter_config.json"
    config = json.loads(told.read_text())
    told.write_text(json.dumps({**config, "base_model_name_or_path": str(base)}))
    with pytest.raises(
        ModelError, match=r"4 of its weights belong to no part of the base \(base_m"
    ):
        load_reward(str(tmp_path / "rm")).prepare()


def test_what_does_not_fit_is_cut_from_the_prompt_first():
    lead, rest = list(range(10)), list(range(100, 106))
    assert fitted(lead, rest, 20) == lead + rest
    assert fitted(lead, rest, 12) == lead[:6] + rest
    assert fitted(lead, rest, 8) == lead[:4] + [100, 101, 102, 105]
    assert fitted([1], rest, 4) == [1, 100, 101, 105]
