"""The header of an index, `index.json`: how it was written, and which segments it consists of.

It is replaced as a whole, last of all: who reads sees the index before an addition, or after it. Segments that no
header names are what a killed writer left; the next writer removes them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tandem.errors import UserError
from tandem.runs import write_whole
from tandem.sources.passages.words import Splitting

VERSION = 2
"""Of the files; an index of another one is refused."""
FORMAT = "tandem passages"
NAME = "index.json"


@dataclass(frozen=True)
class Settings:
    """What scores depend on; fixed when an index is begun."""

    splitting: Splitting = field(default_factory=Splitting)
    """How words are told apart."""
    k1: float = 1.2
    """How soon a word that is repeated stops counting more."""
    b: float = 0.75
    """How much long passages are marked down: 0 not at all, 1 in full."""
    encoder: str = ""
    """Name of the encoder of the vectors; empty where there are none."""
    width: int = 0
    """Numbers in a vector."""

    def __post_init__(self) -> None:
        if not (0 < self.k1 < 100 and 0 <= self.b <= 1):
            raise UserError(f"k1 {self.k1} and b {self.b} are out of range", where="BM25", remedy="k1 over 0, b 0 to 1")


@dataclass(frozen=True)
class Piece:
    """One segment in the header."""

    name: str
    """Its folder's name."""
    passages: int
    """Passages that are not gone."""
    documents: int
    """Documents that are not gone."""
    origins: int
    """Origins (files) that are not gone, whole or in part."""
    pairs: int
    """Pairs of a word and a passage: its size."""
    gone: int = 0
    """Number of the list of what is gone; 0 where nothing is."""


@dataclass(frozen=True)
class Header:
    """All of it."""

    settings: Settings = field(default_factory=Settings)
    """How it was written."""
    pieces: tuple[Piece, ...] = ()
    """Segments in order."""
    serial: int = 0
    """Last number given to a segment or a list of what is gone."""
    identity: str = ""
    """Hash of what is held and how, whatever the segments."""

    def total(self, what: str) -> int:
        """Sum over the segments of `passages`, `documents`, `origins` or `pairs`."""
        return sum(int(getattr(piece, what)) for piece in self.pieces)

    def write(self, folder: Path) -> None:
        """Replace the header of an index."""
        told = {"format": FORMAT, "version": VERSION} | asdict(self)
        write_whole(folder / NAME, json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def holds(folder: Path) -> bool:
    """Whether a folder is an index of passages, of whatever version."""
    try:
        with (folder / NAME).open("rb") as file:
            return f'"format": "{FORMAT}"'.encode() in file.read(256)
    except OSError:
        return False


def read(folder: Path) -> Header:
    """The header of an index. Raises UserError where there is none, or one of another kind."""
    path = folder / NAME
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']!r}")
        version = told["version"]
    except (FileNotFoundError, NotADirectoryError) as e:
        remedy = f"make one: tandem index FILES --out {folder}"
        raise UserError("there is no index of passages here", where=str(folder), remedy=remedy) from e
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(f"not the header of an index ({e})", where=str(path), remedy="make the index again") from e
    if version != VERSION:
        problem = f"the index is of version {version}, this program reads version {VERSION}"
        raise UserError(problem, where=str(path), remedy="make the index again with this version")
    try:
        settings = dict(told["settings"])
        settings["splitting"] = Splitting(**settings["splitting"])
        pieces = tuple(Piece(**piece) for piece in told["pieces"])
        return Header(Settings(**settings), pieces, int(told["serial"]), str(told["identity"]))
    except (KeyError, TypeError, ValueError) as e:
        raise UserError(f"not a header of this version ({e})", where=str(path), remedy="make the index again") from e


def agree(held: Settings, wanted: Settings, folder: Path) -> None:
    """Raise UserError, naming each difference, where an index was written otherwise than it is to be used."""
    flat = [{**asdict(s), **asdict(s.splitting)} for s in (held, wanted)]
    differ = [
        f"{name} is {flat[0][name]!r} in the index, {flat[1][name]!r} now"
        for name in flat[0]
        if name != "splitting" and flat[0][name] != flat[1][name]
    ]
    if differ:
        remedy = "use the index as it was written, or make another one with --out"
        raise UserError("; ".join(differ), where=str(folder), remedy=remedy)
