"""PDF and DOCX: formats that pack and nest, read only in a child process with limits (see `confined`).

PDF by pypdf, page by page; a document that opens without a password is read, one that asks for one is not. DOCX by
python-docx: paragraphs and tables in order, places are their numbers. What is unpacked is measured before it is
unpacked, and what goes beyond is an error that says so.
"""

from __future__ import annotations

import io
import zipfile

from tandem.sources.documents.blocks import Block, Headings, paragraphs

LARGEST_UNPACKED = 256 << 20
"""Bytes of a DOCX's parts together."""
_MOST_PARTS = 10_000
_MOST_TEXT = 64_000_000
"""Characters out of one file."""


class Unreadable(Exception):  # noqa: N818 — a named outcome
    """Why a file cannot be read, in words to be counted."""


def pdf(data: bytes) -> tuple[str, str, list[Block]]:
    """Title, date and blocks; a block's place is its page. Raises Unreadable."""
    import logging

    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("encrypted: asks for a password")
        blocks: list[Block] = []
        total = failed = 0
        for number, page in enumerate(reader.pages, 1):
            try:
                text = page.extract_text()
            except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError):
                failed += 1
                continue
            total += len(text)
            if total > _MOST_TEXT:
                raise Unreadable(f"more than {_MOST_TEXT:,} characters of text")
            blocks += paragraphs((number, line) for line in text.splitlines())
        if not blocks:
            raise Unreadable("broken PDF" if failed else "no text in it (scanned pages need recognition first)")
        about = reader.metadata
        when = about.creation_date if about is not None else None
        return "", f"{when:%Y-%m-%d}" if when else "", blocks
    except DependencyError as e:
        raise Unreadable("encrypted: its cipher needs the package cryptography") from e
    except (Unreadable, MemoryError):
        raise
    except Exception as e:  # a broken file raises whatever its bytes lead to
        raise Unreadable("broken PDF") from e


def docx(data: bytes) -> tuple[str, str, list[Block]]:
    """Title, date and blocks; a block's place is the number of its paragraph or table. Raises Unreadable."""
    from docx import Document
    from docx.table import Table

    if data[:4] == b"\xd0\xcf\x11\xe0":
        raise Unreadable("encrypted, or of Word 97: save it as .docx without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            listed = parts.infolist()
            if len(listed) > _MOST_PARTS or sum(part.file_size for part in listed) > LARGEST_UNPACKED:
                raise Unreadable(f"unpacks to more than {LARGEST_UNPACKED >> 20} MiB")
            if any(part.flag_bits & 1 for part in listed):
                raise Unreadable("encrypted: asks for a password")
        document = Document(io.BytesIO(data))
        headings, blocks = Headings(), []
        for number, item in enumerate(document.iter_inner_content(), 1):
            if isinstance(item, Table):
                rows = (" | ".join(" ".join(cell.text.split()) for cell in row.cells) for row in item.rows)
                lines = tuple((number, row) for row in rows if row.strip(" |"))
                if lines:
                    blocks.append(Block(lines, str(headings), prose=False))
                continue
            style = (item.style.name if item.style is not None else "") or ""
            if style.startswith("Heading ") and style[8:].isdecimal():
                headings.open(int(style[8:]), item.text)
            if item.text.strip():
                lines = tuple((number, line) for line in item.text.splitlines() if line.strip())
                blocks.append(Block(lines, str(headings)))
        about = document.core_properties
        return about.title or "", f"{about.modified:%Y-%m-%d}" if about.modified else "", blocks
    except (Unreadable, MemoryError):
        raise
    except Exception as e:
        raise Unreadable("broken DOCX") from e
