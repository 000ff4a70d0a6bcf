"""An engine's first answer: it is let loose if it answers as transformers itself does.

An engine that says it is healthy can compute nonsense. What transformers answers is computed in a
process whose memory is free afterwards: python -m deploy.serving.first_answer TASK ANSWERS
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from curate.errors import ModelError
from curate.system import programs
from curate.system.cache import cache_dir
from curate.system.failure import explain_server
from curate.system.files import write_text
from deploy.engines.contract import Engine, Served
from deploy.gate.accepted_requests import Room

QUESTION = "What is the capital of France?"
_TOKENS = 24
_SECONDS = 300.0  # for an answer of the engine
_SHARE = 0.5  # of the answer that has to agree where half precision rounds


async def expected(
    served: Served, names: Sequence[str], scratch: Path, say: Callable[[str], None]
) -> dict[str, str]:
    """Return transformers' own greedy answers, computed once for given weights."""
    from curate.models.resolve import adapter_fingerprint, fingerprint

    folders = {served.name: served.folder, **{a.name: a.folder for a in served.adapters}}
    folders = {name: folders[name] for name in names}
    adapters = [(adapter.name, adapter_fingerprint(adapter.folder)) for adapter in served.adapters]
    versions = [importlib.metadata.version(name) for name in ("torch", "transformers")]
    asked = [QUESTION, _TOKENS, served.dtype, served.gpu, sorted(folders)]
    parts = ["first answer 1", fingerprint(served.folder), adapters, asked, versions]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    kept = cache_dir() / "answers" / f"{digest[:32]}.json"
    if not kept.is_file():
        say("asking transformers itself, to compare the engine with (once for this model) …")
        task, answers = scratch / "task.json", scratch / "answers.json"
        dtype = served.dtype if served.dtype == "bfloat16" else "float32"
        job = {"dtype": dtype, "folders": {name: str(folder) for name, folder in folders.items()}}
        task.write_text(json.dumps(job), encoding="utf-8")
        command = [sys.executable, "-m", "deploy.serving.first_answer", str(task), str(answers)]
        child = programs.start(command, scratch / "first_answer.log")
        try:
            while (code := child.code()) is None:
                await asyncio.sleep(0.1)
        finally:
            await asyncio.to_thread(child.stop, 5.0)
        if code or not answers.is_file():
            why = explain_server(child.log, code)
            raise ModelError(f"transformers cannot answer with {served.name}: {why}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, answers.read_text(encoding="utf-8"), shared=True)
    answer_of: dict[str, str] = json.loads(kept.read_text(encoding="utf-8"))
    return answer_of


def main(task: Path, answers: Path) -> None:
    """Answer the question with several models; of GPTQ in its own environment."""
    from curate.models.generate import load_generator
    from deploy.quantizing import gptq

    job = json.loads(task.read_text(encoding="utf-8"))
    asked, answer_of = [{"role": "user", "content": QUESTION}], {}
    for name, folder in job["folders"].items():
        if gptq.is_quantised(Path(folder)):
            answer_of[name] = gptq.answer(Path(folder), QUESTION, _TOKENS, task.parent)
        else:
            answer_of[name] = load_generator(folder, job["dtype"]).replies([asked], _TOKENS)[0].text
    answers.write_text(json.dumps(answer_of), encoding="utf-8")


def agree(wanted: str, got: str, dtype: str) -> bool:
    # In half precision a close race between two words may end otherwise in the second half of an
    # answer. LLaMA-Factory tidies white space: it does not count.
    first, second = "".join(wanted.split()), "".join(got.split())
    same = len(os.path.commonprefix([first, second]))
    return first == second or (
        dtype != "float32" and bool(same) and same >= _SHARE * max(len(first), len(second))
    )


@dataclass(frozen=True)
class Probe:
    """An engine that is asked before anybody else may ask it."""

    engine: Engine
    served: Served
    session: aiohttp.ClientSession

    async def check(self, wanted: Mapping[str, str]) -> None:
        for name, answer in wanted.items():
            body = await self._ask(name, ["user"], _TOKENS)
            try:
                got = str(json.loads(body)["choices"][0]["message"]["content"] or "")
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise self._wrong(f"it says {body[:200]}") from error
            if not agree(answer, got, self.served.dtype):
                both = f"transformers itself says '{answer}', the engine says '{got}'"
                raise self._wrong(f"'{QUESTION}' is answered otherwise by {name}: {both}")

    async def measure(self, names: Sequence[str], count: Callable[[str], int]) -> Room:
        """Return how many tokens the chat template writes around texts, by the engine's count."""
        text, rooms = count(QUESTION), []
        for name in names:
            around: list[int] = []
            for roles in (["user"], ["system", "user"], ["user", "assistant", "user"]):
                try:
                    usage = json.loads(await self._ask(name, roles, 1))["usage"]
                    around.append(int(usage["prompt_tokens"]) - len(roles) * text)
                except (ValueError, KeyError, TypeError):  # a template that knows no system
                    around.append(around[0] if around else Room.question)
            rooms.append((around[0], around[1] - around[0], around[2] - around[0]))
        question, system, pair = map(max, zip(*rooms, strict=True))
        return Room(question=question, system=system, pair=pair)

    async def _ask(self, name: str, roles: Sequence[str], tokens: int) -> str:
        messages = [{"role": role, "content": QUESTION} for role in roles]
        fields = {"model": name, "messages": messages, "max_tokens": tokens, "temperature": 0}
        body = self.engine.translate(self.served, fields)
        limit = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            path = "/v1/chat/completions"
            async with self.session.post(path, json=body, timeout=limit) as answer:
                return await answer.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._wrong(f"it does not answer ({error or 'in time'})") from error

    def _wrong(self, what: str) -> ModelError:
        name, other = self.engine.name, "hf" if self.engine.name == "vllm" else "vllm"
        return ModelError(f"engine {name} is not let loose: {what}. Try --engine {other}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
