# make demo    environment, install, then the main job on a shipped sample
# make test    environment, install, then everything that .ci/run runs
# make quick   tests that need no model, in seconds
# make lint    ruff and mypy
# make test-long   tests that take many minutes, such as every notebook
# make notebooks   execute the notebooks and write them anew
# make test-gptq   quantise the bundled model for real, in an environment of its own (10 minutes)
# make test-ppo    a reward model and ppo against it, in an environment of its own (10 minutes)
# make test-vllm   serve the bundled model with vLLM, in an environment of its own (10 minutes)
# make bench   speed and memory up to a million rows, beside naive loops (hours, on a quiet machine);
#              a part: make bench BENCH="--only read dedup --rows 10000"
# make ranker  train the bundled ranker from public pairs: make ranker PAIRS_DIR=folder of them

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# uv, where it is on the PATH, is some times quicker; it takes the same constraints.
UV := $(shell command -v uv 2>/dev/null)
INSTALL := $(if $(UV),uv pip install --python $(BIN)/python,$(BIN)/pip install) --quiet \
  --constraint constraints-cpu.txt
SMALL := $(if $(UV),UV_TORCH_BACKEND=cpu,PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu)

.PHONY: demo test browser quick lint test-long notebooks test-gptq test-ppo test-vllm bench ranker clean

demo: $(READY)
	$(BIN)/curate ifd --input mixtures/samples/huatuo.json --output data --show 12

test: lint browser
	$(BIN)/curate models --get smollm2
	$(BIN)/pytest --numprocesses 2 --dist loadfile

# Pages are tested in Chromium: Debian's, where this is root. Without one, it says what is skipped.
browser: $(READY)
	@$(BIN)/python -m tests.bring_browser

quick: $(READY)
	$(BIN)/pytest -m "not model and not slow and not long and not gptq and not ppo and not vllm"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-long: $(READY)
	$(BIN)/deploy setup eval
	$(BIN)/pytest -m long
	$(BIN)/pytest tests/test_notebooks.py

notebooks: $(READY)
	$(BIN)/python -m tests.notebooks

test-gptq: $(READY)
	$(BIN)/deploy setup gptq
	$(BIN)/pytest -m gptq tests/deploy

test-ppo: $(READY)
	$(BIN)/train setup ppo
	$(BIN)/pytest -m ppo tests/train

test-vllm: $(READY)
	$(BIN)/deploy setup vllm
	$(BIN)/pytest -m vllm tests/deploy

# What is measured is kept in benchmarks.json at once: the same command goes on where it was stopped.
BENCH :=

bench: $(READY)
	$(BIN)/python -m tests.benchmarks.scale --output benchmarks.json $(BENCH)
	$(BIN)/python -m tests.benchmarks.rows_per_hour benchmarks.json

PAIRS_DIR ?= ../shared/data
PAIRS := coachlm_expert_revisions_train.json dpo_zh.jsonl dpo_zh_demo.json dpo_en_demo.json

ranker: $(READY)
	$(BIN)/curate ranker train $(PAIRS:%=--pairs $(PAIRS_DIR)/%) --encoder use \
	  --output curate/models/ranking/pairs

# The constraints pin versions that were seen to work together. llamafactory comes without what it
# depends on: the tests run its converter, and what that imports is in the extra dev.
$(READY): pyproject.toml constraints-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "curatrain, torch, LLaMA-Factory and what they need come into $(VENV), by $(if $(UV),uv,pip): 2.0 GB on disk with"
	@echo "torch's build for CPUs, 5.3 GB with the registry's usual one, which machines without a GPU do not"
	@echo "need. For the small one: Ctrl-C, then $(SMALL) make $(MAKECMDGOALS)"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[dev]"
	$(INSTALL) --no-deps llamafactory
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist
