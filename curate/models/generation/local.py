"""Answers of a model whose weights lie on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from curate.errors import ModelError
from curate.models.encoder import HFEncoder
from curate.models.generation.prompt import ends, first_token, render
from curate.models.protocols import CUT, STOPPED, TOO_LONG, Message, Reply


class LocalGenerator:
    """A causal language model behind the Generator protocol.

    Args:
        load: Gives the transformers model in evaluation mode; called by prepare().
        tokenizer: The model's.
        name: What the user called it.
        fingerprint: Of all that decides the answers.
        dtype: Name of the dtype it computes in.
        max_positions: Longest sequence in tokens, prompt and answer together.
        batch_tokens: Padded tokens that one batch may hold.
    """

    workers = 1  # the products of one step take all cores

    def __init__(
        self,
        load: Callable[[], Any],
        tokenizer: Any,
        *,
        name: str,
        fingerprint: str,
        dtype: str,
        max_positions: int,
        batch_tokens: int,
    ) -> None:
        self.name, self.fingerprint, self.dtype = name, fingerprint, dtype
        self.max_positions, self.batch_tokens = max_positions, batch_tokens
        self.tokenizer = tokenizer
        self.encoder = HFEncoder(tokenizer, name)
        self._load, self._model = load, None
        self._lock = threading.Lock()
        self._ends: frozenset[int] = frozenset()

    def prepare(self) -> None:
        """Load the weights; once, whoever calls and how often.

        Raises:
            ModelError: They are corrupt, too large, or their tokenizer declares no end.
        """
        with self._lock:
            if self._model is None:
                model = self._load()
                configs = (model.config, model.generation_config)
                self._ends = ends(self.tokenizer, self.encoder, *configs)
                self._model = model

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
        answers = greedy(self._model, prompts, most, self._ends, padding)
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
        texts = [render(self.encoder, each) for each in conversations]
        return [
            first_token(self.tokenizer, self.encoder, text) + ids
            for text, ids in zip(texts, self.encoder.encode(texts), strict=True)
        ]


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
