"""PPO in its own environment: `make test-ppo` builds it first."""

import json
import math
import shutil
import subprocess
import sys

import pytest
from safetensors.numpy import load_file

from curate.models.resolve import resolve
from curate.system import environments
from tests.train.training import arguments, emit, train
from train.setup import ppo_environment, readable_by_ppo

pytestmark = [pytest.mark.ppo, pytest.mark.model, pytest.mark.timeout(900)]
# The mean loss of a sentence, as whatever transformers is there computes it.
MEASURE = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = sys.argv[1]
model = AutoModelForCausalLM.from_pretrained(folder).float()
text = "The heart pumps blood through the body, and the lungs bring oxygen to it. " * 20
ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
with torch.no_grad():
    print(float(model(input_ids=ids, labels=ids).loss))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    if environments.python(ppo_environment()) is None:
        pytest.fail("the environment of ppo is not built; `make test-ppo` builds it")
    folder = tmp_path_factory.mktemp("place")
    emit(folder / "data")
    return folder


def test_a_reward_model_and_ppo_against_it(place):
    judge = train(place, arguments("rm", "pairs", "saves/judge", max_steps=2)).answer
    settings = {"max_steps": 2, "gradient_accumulation_steps": 2, "max_new_tokens": 16}
    command = arguments("ppo", "instructions", "saves/ppo", "--reward", "saves/judge", **settings)
    ended = train(place, command)
    made = ended.answer
    assert (made["stage"], made["state"], made["steps"]) == ("ppo", "done", 2)
    assert made["parents"] == {"reward_model": judge["adapter"]["sha256"]}
    assert made["versions"]["llamafactory"] == "0.9.3"
    assert all(math.isfinite(made["loss"][each]) for each in ("first", "last"))
    assert "reward" in ended.err
    folder = place / "saves" / "ppo"
    weights = load_file(folder / "adapter_model.safetensors")
    assert any(value.any() for name, value in weights.items() if "lora_B" in name)
    lines = (folder / "trainer_log.jsonl").read_text().splitlines()
    assert all("reward" in json.loads(each) for each in lines)


def test_its_older_transformers_computes_the_same(place, request):
    """What transformers 5 saves gives other numbers there, and no error, unless it is repaired."""
    python = environments.python(ppo_environment())
    newer = place / "newer"
    newer.mkdir()
    model = resolve("smollm2").folder
    for each in model.iterdir():
        (newer / each.name).symlink_to(each)
    for name, change in (
        ("config.json", lambda told: told.pop("rope_theta", None)),
        ("tokenizer_config.json", lambda told: told.update(tokenizer_class="TokenizersBackend")),
    ):
        told = json.loads((model / name).read_text())
        change(told)
        (newer / name).unlink()
        (newer / name).write_text(json.dumps(told))
    older = readable_by_ppo(newer)
    assert older != newer
    request.addfinalizer(lambda: shutil.rmtree(older))
    assert measured(python, older) == pytest.approx(measured(sys.executable, newer), rel=1e-4)


def measured(python, folder) -> float:
    command = [str(python), "-c", MEASURE, str(folder)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
