"""LoRA: low-rank additions to a model's projections (Hu et al. 2021, arXiv 2106.09685), as PEFT-format adapter files.

y = W x + (alpha / rank) · B A x with A (rank, inputs) and B (outputs, rank). Base weights stand still; B starts at
zero, so an attached adapter changes nothing until it is trained. Targets are Hugging Face's names (q_proj, …)
though our projections are fused: each adds to its own part of the output. What this does not do: DoRA, adapters of the
embedding, several at once. Rejected: depending on peft, which wraps modules by name and would need ours unfused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tandem.decoder.model import Block, Decoder, Projection
from tandem.decoder.weights import PAIRED, Place, projections
from tandem.errors import Failure, UserError

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Every projection of a block, by its Hugging Face name."""


@dataclass(frozen=True)
class LoRA:
    """Settings of an adapter."""

    rank: int = 16
    """Inner width of the addition."""
    alpha: float = 32.0
    """The addition is scaled by alpha / rank."""
    dropout: float = 0.0
    """Share of the adapter's inputs dropped in training."""
    targets: tuple[str, ...] = TARGETS
    """Projections that get one."""
    rank_stabilised: bool = False
    """Scale by alpha / √rank instead (Kalajdzievski 2023)."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UserError(f"is {self.rank}", where="lora.rank", remedy="a rank is at least 1")
        if not 0 <= self.dropout < 1:
            raise UserError(f"is {self.dropout:g}", where="lora.dropout", remedy="give a share below 1")
        for name in self.targets:
            if name not in TARGETS:
                raise UserError(f"no projection is called {name!r}", where="lora.targets", remedy=", ".join(TARGETS))
        if not self.targets:
            raise UserError("names no projection", where="lora.targets", remedy=", ".join(TARGETS))

    @property
    def scale(self) -> float:
        """Factor on B A x."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


class Adapter(nn.Module):
    """scale · B A x, with dropout before A. Kept in float32 whatever the base weights are."""

    def __init__(self, inputs: int, outputs: int, lora: LoRA, device: torch.device) -> None:
        super().__init__()
        self.lora = lora
        self.down = nn.Parameter(torch.zeros(lora.rank, inputs, device=device))
        self.up = nn.Parameter(torch.zeros(outputs, lora.rank, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs), in x's dtype."""
        dropped = F.dropout(x.to(self.down.dtype), self.lora.dropout, self.training)
        return (F.linear(F.linear(dropped, self.down), self.up) * self.lora.scale).to(x.dtype)


def attach(model: Decoder, lora: LoRA, *, seed: int = 0) -> None:
    """Add fresh adapters to the targets and freeze everything else. A starts as `nn.Linear` does, B at zero."""
    if any(projection.adapters for _, _, projection in _targets(model)):
        raise UserError("the model has an adapter already", where="lora", remedy="merge or detach it first")
    if model.shape.activation == "gelu" and set(lora.targets) == {"gate_proj"}:
        raise UserError("this model has no gate_proj", where="lora.targets", remedy="choose up_proj")
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed % 2**63)
    for name, rows, projection in _targets(model):
        part = name.rpartition(".")[2]
        if part in lora.targets:
            inputs = projection.weight.shape[1]
            adapter = Adapter(inputs, rows.stop - rows.start, lora, model.device)
            bound = 1 / math.sqrt(inputs)
            drawn = torch.empty(lora.rank, inputs).uniform_(-bound, bound, generator=generator)
            adapter.down.data.copy_(drawn)
            projection.adapters[part] = adapter


def twin(model: Decoder) -> Decoder:
    """A second model over the same base weights, to which an adapter of its own can be attached."""
    with torch.device("meta"):
        other = Decoder(model.shape)
    for module, theirs in zip(other.modules(), model.modules(), strict=True):
        module._parameters.update(theirs._parameters)
        if isinstance(module, Projection) and isinstance(theirs, Projection):
            module.packed = theirs.packed
    other.compute = model.compute
    return other.train(model.training)


def detach(model: Decoder) -> None:
    """Take the adapters off; the base weights are as before, and trainable again."""
    for _, _, projection in _targets(model):
        projection.adapters = nn.ModuleDict()
    model.requires_grad_(True)


@torch.no_grad()
def merge(model: Decoder) -> None:
    """Add the adapters into the base weights for good, and take them off."""
    assert all(projection.packed is None for _, _, projection in _targets(model)), "packed weights take no additions"
    for name, rows, projection in _targets(model):
        part = name.rpartition(".")[2]
        if part in projection.adapters:
            adapter = projection.adapters[part]
            assert isinstance(adapter, Adapter)
            added = (adapter.up.float() @ adapter.down.float()).mul_(adapter.lora.scale)
            projection.weight[rows] = (projection.weight[rows].float() + added).to(projection.weight.dtype)
    detach(model)


