# make demo    environment, install, then the main job on a shipped sample
# make test    environment, install, then everything that .ci/run runs
# make quick   tests that need no model, in seconds
# make lint    ruff and mypy
# make test-gptq   quantise the bundled model for real, in an environment of its own (10 minutes)
# make test-ppo    a reward model and ppo against it, in an environment of its own (10 minutes)
# make test-vllm   serve the bundled model with vLLM, in an environment of its own (10 minutes)
# make bench   speed and memory, as ratios to naive loops (hours, on a quiet machine)
# make ranker  train the bundled ranker from public pairs: make ranker PAIRS_DIR=folder of them

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test quick lint test-gptq test-ppo test-vllm bench ranker clean

demo: $(READY)
	$(BIN)/curate ifd --input mixtures/samples/huatuo.json --output data --show 12

test: lint
	$(BIN)/curate models --get smollm2
	$(BIN)/pytest

quick: $(READY)
	$(BIN)/pytest -m "not model and not slow and not gptq and not ppo and not vllm"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-gptq: $(READY)
	$(BIN)/deploy setup gptq
	$(BIN)/pytest -m gptq tests/deploy

test-ppo: $(READY)
	$(BIN)/train setup ppo
	$(BIN)/pytest -m ppo tests/train

test-vllm: $(READY)
	$(BIN)/deploy setup vllm
	$(BIN)/pytest -m vllm tests/deploy

BENCHMARKS := ifd_speed ifd_memory k_center kmeans facility_location dedup_speed mix_stream train_beside serve_load

bench: $(READY)
	for each in $(BENCHMARKS); do $(BIN)/python -m tests.benchmarks.$$each || exit 1; done

PAIRS_DIR ?= ../shared/data
PAIRS := coachlm_expert_revisions_train.json dpo_zh.jsonl dpo_zh_demo.json dpo_en_demo.json

ranker: $(READY)
	$(BIN)/curate ranker train $(PAIRS:%=--pairs $(PAIRS_DIR)/%) --encoder use \
	  --output curate/models/ranking/pairs

# The constraints pin versions that were seen to work together; without them torch may come as a
# build for CUDA of several GB. For the same reason llamafactory comes without what it depends on:
# the tests run its converter, and what that imports is in the extra dev.
$(READY): pyproject.toml constraints-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints-cpu.txt --editable ".[dev]"
	$(BIN)/pip install --quiet --constraint constraints-cpu.txt --no-deps llamafactory
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist
