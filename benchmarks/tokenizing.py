"""Training and encoding speed of tokenizers, MB of UTF-8 a second: Tandem beside tiktoken and Hugging Face tokenizers.

    python benchmarks/tokenizing.py [--megabytes 20] [--code PATH] [--prose PATH] [--vocabulary 16384] [--repeats 5]

Code is the Python standard library and prose its docstrings (12 MB and 2 MB) unless files or folders are named. Each
round measures every candidate once, in turn, and medians of the rounds are printed. tiktoken gets the ranks of the
tokenizer trained here, so corpus and vocabulary are the same; that its ids are equal is checked, not assumed. *Cold*
starts with an empty table of pieces, *warm* with the one the same text has filled (a long corpus is between the two,
near warm).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import tiktoken
import tokenizers

import tandem.tokenizer as tandem_tokenizer
from tandem.corpus.read import read
from tandem.tokenizer.bytelevel import PIECE, unspell
from tandem.tokenizer.pieces import PieceTable


def texts(source: str, megabytes: float) -> list[str]:
    found, room = [], megabytes * 1e6
    for document in read(source):
        if room <= 0:
            break
        found.append(document.text)
        room -= len(document.text.encode())
    return found


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def medians(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, work in candidates.items():
            taken[name].append(seconds(work))
    return {name: statistics.median(values) for name, values in taken.items()}


def twin(tokenizer: tandem_tokenizer.Tokenizer) -> tiktoken.Encoding:
    """tiktoken with the same tokens and ids."""
    vocabulary = tokenizer.core.get_vocab(with_added_tokens=False)
    ranks = {data: i for token, i in vocabulary.items() if (data := unspell(token)) is not None}
    return tiktoken.Encoding("twin", pat_str=PIECE, mergeable_ranks=ranks, special_tokens={})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=20, help="of each text, where it has as many (default 20)")
    parser.add_argument("--code", default="python:code", help="a file or folder of code")
    parser.add_argument("--prose", default="python:docstrings", help="a file or folder of prose")
    parser.add_argument("--vocabulary", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=5, help="interleaved rounds")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 16), help="for the batch rows")
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)

    for name, source in (("code", options.code), ("prose", options.prose)):
        corpus = texts(source, options.megabytes)
        megabytes = sum(len(text.encode()) for text in corpus) / 1e6
        print(f"\n{name}: {megabytes:.1f} MB in {len(corpus):,} documents, vocabulary {options.vocabulary:,}")

        trained: list[tandem_tokenizer.Tokenizer] = []

        def ours(corpus: list[str] = corpus, trained: list[tandem_tokenizer.Tokenizer] = trained) -> None:
            trained[:] = [tandem_tokenizer.train(corpus, options.vocabulary)]

        def theirs(corpus: list[str] = corpus) -> None:
            plain = tokenizers.Tokenizer(tokenizers.models.BPE())
            plain.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
            trainer = tokenizers.trainers.BpeTrainer(
                vocab_size=options.vocabulary,
                initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False,
            )
            plain.train_from_iterator(corpus, trainer)

        table("training", megabytes, medians({"tandem": ours, "tokenizers": theirs}, min(options.repeats, 3)))

        tokenizer = trained[0]
        encoding = twin(tokenizer)
        differ = sum(tokenizer.encode(text) != encoding.encode_ordinary(text) for text in corpus)
        print(f"  documents whose ids differ from tiktoken's: {differ}")
        cache = PieceTable(tokenizer.core)
        for text in corpus:
            cache.encode(text)

        def cold(corpus: list[str] = corpus, tokenizer: tandem_tokenizer.Tokenizer = tokenizer) -> None:
            fresh = PieceTable(tokenizer.core)
            for text in corpus:
                fresh.encode(text)

        one = {
            "tandem warm": lambda corpus=corpus, cache=cache: [cache.encode(text) for text in corpus],
            "tandem cold": cold,
            "tiktoken": lambda corpus=corpus, encoding=encoding: [encoding.encode_ordinary(text) for text in corpus],
            "tokenizers": lambda corpus=corpus, core=tokenizer.core: [
                core.encode(text, add_special_tokens=False).ids for text in corpus
            ],
        }
        table("encoding one document at a time", megabytes, medians(one, options.repeats))
        many = {
            "tandem warm": lambda corpus=corpus, tokenizer=tokenizer: tokenizer.encode_batch(corpus),
            "tandem cold": lambda corpus=corpus, core=tokenizer.core: [
                ids.tolist() for ids in PieceTable(core).arrays(corpus)
            ],
            "tiktoken": lambda corpus=corpus, encoding=encoding: encoding.encode_ordinary_batch(
                corpus, num_threads=options.threads
            ),
            "tiktoken, one": lambda corpus=corpus, encoding=encoding: encoding.encode_ordinary_batch(
                corpus, num_threads=1
            ),
            "tokenizers": lambda corpus=corpus, core=tokenizer.core: [
                e.ids for e in core.encode_batch_fast(corpus, add_special_tokens=False)
            ],
        }
        table(
            f"encoding all in one call (tandem on one thread, the others on {options.threads})",
            megabytes,
            medians(many, options.repeats),
        )

    word = "".join("".join(texts("python:code", 1.5)).split())[:1_000_000]
    print(f"\none word of {len(word) / 1e6:.1f} MB: encoding {seconds(lambda: tokenizer.encode(word)):.2f} s, ", end="")
    print(f"training with it {seconds(lambda: tandem_tokenizer.train([word], 4096)):.2f} s")


def table(title: str, megabytes: float, taken: dict[str, float]) -> None:
    print(f"  {title}")
    for name, value in taken.items():
        print(f"    {name:<14}{megabytes / value:8.1f} MB/s")


if __name__ == "__main__":
    main()
