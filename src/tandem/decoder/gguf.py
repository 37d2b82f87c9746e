"""Reads a GGUF file, llama.cpp's format, into a `Decoder` and a tokenizer, and writes them as a Hugging Face folder.

Quantised tensors are multiplied out once, in float32, one at a time, so the peak is one model plus one tensor. Then
they are ordinary weights, with which training, adapters and other programs work. q and k of the llama architecture
need no re-ordering, since llama.cpp and our decoder both keep rotary pairs as neighbours.
What this does not do: compute with quantised weights, write GGUF, or read files in several parts.

The folder is written in float32 unless told otherwise. A 4-bit value is scale × q + minimum with 16-bit scale and
minimum, and an 8-bit one scale × q: 15 to 24 significant bits, which float32 holds exactly, float16 (11) and bfloat16
(8) do not. FIGURES
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import quants
from torch import Tensor

from tandem.decoder import gguf_config, weights
from tandem.decoder.model import Decoder
from tandem.decoder.shape import Shape
from tandem.errors import UserError
from tandem.runs import atomic_folder, write_whole
from tandem.tokenizer import Tokenizer
from tandem.tokenizer import gguf as gguf_tokenizer

VERSION = 1
"""Raised whenever the folder written from the same file would differ."""

_AGAIN = "copy or download it again"


@dataclass(frozen=True)
class File:
    """A GGUF file whose table of contents has been read; tensors stay on the disk until they are needed."""

    path: Path
    """Where it is."""
    metadata: Mapping[str, Any]
    """Every key and value."""
    tensors: Mapping[str, Any]
    """`gguf.gguf_reader.ReaderTensor` by name."""

    @property
    def types(self) -> Counter[str]:
        """How many tensors are stored in each type: `Q4_1`, `F32`, …"""
        return Counter(tensor.tensor_type.name for tensor in self.tensors.values())

    @cached_property
    def shape(self) -> Shape:
        """The decoder's shape. Raises `UserError` naming the key or tensor that is missing or not supported."""
        factors = self._values(gguf_config.ROPE_FACTORS) if gguf_config.ROPE_FACTORS in self.tensors else None
        return gguf_config.shape_of(self.metadata, self._sizes, str(self.path), factors)

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
            if self._sizes[name] != size:
                raise UserError(
                    f"tensor {name} is {_by(self._sizes[name])}, but the metadata make it {_by(size)}",
                    where=where,
                    remedy=_AGAIN,
                )
        left = set(self.tensors) - set(sizes) - {gguf_config.ROPE_FACTORS}
        if left:
            raise UserError(
                f"tensor {min(left)} is not part of a model of this architecture",
                where=where,
                remedy="the architecture has variants that are not supported; use another model",
            )

    @cached_property
    def _sizes(self) -> dict[str, tuple[int, ...]]:
        """Rows first, as torch has them."""
        return {name: tuple(reversed(tensor.shape.tolist())) for name, tensor in self.tensors.items()}

    def _values(self, name: str) -> Tensor:
        """A tensor in float32, multiplied out if it is quantised."""
        tensor = self.tensors[name]
        try:
            values = torch.from_numpy(np.array(quants.dequantize(tensor.data, tensor.tensor_type), np.float32))
        except (NotImplementedError, ValueError) as e:
            raise UserError(
                f"tensor {name} is of type {tensor.tensor_type.name}, which cannot be read ({e})",
                where=str(self.path),
                remedy="use a file in another quantisation: Q8_0, Q6_K, Q5_K, Q4_K, Q4_0, F16, …",
            ) from None
        if not bool(values.isfinite().all()):
            raise UserError(f"tensor {name} holds values that are not numbers", where=str(self.path), remedy=_AGAIN)
        return values


def read(path: Path | str) -> File:
    """Open a GGUF file. Raises `UserError` when it is none, is cut short, in parts, or of another byte order."""
    path = Path(path)
    try:
        with path.open("rb") as f:
            begins = f.read(4)
    except FileNotFoundError:
        raise UserError("there is no such file", where=str(path), remedy="give the path of a GGUF file") from None
    except OSError as e:
        raise UserError(f"cannot be read ({e.strerror})", where=str(path), remedy="give a GGUF file") from None
    if begins != b"GGUF":
        raise UserError(
            "is not a GGUF file (it does not begin with these four letters)", where=str(path), remedy=_AGAIN
        )
    try:
        reader = gguf.GGUFReader(path)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as e:
        raise UserError(f"is cut short or damaged ({e})", where=str(path), remedy=_AGAIN) from None
    if reader.byte_order != "I":
        raise UserError("is written in another byte order", where=str(path), remedy="use a little-endian file")
    if metadata.get("split.count", 0) > 1:
        raise UserError(
            f"is one of {metadata['split.count']} parts",
            where=f"{path}: split.count",
            remedy="join them first: llama-gguf-split --merge FIRST-PART OUT",
        )
    return File(path, metadata, {tensor.name: tensor for tensor in reader.tensors})


def convert(path: Path | str, folder: Path | str, dtype: torch.dtype = torch.float32) -> File:
    """Write a GGUF file's model and tokenizer as a Hugging Face folder, whole or not at all.

    Raises `UserError` when the file cannot be used or the folder exists already, `Failure` when the disk is full.
    """
    file = read(path)
    model, made = file.decoder(dtype), file.tokenizer()
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
