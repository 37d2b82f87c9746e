"""Checkpoints of a training in progress: whole or absent, checked before they are believed, the newest two kept.

    work/step-00000120/
        parameters.safetensors   trainable parameters (with LoRA only the adapter), by module name
        optimiser.safetensors    AdamW's moments, by parameter name
        state.json               step, history, what the checkpoint belongs to, file sizes

Everything is loaded to the CPU first, so resuming never needs more device memory than training. What this does not do:
the model's final form; that is a Hugging Face folder, written by `decoder`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from tandem.errors import UserError
from tandem.runs import atomic_folder

KEEP = 2
"""Checkpoints kept per training; the older of them is there in case the newer one is damaged."""


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that training changes, by name; a tied weight appears once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def optimiser_state(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimiser's tensors under `parameter name/state name`."""
    tensors = {}
    for name, parameter in trainable(model).items():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"{name}/{key}"] = value if isinstance(value, torch.Tensor) else torch.tensor(float(value))
    return tensors


def restore_optimiser(model: nn.Module, optimiser: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put tensors from `optimiser_state` back; scalars stay where the optimiser keeps them."""
    for name, parameter in trainable(model).items():
        state = {key.rpartition("/")[2]: t for key, t in tensors.items() if key.rpartition("/")[0] == name}
        if state:
            optimiser.state[parameter] = {
                key: t.to(parameter.device) if t.dim() else t.to(parameter.device if _fused(optimiser) else "cpu")
                for key, t in state.items()
            }


def _fused(optimiser: torch.optim.Optimizer) -> bool:
    return bool(optimiser.param_groups[0].get("fused"))


def save(
    work: Path, step: int, model: nn.Module, optimiser: torch.optim.Optimizer, state: dict[str, Any], belongs: str
) -> Path:
    """Write the checkpoint of `step` finished steps and drop all but the newest two. Raises Failure on a full disk."""
    folder = work / f"step-{step:08d}"
    if folder.exists():
        return folder
    with atomic_folder(folder) as tmp:
        parameters = {name: p.detach().cpu().contiguous() for name, p in trainable(model).items()}
        write(parameters, tmp / "parameters.safetensors")
        moments = {k: t.detach().cpu().contiguous() for k, t in optimiser_state(model, optimiser).items()}
        write(moments, tmp / "optimiser.safetensors")
        sizes = {p.name: p.stat().st_size for p in tmp.iterdir()}
        whole = {"step": step, "belongs": belongs, "sizes": sizes} | state
        (tmp / "state.json").write_text(json.dumps(whole))
    for old in sorted(work.glob("step-????????"))[:-KEEP]:
        shutil.rmtree(old)
    return folder


def write(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """A safetensors file; what goes wrong is an OSError, as of any other file."""
    try:
        save_file(tensors, path)
    except SafetensorError as e:  # safetensors wraps the operating system's error
        import errno

        full = "No space left" in str(e)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(e)) from e


def read(path: Path) -> dict[str, torch.Tensor]:
    """What `write` wrote. Raises UserError where the file is damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as e:
        raise UserError(
            f"cannot be read ({e})", where=str(path), remedy=f"remove {path.parent}: the run makes again what it held"
        ) from e


def newest(work: Path, belongs: str) -> tuple[Path, dict[str, Any]] | None:
    """The newest whole checkpoint in a folder with its state, or None.

    A damaged one (torn file, wrong size, broken header) is passed over for the one before it. Raises UserError when a
    checkpoint belongs to another training: other shape, data or settings.
    """
    for folder in sorted(work.glob("step-????????"), reverse=True):
        try:
            state = json.loads((folder / "state.json").read_text())
            if any((folder / name).stat().st_size != size for name, size in state["sizes"].items()):
                continue
            for name in ("parameters.safetensors", "optimiser.safetensors"):
                with safe_open(folder / name, framework="pt"):  # its header must describe its bytes
                    pass
            whose = state["belongs"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):  # torn, or another kind
            continue
        if whose != belongs:
            raise UserError(
                "this checkpoint belongs to another training (model shape, data or settings differ)",
                where=str(folder),
                remedy="restore the settings it began with, or start afresh in another folder",
            )
        return folder, state
    return None


def restore(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Load parameters and optimiser state into place. Raises UserError, naming the tensor, when shapes differ."""
    saved = read(folder / "parameters.safetensors")
    moments = read(folder / "optimiser.safetensors")
    own = trainable(model)
    for name in sorted(saved.keys() ^ own.keys()):
        whose = "the checkpoint" if name in saved else "the model"
        raise UserError(
            f"only {whose} has a parameter {name!r}", where=str(folder), remedy="use the model it was made with"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != saved[name].shape:
                raise UserError(
                    f"{name} is {tuple(saved[name].shape)} in the checkpoint and {tuple(parameter.shape)} in the model",
                    where=str(folder),
                    remedy="use the model shape it was made with",
                )
            parameter.copy_(saved[name])
    restore_optimiser(model, optimiser, moments)
