"""`--set key=value`: what LLaMA-Factory 0.9.5 takes, and what is said of all else."""

from __future__ import annotations

import pytest

from curate.errors import UsageError
from train.config.keys import hints, recorded, settings


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("learning_rate=1e-4", {"learning_rate": 1e-4}),
        ("--learning_rate=1e-4", {"learning_rate": 1e-4}),
        ("bf16=False", {"bf16": False}),
        ("packing=yes", {"packing": True}),
        ("max_samples=10", {"max_samples": 10}),
        ("save_steps=7", {"save_steps": 7}),
        ("warmup_steps=0.1", {"warmup_steps": 0.1}),
        ("lora_alpha=none", {"lora_alpha": None}),
        ("lora_target=q_proj,v_proj", {"lora_target": "q_proj,v_proj"}),
        ("label_names=a,b", {"label_names": ["a", "b"]}),
        ('lr_scheduler_kwargs={"num_cycles": 2}', {"lr_scheduler_kwargs": {"num_cycles": 2}}),
        ("default_system=a=b", {"default_system": "a=b"}),
        ("lr_scheduler_type=constant", {"lr_scheduler_type": "constant"}),
    ],
)
def test_values_have_the_type_of_their_key(typed: str, wanted: object) -> None:
    assert repr(settings([typed])[0]) == repr(wanted)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("lr=abc", "calls this learning_rate: --set learning_rate="),
        ("learning_rate=abc", "allowed is a number such as 5e-5"),
        ("learning_rate=inf", "allowed is a number such as 5e-5"),
        ("learning_rate=-1", "allowed is 0 and more"),
        ("num_train_epochs=0", "allowed is more than 0"),
        ("max_samples=1.5", "allowed is a whole number"),
        ("seed=4294967296", "allowed is 4294967295 and less"),
        ("lora_dropout=1", "allowed is 0.99 and less"),
        ("warmup_ratio=1", "allowed is a share of the steps"),
        ("preprocessing_num_workers=0", "allowed is 1 and more"),
        ("bf16=maybe", "allowed is true or false"),
        ("pref_loss=simgoid", "sigmoid, hinge, .* Did you mean 'sigmoid'"),
        ("lr_scheduler_kwargs={a", "or JSON where it begins with {"),
        ("learnig_rate=1e-4", "no such key. Did you mean 'learning_rate'"),
        ("evaluation_strategy=steps", "calls this eval_strategy"),
        ("max_length=512", "calls this cutoff_len"),
        ("dpo_beta=0.1", "calls this pref_beta"),
        ("no_cuda=true", "calls this use_cpu"),
        ("save_safetensors=true", "always saves safetensors"),
        ("group_by_length=true", "train_sampling_strategy=group_by_length"),
        ("learning_rate", "allowed is key=value"),
        ("=3", "allowed is key=value"),
        ("output_dir=x", "give --output"),
        ("dataset=x", "give --dataset"),
        ("stage=dpo", "type the stage"),
        ("hf_hub_token=hf_abc", "HF_TOKEN"),
    ],
)
def test_what_cannot_be_set(typed: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        settings([typed])
    assert "\n" not in str(error.value)
    assert "hf_abc" not in str(error.value)


def test_a_deprecated_key_becomes_the_one_for_it() -> None:
    found, notes = settings(["warmup_ratio=0.1"])
    assert found == {"warmup_steps": 0.1}
    assert "deprecated" in notes[0]


def test_keys_that_the_release_for_ppo_has_not() -> None:
    settings(["pref_bco_weight=1"])
    with pytest.raises(UsageError, match=r"LLaMA-Factory 0\.9\.3, which has no such key"):
        settings(["pref_bco_weight=1"], "0.9.3")


def test_what_is_said_of_keys_is_true() -> None:
    known, said = set(recorded("keys")), hints()
    assert known & set(said["now"]) == {"max_length"}  # of generated answers
    assert not known & set(said["gone"])
    assert set(said["now"].values()) <= known
    for table in ("ours", "secret", "least"):
        assert set(said[table]) <= known, table
