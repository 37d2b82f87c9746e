"""XGen's tokenizer, rebuilt from GPT-2's ranks: 50,313 live ids in a table of 51,200.

    0–50,255        GPT-2 byte-level BPE
    50,256          end of text: the one boundary mark
    50,257–50,286   runs of spaces, 31 down to 2
    50,287–50,294   runs of tabs, 9 down to 2
    50,295–50,312   StarCoder's 18 marks
    50,313          padding (ours; XGen left it out, so users set a live id and lost characters)
    50,314–51,199   no token

The runs are entries of the *rank table*, above every GPT-2 rank. A piece of white space that is a run becomes its token
at once; a longer one, or one with other white space in it, is merged: lowest rank first means that the longest run
that can still grow does, from the left, up to 31 spaces or 9 tabs, then the next begins. GPT-2's own merges, such as
two line ends, have lower ranks and come before. Where GPT-2's table holds a run already, its entry moves to the new id
and the old id is never made again, as assigning to tiktoken's table does.

Does not ship or fetch GPT-2's ranks. Rejected: the runs as added tokens, the way CodeGen has them. They are then cut
out before GPT-2's splitting, and take the space that belongs to the next word.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken

from tandem.errors import UserError
from tandem.tokenizer import ranks as rank_tables
from tandem.tokenizer.bytelevel import END, PAD, RUNS, assemble, spell
from tandem.tokenizer.tokenizer import Tokenizer

GPT2 = 50_256
"""Ranks in GPT-2's table."""
ROWS = 51_200
"""Rows of XGen's embedding: 400 × 128."""
MARKS = (
    "<fim_prefix>",
    "<fim_middle>",
    "<fim_suffix>",
    "<fim_pad>",
    "<filename>",
    "<gh_stars>",
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<empty_output>",
    "<commit_before>",
    "<commit_msg>",
    "<commit_after>",
    "<reponame>",
)
"""StarCoder's marks, in the order of their ids."""


def xgen(ranks: Path) -> Tokenizer:
    """XGen's tokenizer from a file or folder with GPT-2's ranks (forms: see `tandem.tokenizer.ranks`).

    Raises:
        UserError: the file cannot be read, or does not hold exactly the ranks 0–50,255 with all 256 bytes among them.
    """
    table = rank_tables.read(Path(ranks))
    if len(table) != GPT2 or set(table.values()) != set(range(GPT2)):
        raise UserError(
            f"GPT-2 has {GPT2:,} ranks, 0–{GPT2 - 1:,}; this table has {len(table):,}, "
            f"{min(table.values(), default=0):,}–{max(table.values(), default=0):,}",
            where=str(ranks),
            remedy="give GPT-2's own ranks: vocab.bpe, gpt2.tiktoken, merges.txt, or GPT-2's tokenizer.json",
        )
    lacking = [b for b in range(256) if bytes([b]) not in table]
    if lacking:
        raise UserError(
            f"{len(lacking)} single bytes have no rank, the first is {lacking[0]:#04x}",
            where=str(ranks),
            remedy="a byte-level table holds all 256",
        )
    for rank, run in enumerate(RUNS, GPT2 + 1):
        table[run.encode()] = rank
    vocabulary = {spell(token): rank for token, rank in table.items()}
    # The marks are model entries too: `tokenizers` numbers an added token by counting, unless the model has its id.
    vocabulary |= {END: GPT2} | {mark: rank for rank, mark in enumerate(MARKS, GPT2 + 1 + len(RUNS))}
    vocabulary[PAD] = GPT2 + 1 + len(RUNS) + len(MARKS)
    core = assemble(vocabulary, rank_tables.merges_of(table))
    core.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in (END, *MARKS, PAD)])
    return Tokenizer(core, rows=ROWS, end=END, pad=PAD)
