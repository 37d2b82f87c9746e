"""Weights in and out of Hugging Face folders: safetensors (sharded or not), config.json, generation_config.json.

Reading builds the module without memory (meta device) and copies each tensor from the mapped file straight into its
place, a third of a fused matrix at a time, and maps the file anew now and then, since what was read of a mapping counts
as memory: the peak is one model plus one tensor. Writing goes to a neighbour folder
that is renamed at the end: nothing half-written is left. What this does not do: pickled checkpoints (they execute code
when read), tokenizers, quantised weights. Rejected: `from_pretrained` (transformers is an extra, and a second
copy of the model in memory).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tandem.decoder.families import config_of, family_of, shape_of
from tandem.decoder.model import Block, Decoder, Norm, Projection
from tandem.decoder.shape import Shape
from tandem.errors import Failure, UserError

_AGAIN = "copy or download it again; of a run, remove the stage's folder and run the recipe again"
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_MAPPED = 32 << 20
"""Bytes read of a file until it is mapped anew."""

PAIRED = ("q_proj", "k_proj")
"""Projections whose output is turned by position."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Place:
    """Where a Hugging Face tensor lives in the model: some rows of one of its (fused) parameters."""

    rows: Tensor
    """A view into the model's own parameter."""
    head_width: int = 0
    """K where the rows are those of q or k heads: rotary pairs are neighbours here, half a head apart there."""

    def fill(self, theirs: Tensor) -> None:
        """Copy a tensor of the same shape in."""
        if self.head_width:
            theirs = theirs.reshape(-1, 2, self.head_width // 2, *theirs.shape[1:]).transpose(1, 2).flatten(0, 2)
        self.rows.copy_(theirs)

    def value(self) -> Tensor:
        """The tensor as Hugging Face has it; a copy only where the order differs."""
        if self.head_width:
            pairs = self.rows.reshape(-1, self.head_width // 2, 2, *self.rows.shape[1:])
            return pairs.transpose(1, 2).flatten(0, 2)
        return self.rows


def places(model: Decoder) -> Iterator[tuple[str, Place]]:
    """Every tensor's Hugging Face name and place."""
    yield "model.embed_tokens.weight", Place(model.embedding.data)
    for layer, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        at, head_width = f"model.layers.{layer}", model.shape.head_width
        yield from _norm(f"{at}.input_layernorm", block.attention_norm)
        yield from _norm(f"{at}.post_attention_layernorm", block.mlp_norm)
        yield from _norm(f"{at}.self_attn.q_norm", block.attention.q_norm, head_width)
        yield from _norm(f"{at}.self_attn.k_norm", block.attention.k_norm, head_width)
        for name, rows, projection in projections(block):
            paired = head_width if name.endswith(PAIRED) else 0
            yield f"{at}.{name}.weight", Place(projection.weight.data[rows], paired)
            if projection.bias is not None:
                yield f"{at}.{name}.bias", Place(projection.bias.data[rows], paired)
    yield from _norm("model.norm", model.norm)
    if model.output is not None:
        yield "lm_head.weight", Place(model.output.data)


def projections(block: Block) -> Iterator[tuple[str, slice, Projection]]:
    """The named parts of a block's fused projections: ("self_attn.q_proj", its rows, the projection), …"""
    owners = {"self_attn": (block.attention.qkv, block.attention.out), "mlp": (block.mlp.up, block.mlp.down)}
    for owner, fused in owners.items():
        for projection in fused:
            for part, rows in projection.parts.items():
                yield f"{owner}.{part}", rows, projection


def _norm(name: str, norm: Norm | None, head_width: int = 0) -> Iterator[tuple[str, Place]]:
    if norm is not None:
        yield f"{name}.weight", Place(norm.weight.data, head_width)
        if norm.bias is not None:
            yield f"{name}.bias", Place(norm.bias.data, head_width)


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a folder as a dictionary."""
    return _json(folder / "config.json", "a Hugging Face model folder has one")


def read_shape(folder: Path) -> Shape:
    """The shape a model folder describes, without reading its weights."""
    return shape_of(read_config(folder), str(folder / "config.json"))


def stop_ids(folder: Path) -> frozenset[int]:
    """All ids that end an answer: config.json's and generation_config.json's `eos_token_id`."""
    found: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            ids = _json(folder / name, "").get("eos_token_id")
            found.update(ids if isinstance(ids, list) else [] if ids is None else [ids])
    return frozenset(found)


def load(folder: Path | str, dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> Decoder:
    """The model of a Hugging Face folder, in the dtype it was saved in unless told otherwise.

    Raises `UserError` naming folder, file, key or tensor when something is missing, left over, of another size, cut
    short or not supported.
    """
    folder = Path(folder)
    config = read_config(folder)
    shape = shape_of(config, str(folder / "config.json"))
    files = _files(folder)
    if dtype is None:
        dtype = _DTYPES.get(str(config.get("dtype") or config.get("torch_dtype")), torch.float32)
    with torch.device("meta"):
        model = Decoder(shape)
    model = model.to(dtype).to_empty(device=device)
    missing = dict(places(model))
    for file in files:
        _read(file, missing, tied=shape.tied)
    if missing:
        raise UserError(
            f"tensor {next(iter(missing))} is missing" + (f", and {len(missing) - 1} more" if len(missing) > 1 else ""),
            where=str(folder / _INDEX if len(files) > 1 else files[0]),
            remedy="the weights do not belong to this config.json, or a shard was not copied",
        )
    return model


def _read(file: Path, missing: dict[str, Place], *, tied: bool) -> None:
    """Copy every tensor of a file into its place and strike it off the list."""
    left: list[str] | None = None
    while left is None or left:
        mapped = 0
        try:
            with safe_open(file, framework="pt") as tensors:
                left = list(tensors.keys()) if left is None else left
                while left and mapped < _MAPPED:
                    mapped += _place(tensors, left.pop(0), missing, file, tied=tied)
        except (SafetensorError, OSError) as e:
            raise UserError(f"not a whole safetensors file ({e})", where=str(file), remedy=_AGAIN) from e


def _place(tensors: Any, name: str, missing: dict[str, Place], file: Path, *, tied: bool) -> int:
    """Copy one tensor into its place; the bytes that were read."""
    if name.endswith(".rotary_emb.inv_freq") or (tied and name == "lm_head.weight"):
        return 0  # Old exports carry what follows from config.json.
    place = missing.pop(name, None)
    if place is None:
        raise UserError(
            f"tensor {name} is not part of this model, or there twice",
            where=str(file),
            remedy="check that config.json and weights belong together",
        )
    size = tuple(tensors.get_slice(name).get_shape())
    if size != tuple(place.rows.shape):
        raise UserError(
            f"tensor {name} is {_by(size)}, but config.json makes it {_by(tuple(place.rows.shape))}",
            where=str(file),
            remedy="check that config.json and weights belong together",
        )
    theirs: Tensor = tensors.get_tensor(name)
    place.fill(theirs)
    return theirs.numel() * theirs.element_size()


def _files(folder: Path) -> list[Path]:
    if (folder / _INDEX).is_file():
        index = _json(folder / _INDEX, "").get("weight_map")
        if not isinstance(index, dict) or not index:
            raise UserError("has no weight_map", where=str(folder / _INDEX), remedy=_AGAIN)
        files = [folder / name for name in sorted(set(index.values()))]
    else:
        files = [folder / _SINGLE]
    for file in files:
        if not file.is_file():
            pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth"))
            raise UserError(
                "there is no such file" + (", only pickled weights, which are never opened" if pickled else ""),
                where=str(file),
                remedy="convert the weights to safetensors" if pickled else "copy the missing weights",
            )
    return files


def save(model: Decoder, folder: Path | str, *, shard_bytes: int = 5 * 10**9) -> None:
    """Write the model as a Hugging Face folder that `transformers` loads; attached adapters must be merged first.

    Shapes without a class in `transformers` get model_type "tandem", which only this package reads. An existing folder
    keeps its other files (tokenizer, …); weights and configurations are replaced, each by a rename. Raises `Failure`
    when the disk does not take it.
    """
    folder = Path(folder)
    if any(p.adapters for block in model.blocks if isinstance(block, Block) for _, _, p in projections(block)):
        raise UserError(
            "the model has adapters attached",
            where=str(folder),
            remedy="merge them, or save them alone (adapters.save)",
        )
    dtype = str(model.dtype).removeprefix("torch.")
    shards: list[dict[str, Place]] = [{}]
    filled = 0
    for name, place in places(model):
        size = place.rows.numel() * place.rows.element_size()
        if shards[-1] and filled + size > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = place
        filled += size
    config = config_of(model.shape, dtype)
    note = {"note": "read by tandem only: transformers has no class for this shape"}
    generation = {"bos_token_id": model.shape.bos, "eos_token_id": model.shape.eos, "pad_token_id": model.shape.pad}
    work = folder.with_name(f"{folder.name}.tmp{os.getpid()}")
    try:
        work.mkdir(parents=True)
        names = [_SINGLE]
        if len(shards) > 1:
            names = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
        for name, shard in zip(names, shards, strict=True):
            # One shard at a time is brought together on the CPU; on a CPU, contiguous rows are not even copied.
            save_file({key: p.value().cpu().contiguous() for key, p in shard.items()}, work / name, {"format": "pt"})
        if len(shards) > 1:
            index = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
            total = sum(p.rows.numel() * p.rows.element_size() for shard in shards for p in shard.values())
            _write(work / _INDEX, {"metadata": {"total_size": total}, "weight_map": index})
        _write(work / "config.json", config | (note if family_of(model.shape) == "tandem" else {}))
        _write(work / "generation_config.json", {k: v for k, v in generation.items() if v is not None})
        folder.mkdir(parents=True, exist_ok=True)
        for old in [*folder.glob("model*.safetensors"), folder / _INDEX]:
            old.unlink(missing_ok=True)
        for file in sorted(work.iterdir()):
            file.replace(folder / file.name)
    except (OSError, SafetensorError) as e:
        raise Failure(f"the model could not be written ({e})", where=str(folder), remedy="free some space") from e
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("there is no such file", where=str(path), remedy=remedy) from None
    except (OSError, ValueError) as e:
        raise UserError(f"cannot be read as JSON ({e})", where=str(path), remedy=_AGAIN) from e
    if not isinstance(value, dict):
        raise UserError("is not a JSON object", where=str(path), remedy=_AGAIN)
    return value


def _by(size: tuple[int, ...]) -> str:
    return " × ".join(map(str, size)) or "a scalar"
