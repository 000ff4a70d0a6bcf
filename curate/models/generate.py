"""Models that answer: from what stands behind --responder to the most likely texts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from curate.models.causal_lm import OpenedLM, check_dtype, open_lm
from curate.models.openai_server import is_address, load_server
from curate.models.protocols import CUT, STOPPED, TOO_LONG, Generator, Message, Reply
from curate.models.recipe import LoadedOnce, ModelRecipe, recipe_of
from curate.models.text_tokenizer import HFEncoder, ends, prompt_ids
from curate.models.weights import cache_bytes

# Part of every fingerprint: a changed way of answering never continues an older journal.
_COMPUTATION = "answers 2"
_CPU_BATCH_TOKENS = 16384
_GPU_BATCH_TOKENS = 131072
_CACHE_BYTES = 1 << 30  # of keys and values that one batch may hold on a CPU
_GPU_CACHE_SHARE = 0.25  # of the card's memory


def load_generator(
    name: str,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    concurrency: int = 8,
    device: str = "auto",
    batch_tokens: int | None = None,
) -> Generator:
    """Return the model of that name; its weights are loaded when it is first asked.

    A name is one that load_causal_lm() takes, or `http(s)://HOST:PORT/v1#MODEL`, a server with
    OpenAI's interface that is sent so many requests at once (`#MODEL` may be left out where it
    serves only one). dtype `auto` is float32 on a CPU, where answers then do not depend on what
    else is in the batch. batch_tokens are None for what the device has room for.
    """
    if is_address(name):
        check_dtype(dtype)
        return load_server(name, concurrency)
    opened = open_lm(name, dtype, trust_remote_code, device, computation=_COMPUTATION, exact=True)
    model = LocalGenerator(opened, batch_tokens or _batch_tokens(opened))
    more = {"dtype": model.dtype, "batch_tokens": model.batch_tokens}
    model.recipe = recipe_of("generator", name, model, trust_remote_code=trust_remote_code, **more)
    return model


def _batch_tokens(opened: OpenedLM) -> int:
    """Return how many tokens a batch may hold: as many as its keys and values have room for.

    It hangs on the machine, not on what is free just now: a run that is continued has to make
    the same batches.
    """
    import torch

    most, room = _CPU_BATCH_TOKENS, float(_CACHE_BYTES)
    if opened.device == "cuda":
        most = _GPU_BATCH_TOKENS
        room = _GPU_CACHE_SHARE * torch.cuda.get_device_properties(0).total_memory
    return max(1, min(most, int(room / cache_bytes(opened.config, opened.dtype))))


class LocalGenerator:
    """A causal language model behind the Generator protocol."""

    recipe: ModelRecipe
    workers = 1  # the products of one step take all cores

    def __init__(self, opened: OpenedLM, batch_tokens: int) -> None:
        import torch

        self.name, self.fingerprint, self.dtype = opened.name, opened.fingerprint, opened.dtype
        self.device = opened.device
        self.threads = torch.get_num_threads() if self.device == "cpu" else 1
        self.max_positions, self.batch_tokens = opened.max_positions, batch_tokens
        self.encoder = HFEncoder(opened.tokenizer, opened.name)
        self._model = LoadedOnce(opened.load)
        self._ends: frozenset[int] = frozenset()

    def prepare(self) -> None:
        model = self._model.get()
        if not self._ends:
            self._ends = ends(self.encoder, model.config, model.generation_config)

    def lengths(self, conversations: Sequence[Sequence[Message]]) -> list[int]:
        return [len(ids) for ids in prompt_ids(self.encoder, conversations)]

    def replies(
        self, conversations: Sequence[Sequence[Message]], max_new_tokens: int
    ) -> list[Reply]:
        self.prepare()
        prompts = prompt_ids(self.encoder, conversations)
        replies = [Reply("", TOO_LONG)] * len(prompts)
        room = self.max_positions - max_new_tokens
        fit = [at for at, ids in enumerate(prompts) if len(ids) <= room]
        fit.sort(key=lambda at: -len(prompts[at]))  # what does not fit into memory fails at once
        padding = int(self.encoder.tokenizer.pad_token_id or 0)
        while fit:
            rows = max(1, self.batch_tokens // (len(prompts[fit[0]]) + max_new_tokens))
            batch, fit = fit[:rows], fit[rows:]
            asked = [prompts[at] for at in batch]
            answers = greedy(self._model.ready, asked, max_new_tokens, self._ends, padding)
            for at, ids in zip(batch, answers, strict=True):
                replies[at] = self._reply(ids)
        return replies

    def worker(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def _reply(self, ids: list[int]) -> Reply:
        ended = bool(ids) and ids[-1] in self._ends
        shown = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        text: str = self.encoder.tokenizer.decode(ids[:-1] if ended else ids, **shown)
        if ended:
            return Reply(text.strip(), STOPPED)
        return Reply(text.rstrip("\N{REPLACEMENT CHARACTER}").strip(), CUT)  # half a character


def greedy(
    model: Any, prompts: Sequence[Sequence[int]], most: int, ends: frozenset[int], padding: int
) -> list[list[int]]:
    """Return the ids that the model continues each prompt with, up to the first end, included."""
    if not prompts:
        return []
    import torch
    from transformers import GenerationConfig

    longest = max(map(len, prompts))
    ids = torch.tensor([[padding] * (longest - len(line)) + list(line) for line in prompts])
    mask = torch.tensor([[0] * (longest - len(line)) + [1] * len(line) for line in prompts])
    # What the model's own file asks for (penalties, a temperature) would make other answers of it.
    own = model.generation_config
    special = {"eos_token_id": sorted(ends) or None, "pad_token_id": padding}
    model.generation_config = GenerationConfig(do_sample=False, max_new_tokens=most, **special)
    asked = {"input_ids": ids.to(model.device), "attention_mask": mask.to(model.device)}
    try:
        with torch.inference_mode():
            whole = model.generate(**asked)
    finally:
        model.generation_config = own
    answers: list[list[int]] = whole[:, longest:].tolist()
    lengths = [next((n for n, id_ in enumerate(line, 1) if id_ in ends), most) for line in answers]
    return [line[:length] for line, length in zip(answers, lengths, strict=True)]
