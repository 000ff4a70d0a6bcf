"""Models that answer: from what stands behind --responder to the most likely texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from curate.errors import ModelError, UsageError
from curate.models.architecture import max_positions
from curate.models.computing import LoadedOnce
from curate.models.load_causal_lm import DTYPES, load_merged, open_source
from curate.models.openai_server import is_address, load_server
from curate.models.protocols import CUT, STOPPED, TOO_LONG, Generator, Message, Reply
from curate.models.recipe import ModelRecipe, whole_path
from curate.models.resolve import ModelFiles
from curate.models.text_tokenizer import HFEncoder, ends, prompt_ids

# Part of every fingerprint: a changed way of answering never continues an older journal.
_COMPUTATION = "answers 2"
_UNLIMITED = 1 << 20
_CPU_BATCH_TOKENS = 16384
_GPU_BATCH_TOKENS = 131072
_CACHE_BYTES = 1 << 30  # of keys and values that one batch may hold on a CPU
_GPU_CACHE_SHARE = 0.25  # of the card's memory
_BYTES = {"float32": 4, "bfloat16": 2}


def load_generator(
    name: str,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    concurrency: int = 8,
    device: str = "auto",
    batch_tokens: int | None = None,
) -> Generator:
    """Return the model of that name; its weights are loaded when it is first asked.

    Args:
        name: As resolve() has it (`smollm2`, a directory, a hub id), an adapter's directory, or
            `http(s)://HOST:PORT/v1#MODEL`, a server with OpenAI's interface (`#MODEL` may be left
            out where it serves only one).
        dtype: `auto` is float32 on a CPU, where answers then do not depend on what else is in
            the batch, and bfloat16 on a GPU that has it.
        trust_remote_code: Run Python files that come with the model.
        concurrency: Requests that a server is sent at once.
        device: `cpu` or `cuda`; `auto` is what this machine has.
        batch_tokens: Padded tokens that one batch may hold; None for what the device has room for.

    Raises:
        ModelError: Unknown, incomplete, not to be had, or a server that does not answer.
        UsageError: dtype is none of DTYPES.

    Example:
        >>> load_generator("smollm2").answer([[{"role": "user", "content": "Hello!"}]], 20)
        ['Hello! How can I help you today?']
    """
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}.")
    if is_address(name):
        return load_server(name, concurrency)
    source = open_source(name, trust_remote_code, device)
    chosen = _dtype(source.device) if dtype == "auto" else dtype
    config = _config(source.base)
    model = LocalGenerator(
        partial(load_merged, source.base, source.adapter, chosen, source.device, trust_remote_code),
        source.tokenizer,
        name=source.name,
        fingerprint=source.fingerprint(chosen, _COMPUTATION),
        dtype=chosen,
        device=source.device,
        max_positions=max_positions(config) or _UNLIMITED,
        batch_tokens=batch_tokens or _batch_tokens(config, chosen, source.device),
    )
    model.recipe = ModelRecipe(
        kind="generator",
        name=whole_path(name),
        dtype=chosen,
        device=source.device,
        trust_remote_code=trust_remote_code,
        batch_tokens=model.batch_tokens,
        fingerprint=model.fingerprint,
    )
    return model


def _dtype(device: str) -> str:
    import torch

    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "float32"


def _config(files: ModelFiles) -> dict[str, Any]:
    try:
        told = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
        return dict(told)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"model '{files.name}': config.json cannot be read; copy it again."
        ) from error


def _batch_tokens(config: dict[str, Any], dtype: str, device: str) -> int:
    """Return how many tokens a batch may hold: as many as its keys and values have room for.

    It hangs on the machine, not on what is free just now: a run that is continued has to make
    the same batches.
    """
    import torch

    most, room = _CPU_BATCH_TOKENS, float(_CACHE_BYTES)
    if device == "cuda":
        most = _GPU_BATCH_TOKENS
        room = _GPU_CACHE_SHARE * torch.cuda.get_device_properties(0).total_memory
    return max(1, min(most, int(room / cache_bytes(config, dtype))))


def cache_bytes(config: dict[str, Any], dtype: str) -> int:
    """Return the bytes of keys and values that a token takes, all layers together.

    Args:
        config: What config.json says; of models that also see or hear, the text's part.
        dtype: That the model computes in.

    Example:
        >>> cache_bytes({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64},
        ...             "float32")
        1024
    """
    config = config.get("text_config") or config

    def number(*names: str) -> int:
        return next((int(config[each]) for each in names if config.get(each)), 0)

    layers = number("num_hidden_layers", "n_layer", "num_layers")
    heads = number("num_attention_heads", "n_head", "num_heads")
    wide = number("hidden_size", "n_embd", "d_model")
    width = number("head_dim") or (wide // heads if heads else wide)
    groups = number("num_key_value_heads") or heads or 1
    return max(1, 2 * layers * groups * width * _BYTES[dtype])


class LocalGenerator:
    """A causal language model behind the Generator protocol.

    Args:
        load: Gives the transformers model in evaluation mode; called by prepare().
        tokenizer: The model's.
        name: What the user called it.
        fingerprint: Of all that decides the answers.
        dtype: Name of the dtype it computes in.
        device: `cpu` or `cuda`, where load() puts it.
        max_positions: Longest sequence in tokens, prompt and answer together.
        batch_tokens: Padded tokens that one batch may hold.
    """

    recipe: ModelRecipe
    workers = 1  # the products of one step take all cores

    def __init__(
        self,
        load: Callable[[], Any],
        tokenizer: Any,
        *,
        name: str,
        fingerprint: str,
        dtype: str,
        device: str,
        max_positions: int,
        batch_tokens: int,
    ) -> None:
        import torch

        self.name, self.fingerprint, self.dtype = name, fingerprint, dtype
        self.device, self.threads = device, torch.get_num_threads() if device == "cpu" else 1
        self.max_positions, self.batch_tokens = max_positions, batch_tokens
        self.tokenizer = tokenizer
        self.encoder = HFEncoder(tokenizer, name)
        self._model = LoadedOnce(load)
        self._ends: frozenset[int] = frozenset()

    def prepare(self) -> None:
        """Load the weights; once, whoever calls and how often.

        Raises:
            ModelError: They are corrupt, too large, or their tokenizer declares no end.
        """
        model = self._model.get()
        if not self._ends:
            configs = (model.config, model.generation_config)
            self._ends = ends(self.encoder, *configs)

    def lengths(self, conversations: Sequence[Sequence[Message]]) -> list[int]:
        """Return the tokens of each prompt.

        Args:
            conversations: Messages each, the last one not the assistant's.
        """
        return [len(each) for each in self._ids(conversations)]

    def answer(self, conversations: Sequence[Sequence[Message]], max_new_tokens: int) -> list[str]:
        """Return the model's most likely answer to each conversation.

        Args:
            conversations: {"role", "content"} each, the last one not the assistant's.
            max_new_tokens: Where an answer is cut off.

        Raises:
            ModelError: Prompt and answer do not fit into the model; says which and by how much.

        Example:
            >>> model = load_generator("smollm2")
            >>> model.answer([[{"role": "user", "content": "What is 1 + 1?"}]], 16)
            ['1 + 1 = 2']
        """
        lengths = self.lengths(conversations)
        room = self.max_positions - max_new_tokens
        for number, length in enumerate(lengths, 1):
            if length > room:
                raise ModelError(
                    f"prompt {number} of {len(lengths)} has {length:,} tokens; '{self.name}' takes "
                    f"{self.max_positions:,} with an answer of {max_new_tokens:,}: give a shorter "
                    "prompt, or a model that takes more"
                )
        return [each.text for each in self.replies(conversations, max_new_tokens)]

    def replies(
        self, conversations: Sequence[Sequence[Message]], max_new_tokens: int
    ) -> list[Reply]:
        """Return a reply to each conversation; those that do not fit say so.

        Args:
            conversations: {"role", "content"} each, the last one not the assistant's.
            max_new_tokens: Where an answer is cut off.
        """
        self.prepare()
        prompts = self._ids(conversations)
        found = [Reply("", TOO_LONG)] * len(prompts)
        room = self.max_positions - max_new_tokens
        fit = [at for at, ids in enumerate(prompts) if len(ids) <= room]
        fit.sort(key=lambda at: -len(prompts[at]))  # what does not fit into memory fails at once
        while fit:
            rows = max(1, self.batch_tokens // (len(prompts[fit[0]]) + max_new_tokens))
            batch, fit = fit[:rows], fit[rows:]
            for at, reply in zip(
                batch, self._batch([prompts[at] for at in batch], max_new_tokens), strict=True
            ):
                found[at] = reply
        return found

    def worker(self) -> AbstractContextManager[Any]:
        """Return a context in which one worker thread calls replies()."""
        return nullcontext()

    def _batch(self, prompts: list[list[int]], most: int) -> list[Reply]:
        padding = self.tokenizer.pad_token_id
        padding = 0 if padding is None else int(padding)
        answers = greedy(self._model.ready, prompts, most, self._ends, padding)
        return [self._reply(ids) for ids in answers]

    def _reply(self, ids: list[int]) -> Reply:
        ended = bool(ids) and ids[-1] in self._ends
        text: str = self.tokenizer.decode(
            ids[:-1] if ended else ids,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        if ended:
            return Reply(text.strip(), STOPPED)
        return Reply(text.rstrip("\N{REPLACEMENT CHARACTER}").strip(), CUT)  # half a character

    def _ids(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        return prompt_ids(self.encoder, conversations)


def greedy(
    model: Any, prompts: Sequence[Sequence[int]], most: int, ends: frozenset[int], padding: int
) -> list[list[int]]:
    """Return the ids that the model continues each prompt with, up to the first end.

    Args:
        model: A transformers causal language model in evaluation mode.
        prompts: Token ids, at least one each.
        most: Tokens of the longest answer, at least 1.
        ends: Ids that end an answer; the end itself is returned as the last id.
        padding: Id to pad with, on the left.
    """
    if not prompts:
        return []
    import torch
    from transformers import GenerationConfig

    longest = max(map(len, prompts))
    ids = torch.tensor([[padding] * (longest - len(each)) + list(each) for each in prompts])
    mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in prompts])
    # What the model's own file asks for (penalties, a temperature) would make other answers of it.
    own = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=most,
        eos_token_id=sorted(ends) or None,
        pad_token_id=padding,
    )
    try:
        with torch.inference_mode():
            whole = model.generate(
                input_ids=ids.to(model.device), attention_mask=mask.to(model.device)
            )
    finally:
        model.generation_config = own
    answers: list[list[int]] = whole[:, longest:].tolist()
    lengths = [next((n for n, id_ in enumerate(each, 1) if id_ in ends), most) for each in answers]
    return [each[:length] for each, length in zip(answers, lengths, strict=True)]
