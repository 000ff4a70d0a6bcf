"""Likelihoods from a Hugging Face causal language model, and what such a model is opened from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError, UsageError
from curate.models import resolve
from curate.models.protocols import TokenSequence
from curate.models.quiet import quiet
from curate.models.recipe import ModelRecipe, TorchOnce, choose_device, with_recipe
from curate.models.text_tokenizer import HFEncoder, load_tokenizer
from curate.models.weights import check_whole, hidden_width, load_weights, loading, max_positions
from curate.system import model_folder

if TYPE_CHECKING:
    from torch import Tensor

    from curate.models.likelihood_routes import Route, Selected

DTYPES = ("auto", "float32", "bfloat16")
# Part of every fingerprint: a changed way of computing never continues an older journal.
_COMPUTATION = "10"
_UNLIMITED = 1 << 20  # relative or no positions: as long as memory lasts
# Small batches stay in a core's cache; on a GPU launches cost more than padding.
_BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}


def load_causal_lm(
    name: str, dtype: str = "auto", trust_remote_code: bool = False, device: str = "auto"
) -> CausalLM:
    """Return the model, or the adapter added to its base; prepare() loads the weights.

    dtype `auto` is bfloat16 where the CPU or GPU computes in it, else float32.
    """
    model = CausalLM(open_lm(name, dtype, trust_remote_code, device, computation=_COMPUTATION))
    return with_recipe(model, "causal_lm", name, trust_remote_code=trust_remote_code)


def check_dtype(dtype: str) -> None:
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}.")


@dataclass(frozen=True)
class OpenedLM:
    """A causal language model whose files are found to be whole, its weights not loaded."""

    name: str
    files: resolve.ModelFiles  # the adapter's, if it is one
    load: Callable[[], Any]  # gives transformers' model, on the device
    tokenizer: Any
    fingerprint: str
    dtype: str
    device: str
    max_positions: int
    config: Mapping[str, Any]  # config.json
    computed_by: str = ""  # a fingerprint of that and of the libraries; '' for no files


def open_lm(
    name: str,
    dtype: str,
    trusted: bool = False,
    device: str = "auto",
    *,
    computation: str = "",
    exact: bool = False,
) -> OpenedLM:
    """Return a model, or an adapter on its base; if it is to be exact, float32 on every CPU."""
    check_dtype(dtype)
    files = resolve.files_of(name, trusted)
    model_folder.refuse_reward_model(files.folder)
    adapter = files if model_folder.is_adapter(files.folder) else None
    base = resolve.base_of(files, trusted) if adapter else files
    for part in (base, files):
        check_whole(part)
    config = model_folder.read_json(base.folder / model_folder.CONFIG, f"model '{base.name}'")
    with quiet():
        # A trained model's own tokenizer has the chat template that it was trained with.
        own = (files.folder / model_folder.TOKENIZER_CONFIG).is_file()
        tokenizer = load_tokenizer(files if own else base, trusted)
        device = choose_device(device)
        if dtype == "auto":
            dtype = "bfloat16" if not (device == "cpu" and exact) and _fast(device) else "float32"
        longest = _longest(config, base, trusted)
    learned = [resolve.adapter_fingerprint(adapter.folder)] if adapter else []
    weights = resolve.signed(resolve.fingerprint(base.folder), *learned, dtype, device, computation)
    return OpenedLM(
        name=files.name,
        files=files,
        load=partial(load_weights, base, dtype, device, trusted, adapter),
        tokenizer=tokenizer,
        fingerprint=weights,
        computed_by=f"{weights} torch {version('torch')} transformers {version('transformers')}",
        dtype=dtype,
        device=device,
        max_positions=longest,
        config=config,
    )


def _longest(config: Mapping[str, Any], base: resolve.ModelFiles, trusted: bool) -> int:
    from transformers import AutoConfig  # whose object takes seconds of imports to make
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if config.get("model_type") in CONFIG_MAPPING_NAMES and (longest := max_positions(config)):
        return longest
    with loading(f"model '{base.name}'", base.folder):
        whole = AutoConfig.from_pretrained(base.folder, trust_remote_code=trusted)
        return max_positions(whole.to_dict()) or _UNLIMITED


def _fast(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Without these instructions bfloat16 on a CPU is emulated, and slower than float32.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class CausalLM:
    """A causal language model that gives the likelihood of tokens, and its hidden states.

    On a CPU, batches are computed side by side, each on one core: between the products there is
    nothing that two cores could share without waiting for each other.
    """

    recipe: ModelRecipe
    threads = 1

    def __init__(self, opened: OpenedLM) -> None:
        self.name, self.files, self.fingerprint = opened.name, opened.files, opened.fingerprint
        self.dtype, self.device = opened.dtype, opened.device
        self.encoder = HFEncoder(opened.tokenizer, opened.name)
        self.max_positions, self._config = opened.max_positions, opened.config
        load = partial(_load_route, opened.load, opened.name, opened.computed_by)
        self._route = TorchOnce(load, self.device)
        self.batch_tokens, self.workers = _BATCH_TOKENS[self.device], self._route.workers
        self.prepare, self.worker = self._route.get, self._route.worker

    @property
    def route(self) -> str | None:
        """How likelihoods are computed (`selected` or `whole`); None before prepare()."""
        return self._route.ready.name if self._route else None

    @property
    def width(self) -> int:
        """Numbers of a hidden state."""
        return hidden_width(self._config, self.name)

    def span_nll(self, batch: Sequence[TokenSequence]) -> list[list[float]]:
        """Return, for each sequence, the summed negative log-likelihood of each span in nats."""
        import torch

        ids, places = self._laid_out(batch)
        if not len(places):
            return [[] for _ in batch]
        with torch.inference_mode():
            nll = self._route.ready.nll(ids, places - 1, ids.view(-1)[places]).double().cpu()
        sizes = [end - start for sequence in batch for start, end in sequence.spans]
        sums = (float(part.sum()) for part in nll.split(sizes))
        return [[next(sums) for _ in sequence.spans] for sequence in batch]

    def span_states(self, batch: Sequence[TokenSequence]) -> list[tuple[Tensor, Tensor]]:
        """Return, for each sequence, the final hidden states and the NLL of its spans' tokens."""
        import torch

        ids, places = self._laid_out(batch)
        with torch.inference_mode():
            states, nll = self._selected.states(ids, places - 1, ids.view(-1)[places])
            picked = states[places.to(states.device)].float().cpu()
        sizes = [sum(end - start for start, end in sequence.spans) for sequence in batch]
        return list(zip(picked.split(sizes), nll.float().cpu().split(sizes), strict=True))

    def states(self, batch: Sequence[TokenSequence]) -> list[Tensor]:
        """Return, for each sequence, the final hidden states of its tokens, (tokens, width)."""
        import torch

        ids, _ = self._laid_out(batch)
        with torch.inference_mode():
            states = self._selected.hidden(ids).float().cpu().view(*ids.shape, -1)
        return [line[: len(each.ids)] for line, each in zip(states, batch, strict=True)]

    @property
    def _selected(self) -> Selected:
        if self._route.ready.selected is None:
            raise ModelError(
                f"model '{self.name}' gives likelihoods only, not the hidden states that are asked "
                "for; give another one"
            )
        return self._route.ready.selected

    def next_nll(self, batch: Sequence[TokenSequence], tokens: Sequence[int]) -> list[list[float]]:
        """Return, for each sequence, the NLL of each token as the next one, in nats.

        All of the vocabulary counts: no token is missing because others are likelier.
        """
        import torch

        ends = [TokenSequence(s.ids, ((len(s.ids) - 1, len(s.ids)),)) for s in batch]
        ids, places = self._laid_out(ends)
        with torch.inference_mode():
            targets = torch.tensor(list(tokens), dtype=torch.long).repeat(len(batch))
            places = places.repeat_interleave(len(tokens))
            nll = self._route.ready.nll(ids, places, targets).double().cpu()
        by_token: list[list[float]] = nll.view(len(batch), len(tokens)).tolist()
        return by_token

    def _laid_out(self, batch: Sequence[TokenSequence]) -> tuple[Tensor, Tensor]:
        import torch

        longest = max((len(sequence.ids) for sequence in batch), default=0)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        places: list[int] = []
        for line, sequence in enumerate(batch):
            ids[line, : len(sequence.ids)] = torch.tensor(sequence.ids)
            for start, end in sequence.spans:
                places.extend(range(line * longest + start, line * longest + end))
        vocabulary = self._route.ready.vocabulary
        if ids.numel() and (highest := int(ids.max())) >= vocabulary:
            raise ModelError(
                f"the tokenizer of {self.name} gives id {highest}, its weights end at "
                f"{vocabulary - 1}; they do not belong together."
            )
        return ids, torch.tensor(places, dtype=torch.long)


def _load_route(load: Callable[[], Any], name: str, computed_by: str) -> Route:
    import torch

    from curate.models.likelihood_routes import choose_route

    with torch.inference_mode():
        return choose_route(load(), name, computed_by)
