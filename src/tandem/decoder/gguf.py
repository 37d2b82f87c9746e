"""Reads a GGUF file, llama.cpp's format, into a `Decoder` and a tokenizer, and writes them as a Hugging Face folder.

Quantised tensors are multiplied out once, in float32, one at a time, so the peak is one model plus one tensor. Then
they are ordinary weights, with which training, adapters and other programs work. q and k of the llama architecture
need no re-ordering, since llama.cpp and our decoder both keep rotary pairs as neighbours.
What this does not do: compute with quantised weights, write GGUF, or read files in several parts.

The folder is written in float32 unless told otherwise: bit for bit the values that `transformers` computes with. A
quantised value is a 16-bit scale times a whole number, plus a minimum in some types: 15 to 24 significant bits, where
float16 has 11 and bfloat16 8. The embedded model takes 538 MB instead of 269 and loads as fast (0.4 s, 0.3 s); who
wants bfloat16 rounds on loading and gets what would have been stored. Rejected: keeping bfloat16. That rounding alone
moves logits by up to 0.3, and changes the greedy text of one prompt in five within 48 tokens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tandem.decoder import gguf_config, gguf_file, weights
from tandem.decoder.gguf_file import AGAIN, StoredTensor
from tandem.decoder.model import Decoder
from tandem.decoder.shape import Shape
from tandem.errors import UserError
from tandem.runs import atomic_folder, write_whole
from tandem.tokenizer import Tokenizer
from tandem.tokenizer import gguf as gguf_tokenizer


@dataclass(frozen=True)
class File:
    """A GGUF file whose head has been read; tensors stay on the disk until they are needed."""

    path: Path
    """Where it is."""
    metadata: Mapping[str, Any]
    """Every key and value."""
    tensors: Mapping[str, StoredTensor]
    """Every tensor by its GGUF name."""

    @property
    def types(self) -> Counter[str]:
        """How many tensors are stored in each type: `Q4_1`, `F32`, …"""
        return Counter(tensor.kind.name for tensor in self.tensors.values())

    @cached_property
    def shape(self) -> Shape:
        """The decoder's shape. Raises `UserError` naming the key or tensor that is missing or not supported."""
        sizes = {name: tensor.size for name, tensor in self.tensors.items()}
        factors = self._values(gguf_config.ROPE_FACTORS) if gguf_config.ROPE_FACTORS in self.tensors else None
        return gguf_config.shape_of(self.metadata, sizes, str(self.path), factors)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises `UserError` naming the key that is missing or not supported."""
        return gguf_tokenizer.build(self.metadata, rows=self.shape.vocabulary, where=str(self.path))

    @property
    def ends(self) -> list[int]:
        """Every id that ends an answer."""
        return gguf_tokenizer.ends(self.metadata)

    @torch.no_grad()
    def decoder(self, dtype: torch.dtype = torch.float32) -> Decoder:
        """The model with its weights. Raises `UserError` naming a tensor that is missing, left over or misshapen."""
        with torch.device("meta"):
            model = Decoder(self.shape).to(dtype)
        self._match({gguf_config.tensor_name(name): tuple(p.rows.shape) for name, p in weights.places(model)})
        neighbours = gguf_config.ARCHITECTURES[gguf_config.architecture(self.metadata, str(self.path))]
        model = model.to_empty(device="cpu")
        for name, place in weights.places(model):
            values = self._values(gguf_config.tensor_name(name))
            if neighbours:
                place.rows.copy_(values)
            else:
                place.fill(values)
        return model.eval()

    def _match(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        """Before memory is taken: every tensor of the model is there in its size, and no other."""
        where = str(self.path)
        for name, size in sizes.items():
            if name not in self.tensors:
                raise UserError(f"tensor {name} is missing", where=where, remedy="use a GGUF file of a whole model")
            if self.tensors[name].size != size:
                raise UserError(
                    f"tensor {name} is {_by(self.tensors[name].size)}, but the metadata make it {_by(size)}",
                    where=where,
                    remedy=AGAIN,
                )
        left = set(self.tensors) - set(sizes) - {gguf_config.ROPE_FACTORS}
        if left:
            raise UserError(
                f"tensor {min(left)} is not part of a model of this architecture",
                where=where,
                remedy="the architecture has variants that are not supported; use another model",
            )

    def _values(self, name: str) -> Tensor:
        """A tensor in float32. Raises `UserError` when its type cannot be read or it holds no numbers."""
        try:
            values = torch.from_numpy(self.tensors[name].values())
        except UserError as e:
            raise UserError(e.problem, where=str(self.path), remedy=e.remedy) from None
        if not bool(values.sum().isfinite()) and not bool(values.isfinite().all()):
            raise UserError(f"tensor {name} holds values that are not numbers", where=str(self.path), remedy=AGAIN)
        return values


def read(path: Path | str) -> File:
    """Open a GGUF file. Raises `UserError` when it is none, is cut short, in parts, or of another byte order."""
    path = Path(path)
    metadata, tensors = gguf_file.read(path)
    parts = metadata.get("split.count")
    if isinstance(parts, int) and parts > 1:
        raise UserError(
            f"is one of {parts} parts",
            where=f"{path}: split.count",
            remedy="join them first: llama-gguf-split --merge FIRST-PART OUT",
        )
    return File(path, metadata, tensors)


def convert(path: Path | str, folder: Path | str, dtype: torch.dtype = torch.float32) -> File:
    """Write a GGUF file's model and tokenizer as a Hugging Face folder, whole or not at all.

    Raises `UserError` when the file cannot be used or the folder exists already, `Failure` when the disk is full.
    """
    file = read(path)
    made, model = file.tokenizer(), file.decoder(dtype)
    with atomic_folder(Path(folder)) as work:
        write(model, made, file.ends, work)
    return file


def write(model: Decoder, made: Tokenizer, ends: list[int], folder: Path) -> None:
    """A folder with config.json, weights, tokenizer, chat template, and a generation_config.json that has all ends."""
    weights.save(model, folder)
    made.save(folder)
    place = folder / "generation_config.json"
    generation = json.loads(place.read_text(encoding="utf-8"))
    if ends:
        generation["eos_token_id"] = ends if len(ends) > 1 else ends[0]
    write_whole(place, json.dumps(generation, indent=2) + "\n")


def _by(size: tuple[int, ...]) -> str:
    return " × ".join(map(str, size))
