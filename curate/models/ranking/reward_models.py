"""From what stands behind --reward or --ranker to a model that scores responses.

Besides trained heads there are two kinds of transformers: sequence classification with one output,
as MoDS (arXiv 2311.15653) uses with `OpenAssistant/reward-model-deberta-v3-large-v2`, on prompt and
response in its chat template, else on both as a pair of texts, cut to what the model reads, the
longer one first (the program published with MoDS does not cut); and what LLaMA-Factory's stage rm
writes, a linear head over the last hidden state of the last token, beside an adapter or weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError
from curate.models import weights
from curate.models.packaged_models import DEFAULT_RANKER, PACKAGED
from curate.models.protocols import RewardModel
from curate.models.ranking.trained_head import CARD, load_ranker, read_card
from curate.models.recipe import ModelRecipe, TorchOnce, choose_device, with_recipe
from curate.models.resolve import ModelFiles, base_of, fingerprint, resolve, signed
from curate.models.text_tokenizer import load_tokenizer
from curate.system.files import at_home
from curate.system.model_folder import CONFIG, TOKENIZER_CONFIG, is_adapter, read_json

if TYPE_CHECKING:
    import torch

SHIPPED = Path(__file__).parent / DEFAULT_RANKER
VALUE_HEAD = "value_head.safetensors"
_WEIGHT, _BIAS = "v_head.summary.weight", "v_head.summary.bias"
_CLASSIFIER, _VALUE_HEAD = "classifier 1", "value head 1"  # ways of computing, in fingerprints
_MOST_TOKENS = 2048  # LLaMA-Factory's own default of cutoff_len
_BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}

Pairs = Sequence[tuple[str, str]]
Encoded = dict[str, list[int]]
Forward = Callable[["dict[str, torch.Tensor]"], "torch.Tensor"]


def load_reward(name: str = DEFAULT_RANKER, device: str = "auto") -> RewardModel:
    """Return the reward model of that name; its weights are loaded by prepare() and not before.

    A name is `pairs` (the bundled head), a folder that `curate ranker train` wrote, the output of
    LLaMA-Factory's stage rm, or a directory or hub id with a model for sequence classification
    with one output.
    """
    return with_recipe(_named(name, device), "reward", name)


def _named(name: str, device: str) -> RewardModel:
    if name == DEFAULT_RANKER:
        return load_ranker(SHIPPED, name, device)
    folder = at_home(name)
    if folder.is_dir():
        if is_adapter(folder) or (folder / VALUE_HEAD).is_file():
            return _load_value_head(ModelFiles(folder.resolve().name, folder), device)
        if (folder / CARD).is_file() or not (folder / CONFIG).is_file():
            return load_ranker(folder, folder.resolve().name, device)
    if name in PACKAGED:
        raise ModelError(
            f"'{name}' is a language model and gives no rewards; give {DEFAULT_RANKER}, or train a "
            "ranker: curate ranker train --pairs F --output DIR"
        )
    others = (
        "a folder that `curate ranker train` wrote, LLaMA-Factory's output of stage rm, a "
        "directory with a model for sequence classification"
    )
    files = resolve(name, what="ranker or reward model", known=[DEFAULT_RANKER], others=others)
    return _load_classifier(files, device)


def trained_on(name: str) -> set[str]:
    """Return the sha256 of each file that a head was trained on; nothing for other models."""
    folder = SHIPPED if name == DEFAULT_RANKER else at_home(name)
    if not (folder / CARD).is_file():
        return set()
    return {str(file["sha256"]) for file in read_card(folder).get("data", {}).values()}


class TransformerReward:
    """A transformer behind the RewardModel protocol, computed in float32.

    `encode` gives `input_ids` and what else it reads, `load` the function from these to a number a
    line, padded with `padding`; without it, lines of unlike length share no batch.
    """

    recipe: ModelRecipe
    threads = 1

    def __init__(
        self,
        name: str,
        encode: Callable[[Pairs], list[Encoded]],
        load: Callable[[], Forward],
        *,
        fingerprint: str,
        device: str,
        padding: int | None,
    ) -> None:
        self.name, self.fingerprint, self.device = name, fingerprint, device
        self._encode, self._padding = encode, padding
        self._forward = TorchOnce(load, device)
        self.batch_tokens, self.workers = _BATCH_TOKENS[device], self._forward.workers
        self.prepare, self.worker = self._forward.get, self._forward.worker

    def lengths(self, pairs: Pairs) -> list[int]:
        return [max(1, len(line["input_ids"])) for line in self._encode(pairs)]

    def score(self, pairs: Pairs) -> list[float]:
        lines = self._encode(pairs)
        batches = [[line] for line in lines] if self._padding is None else [lines] if lines else []
        return [number for batch in batches for number in self._numbers(batch)]

    def _numbers(self, lines: list[Encoded]) -> list[float]:
        import torch

        longest = max(len(line["input_ids"]) for line in lines)
        lines = [{**line, "attention_mask": [1] * len(line["input_ids"])} for line in lines]
        fills = {"input_ids": self._padding or 0}
        inputs = {
            key: torch.tensor(
                [line[key] + [fills.get(key, 0)] * (longest - len(line[key])) for line in lines],
                device=self.device,
            )
            for key in lines[0]
        }
        with torch.inference_mode():
            numbers: list[float] = self._forward.ready(inputs).double().cpu().tolist()
        return numbers


def _encode_chat(tokenizer: Any, longest: int, pairs: Pairs) -> list[Encoded]:
    lines: list[Encoded] = []
    for prompt, response in pairs:
        asked = [{"role": "user", "content": prompt}]
        lead = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        answered = [*asked, {"role": "assistant", "content": response}]
        whole = tokenizer.apply_chat_template(answered, tokenize=False)
        parts = [lead, whole[len(lead) :]] if whole.startswith(lead) else ["", whole]
        ids = tokenizer(parts, add_special_tokens=False, verbose=False)["input_ids"]
        lines.append({"input_ids": fitted(ids[0], ids[1], longest)})
    return lines


def fitted(lead: list[int], rest: list[int], longest: int) -> list[int]:
    """Return both parts in at most so many tokens; the response keeps at least half of them.

    As in LLaMA-Factory, each is cut at its end; the response's last token stays.
    """
    room = max(longest - len(lead), longest // 2)
    if len(rest) > room:
        rest = [*rest[: room - 1], rest[-1]]
    return lead[: longest - len(rest)] + rest


def _encode_texts(tokenizer: Any, longest: int, pairs: Pairs) -> list[Encoded]:
    sides = [prompt for prompt, _ in pairs], [response for _, response in pairs]
    cut = {"truncation": "longest_first", "max_length": longest}
    columns = tokenizer(*sides, **cut, return_attention_mask=False, verbose=False)
    return [{key: columns[key][line] for key in columns} for line in range(len(pairs))]


def _load_classifier(files: ModelFiles, device: str) -> TransformerReward:
    weights.check_whole(files)
    with weights.loading(f"model '{files.name}'", files.folder):
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(files.folder)
    architecture = ", ".join(config.architectures or ()) or "an unknown architecture"
    if "ForSequenceClassification" not in architecture:
        raise ModelError(
            f"model '{files.name}' is {architecture}, not a reward model. Allowed are models for "
            "sequence classification with one output, a LLaMA-Factory adapter of stage rm, or a "
            "folder that `curate ranker train` wrote"
        )
    if config.num_labels != 1:
        raise ModelError(
            f"model '{files.name}' tells {config.num_labels} classes apart; a reward model has one "
            "output. Give another model"
        )
    device, tokenizer = choose_device(device), load_tokenizer(files)
    longest = min(weights.max_positions(config.to_dict()) or _MOST_TOKENS, _MOST_TOKENS)
    encode = _encode_chat if getattr(tokenizer, "chat_template", None) else _encode_texts
    return TransformerReward(
        files.name,
        partial(encode, tokenizer, longest),
        partial(_classifier_forward, files, device),
        fingerprint=signed(fingerprint(files.folder), device, _CLASSIFIER),
        device=device,
        # A causal classifier reads its score before the first padding, which it knows by this id.
        padding=config.pad_token_id,
    )


def _classifier_forward(files: ModelFiles, device: str) -> Forward:
    kind, called = "AutoModelForSequenceClassification", f"model '{files.name}'"
    model = weights.load_pretrained(kind, files, device, called, "reward model")
    return lambda inputs: model(**inputs).logits[:, 0]


def _load_value_head(files: ModelFiles, device: str) -> TransformerReward:
    if not (files.folder / VALUE_HEAD).is_file():
        raise ModelError(
            f"'{files.name}' holds no {VALUE_HEAD}, so it is no reward model: it was not trained "
            "with --stage rm, or its head was saved as .bin, which is not loaded since it can run "
            "code"
        )
    base = base_of(files) if is_adapter(files.folder) else resolve(str(files.folder))
    weights.check_whole(files)
    has_own = (files.folder / TOKENIZER_CONFIG).is_file()
    device, tokenizer = choose_device(device), load_tokenizer(files if has_own else base)
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(
            f"'{files.name}': its tokenizer has no chat template, so how prompt and response were "
            "put together in training is not known; copy the template to tokenizer_config.json"
        )
    config = read_json(base.folder / CONFIG, f"model '{base.name}'")
    longest = min(weights.max_positions(config) or _MOST_TOKENS, _MOST_TOKENS)
    marks = fingerprint(files.folder), fingerprint(base.folder)
    return TransformerReward(
        files.name,
        partial(_encode_chat, tokenizer, longest),
        partial(_value_forward, files, base, device),
        fingerprint=signed(*marks, device, _VALUE_HEAD),
        device=device,
        padding=0,  # causality alone keeps it out
    )


def _value_forward(files: ModelFiles, base: ModelFiles, device: str) -> Forward:
    with weights.loading(f"model '{files.name}'", files.folder):
        from safetensors.torch import load_file

        head = load_file(files.folder / VALUE_HEAD, device=device)
    weights.refuse_missing(
        f"'{files.name}': {VALUE_HEAD} is not whole", {_WEIGHT, _BIAS} - head.keys()
    )
    weight, bias = head[_WEIGHT].float(), head[_BIAS].float()
    adapter = files if is_adapter(files.folder) else None
    model = weights.load_weights(base, "float32", device, adapter=adapter)
    width = model.get_input_embeddings().weight.shape[1]
    if weight.shape != (1, width):
        raise ModelError(
            f"'{files.name}': the value head is made for {weight.shape[-1]} numbers a token, its "
            f"base gives {width}; they do not belong together."
        )

    def forward(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        states = model.base_model(**inputs, use_cache=False).last_hidden_state
        last = inputs["attention_mask"].sum(1) - 1
        read: torch.Tensor = states[range(len(states)), last]
        return (read.float() @ weight.T + bias)[:, 0]

    return forward
