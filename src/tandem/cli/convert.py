"""`tandem convert MODEL --out DIR`: a GGUF file as a Hugging Face folder; an adapter merged into a model, or beside it.

Every model that can be read is written as a folder of safetensors, which `transformers`, vLLM and llama.cpp's own
converter take. What this does not do: write GGUF, or quantise.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from tandem.decoder import Decoder
    from tandem.decoder.gguf import File

DTYPES = ("float32", "bfloat16", "float16")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem convert`."""
    add = parser.add_argument
    add("model", help="a GGUF file, a Hugging Face folder, a run's folder, or the word embedded")
    add("--out", type=Path, required=True, help="the folder to write; it must not exist yet")
    add("--dtype", choices=DTYPES, help="of the written weights (default: as a folder has them; float32 from GGUF)")
    add("--adapter", type=Path, help="a LoRA adapter folder (PEFT's format); written beside the model: OUT/adapter")
    add("--merge", action="store_true", help="add the adapter into the weights instead")


def run(options: argparse.Namespace) -> int:
    """Read the model, put the adapter on, write what was asked for, and say what was written."""
    from tandem.decoder import adapters
    from tandem.errors import UserError
    from tandem.runs import atomic_folder

    if options.merge and not options.adapter:
        raise UserError("there is no adapter to merge", where="--merge", remedy="name it: --adapter DIR")
    source, file = _source(options.model)
    with atomic_folder(options.out) as work:
        model = _load(source, file, options.dtype, wide=options.merge)
        place = work
        if options.adapter:
            adapters.load(model, options.adapter)
            if options.merge:
                adapters.merge(model)
            else:
                place = work / "model"
                adapters.save(model, work / "adapter", base=str((options.out / "model").resolve()))
                adapters.detach(model)
        dtype = _written(source, file, options.dtype)
        _fits(model, dtype)
        _write(model.to(dtype), source, file, place)
    where = options.out / "model" if place != work else options.out
    size = sum(f.stat().st_size for f in where.glob("*.safetensors"))
    number = sum(weight.numel() for weight in model.parameters())
    name = str(dtype).removeprefix("torch.")
    print(f"{where}: {number:,} parameters in {name}, {size / 1e6:,.1f} MB")
    if file is not None:
        print(
            f"  from {source.name}: " + ", ".join(f"{kind} × {n}" for kind, n in file.types.most_common()) + " tensors"
        )
    if options.adapter:
        print(f"  {options.adapter} is merged in" if options.merge else f"{options.out / 'adapter'}: the adapter")
    return 0


def _source(name: str) -> tuple[Path, File | None]:
    """The file or folder meant, and the GGUF file's contents where it is one."""
    from tandem.lm import embedded
    from tandem.lm.locate import locate

    path = embedded.gguf_file() if name == "embedded" else Path(name)
    if path.is_file() or path.suffix == ".gguf":
        from tandem.decoder import gguf

        return path, gguf.read(path)
    return locate(name), None


def _load(source: Path, file: File | None, dtype: str | None, *, wide: bool) -> Decoder:
    """The model: in float32 when something is to be added to it, else as it will be written."""
    import torch

    from tandem import decoder

    if file is not None:
        return file.decoder(torch.float32)
    return decoder.load(source, torch.float32 if wide or dtype else None)


def _written(source: Path, file: File | None, dtype: str | None) -> torch.dtype:
    """The dtype to write: the one asked for, else that of the folder's config.json."""
    import torch

    from tandem.decoder import weights

    if dtype is None and file is None:
        config = weights.read_config(source)
        dtype = str(config.get("dtype") or config.get("torch_dtype"))
    found: torch.dtype = getattr(torch, dtype if dtype in DTYPES else "float32")
    return found


def _fits(model: Decoder, dtype: torch.dtype) -> None:
    """Raise `UserError` where a weight is too large for the dtype, which is float16's alone."""
    import torch

    from tandem.decoder import weights
    from tandem.errors import UserError

    if dtype != torch.float16:
        return
    for name, place in weights.places(model):
        largest = float(place.rows.abs().max())
        if largest > torch.finfo(dtype).max:
            raise UserError(f"tensor {name} reaches {largest:g}, beyond float16", where="--dtype", remedy="bfloat16")


def _write(model: Decoder, source: Path, file: File | None, place: Path) -> None:
    """Weights and configurations, and the tokenizer's files: made from the GGUF, or copied from the folder."""
    import shutil

    from tandem import decoder

    if file is not None:
        from tandem.decoder import gguf

        gguf.write(model, file.tokenizer(), file.ends, place)
        return
    decoder.save(model, place)
    for pattern in COPIED:
        for other in source.glob(pattern):
            shutil.copyfile(other, place / other.name)


COPIED = (
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
)
"""Files of a folder that hold no weights and stay as they are."""