def save(model: Decoder, folder: Path | str, *, base: str = "") -> None:
    """Write the attached adapter as peft does: adapter_config.json and adapter_model.safetensors.

    `base` is the name or folder of the base model, noted in the configuration.
    """
    folder = Path(folder)
    tensors: dict[str, Tensor] = {}
    lora: LoRA | None = None
    for name, adapter in _adapters(model):
        lora = adapter.lora
        tensors[f"base_model.model.{name}.lora_A.weight"] = adapter.down.detach().cpu().contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = _up(model, name, adapter).value().cpu().contiguous()
    if lora is None:
        raise UserError("the model has no adapter", where=str(folder), remedy="attach one first")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base or None,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": sorted(lora.targets),
        "use_rslora": lora.rank_stabilised,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / "adapter_model.safetensors.part"
        save_file(tensors, part, {"format": "pt"})
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        part.replace(folder / "adapter_model.safetensors")
    except (OSError, SafetensorError) as e:
        raise Failure(f"the adapter could not be written ({e})", where=str(folder), remedy="free some space") from e


_PLAIN: dict[str, tuple[Any, ...]] = {
    "bias": ("none",),
    "fan_in_fan_out": (False,),
    "modules_to_save": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "layers_to_transform": (None,),
    "use_dora": (None, False),
    "lora_bias": (None, False),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
}
"""peft's settings that would change the numbers, with the values under which they do not."""


def load(model: Decoder, folder: Path | str) -> LoRA:
    """Attach the adapter of a PEFT folder. Raises `UserError` naming key, tensor or file when it does not fit."""
    folder = Path(folder)
    place = folder / "adapter_config.json"
    try:
        config = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise UserError(f"cannot be read ({e})", where=str(place), remedy="give a folder that peft saved") from e
    if config.get("peft_type") != "LORA":
        raise UserError(f"peft_type {config.get('peft_type')!r} is not supported", where=f"{place}: peft_type")
    for key, allowed in _PLAIN.items():
        if key in config and config[key] not in allowed:
            raise UserError(f"{key} = {config[key]!r} is not supported", where=f"{place}: {key}")
    targets = config.get("target_modules")
    if not isinstance(targets, list):
        raise UserError("gives no list of projections", where=f"{place}: target_modules", remedy=", ".join(TARGETS))
    lora = LoRA(
        rank=int(config["r"]),
        alpha=float(config["lora_alpha"]),
        dropout=float(config.get("lora_dropout", 0.0)),
        targets=tuple(sorted(targets)),
        rank_stabilised=bool(config.get("use_rslora", False)),
    )
    file = folder / "adapter_model.safetensors"
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as e:
        raise UserError(f"not a whole safetensors file ({e})", where=str(file), remedy="copy it again") from e
    attach(model, lora)
    try:
        for name, adapter in _adapters(model):
            for key, mine in (("lora_A", Place(adapter.down.data)), ("lora_B", _up(model, name, adapter))):
                full = f"base_model.model.{name}.{key}.weight"
                tensor, shape = tensors.pop(full, None), tuple(mine.rows.shape)
                if tensor is None or tensor.shape != shape:
                    size = "missing" if tensor is None else f"{tuple(tensor.shape)}, not {shape}"
                    raise UserError(f"tensor {full} is {size}", where=str(file), remedy="use the adapter's base model")
                mine.fill(tensor)
        if tensors:
            raise UserError(f"tensor {next(iter(tensors))} is not part of this model", where=str(file))
    except UserError:
        detach(model)
        raise
    return lora


def _targets(model: Decoder) -> Iterator[tuple[str, slice, Projection]]:
    for layer, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        for name, rows, projection in projections(block):
            yield f"model.layers.{layer}.{name}", rows, projection


def _adapters(model: Decoder) -> Iterator[tuple[str, Adapter]]:
    for name, _, projection in _targets(model):
        part = name.rpartition(".")[2]
        if part in projection.adapters:
            adapter = projection.adapters[part]
            assert isinstance(adapter, Adapter)
            yield name, adapter


def _up(model: Decoder, name: str, adapter: Adapter) -> Place:
    """B, whose rows are in the order of the projection's own."""
    return Place(adapter.up.data, model.shape.head_width if name.endswith(PAIRED) else 0)
