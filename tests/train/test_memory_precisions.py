"""What LLaMA-Factory 0.9.5 keeps in which precision, and the models beside the trained one."""

from dataclasses import replace

import pytest

from curate.system.hardware import Hardware
from tests.train.making import model_in
from train.checks.limits import memory_need
from train.config.model import find
from train.config.plan import Dataset, Request, make
from train.config.presets import Extent
from train.memory import estimate as memory
from train.memory.estimate import GIB, Job, bytes_a_parameter, estimate, total
from train.memory.model_shape import known_shape

GPU = Hardware("cuda", 1, 24 * GIB, True)
SMOLLM2 = known_shape("smollm2")
ALL, EMBEDDING, TWO_LAYERS, ADAPTER = 134_515_008, 28_346_688, 7_080_192, 2_442_240


@pytest.mark.parametrize(
    ("changes", "as_stored", "trained"),
    [
        # Numbers of weights as its loader left them, of smollm2 with files in either precision.
        ({"method": "full", "precision": "pure_bf16"}, ALL, 0),
        ({"method": "qlora"}, EMBEDDING, ADAPTER),
        ({"method": "full", "layers": 2}, ALL - TWO_LAYERS, TWO_LAYERS),
        ({"method": "full", "layers": 0}, ALL, 0),
        ({"method": "full", "layers": 0, "embeddings": 1}, ALL - EMBEDDING, EMBEDDING),
        ({"method": "full", "layers": -3}, ALL - 10_620_288, 10_620_288),
        ({"method": "full", "layers": 2, "embeddings": 1}, 99_090_432, 35_424_576),
        ({"method": "lora", "embeddings": 2}, ALL, 59_065_344),
    ],
)
@pytest.mark.parametrize("stored", [4, 2])
def test_what_is_kept_in_the_precision_of_the_files(changes, as_stored, trained, stored):
    job = Job(stored=stored, **changes)
    four_bits = memory.quantised(ALL - EMBEDDING, 4) if job.method == "qlora" else 0
    # Masters count as the optimizer's; autocast makes a copy in two bytes of what is trained.
    told = four_bits + as_stored * stored + trained * 2
    assert estimate(SMOLLM2, job)["weights"] == pytest.approx(told, rel=1e-3)


def test_pure_bf16_of_float32_files_is_all_float32():
    fp32, pure = (
        estimate(SMOLLM2, Job(method="full", precision=precision, stored=4))
        for precision in ("fp32", "pure_bf16")
    )
    assert pure == fp32
    assert sum(bytes_a_parameter(Job(method="lora", precision="pure_bf16"))) == 16


def test_freeze_beside_measured_on_a_cpu():
    """Peaks of LLaMA-Factory 0.9.5's process (VmHWM, GiB): smollm2, two samples of 512 tokens."""
    job = Job(method="full", device="cpu", batch=2, cutoff_len=512)
    for measured, changes in (
        (1.88, {"layers": 2}),
        (1.92, {"layers": 2, "checkpointing": False}),
        (2.72, {"layers": -2}),  # frozen layers above those that are trained are kept whole
    ):
        told = total(SMOLLM2, replace(job, stored=4, **changes)) / GIB
        assert told == pytest.approx(measured, rel=0.18), changes


def test_models_beside_the_one_that_is_trained():
    llama = known_shape("llama-2-7b")
    for changes, number in (
        ({"stage": "dpo"}, 0),
        ({"stage": "dpo", "others": 1}, 1),
        ({"stage": "dpo", "method": "full", "compared": False}, 0),
        ({"stage": "ppo", "others": 1, "method": "full"}, 2),
    ):
        assert estimate(llama, Job(**changes))["reference"] == number * 2 * llama.parameters


def test_orpo_and_simpo_have_no_logits_of_a_reference():
    alone, dpo = (estimate(SMOLLM2, Job(stage="dpo", compared=each)) for each in (False, True))
    assert alone["logits"] == estimate(SMOLLM2, Job(batch=2))["logits"] < dpo["logits"]


def test_a_run_saves_masters_and_the_frozen_of_a_whole_model():
    for changes, size in (
        # As LLaMA-Factory 0.9.5 wrote them, with headers of some kilobytes.
        ({"method": "full", "stored": 2}, 538_090_408),
        ({"method": "full", "layers": 2, "stored": 4}, 538_090_408),
        ({"method": "full", "layers": 2, "stored": 2}, 283_220_936),
    ):
        assert memory.saved(SMOLLM2, Job(**changes)) == pytest.approx(size, rel=1e-3)


@pytest.mark.parametrize(
    ("stage", "settings", "wanted"),
    [
        ("sft", {"finetuning_type": "freeze"}, {"method": "full", "layers": 2}),
        (
            "sft",
            {
                "finetuning_type": "freeze",
                "freeze_trainable_layers": -1,
                "freeze_extra_modules": "norm, embed_tokens",
            },
            {"layers": -1, "embeddings": 1, "others": 0},
        ),
        ("sft", {"additional_target": "embed_tokens,lm_head"}, {"method": "lora", "embeddings": 2}),
        # The adapter that dpo goes on with is compared with a model of its own.
        ("dpo", {"ref_model": "mine", "ref_model_adapters": "a"}, {"others": 1}),
        ("dpo", {"finetuning_type": "oft"}, {"others": 1}),
        ("dpo", {}, {"others": 0, "layers": None, "embeddings": 0, "compared": True}),
        ("dpo", {"pref_loss": "simpo", "ref_model": "mine"}, {"others": 0, "compared": False}),
        ("sft", {"finetuning_type": "full", "use_asft_loss": True}, {"others": 1}),
        ("kto", {"pref_loss": "orpo"}, {"compared": True}),
        ("sft", {"finetuning_type": "freeze", "freeze_trainable_layers": 0}, {"layers": 0}),
        ("dpo", {"finetuning_type": "full", "ref_model": "mine"}, {"others": 0}),
    ],
)
def test_what_a_config_says_of_it(tmp_path, stage, settings, wanted):
    model = find(str(model_in(tmp_path / "model")))
    request = Request(stage=stage, output=tmp_path / "a", preset="tutorial", template="chatml")
    plan = make(request, Dataset("a", tmp_path, Extent(100)), model, GPU, settings)
    job = memory_need(plan, GPU, None).job
    assert {key: getattr(job, key) for key in wanted} == wanted
    assert job.stored == 4  # config.json names no precision, and the weights are in float32
