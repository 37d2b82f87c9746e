"""Indexing and searching passages, beside plain bm25s and tantivy: speed, memory, and whether the answers agree.

    python benchmarks/passages.py --passages 100000 --python VENV/bin/python --out table.md

Passages of about 100 words drawn from a Zipf vocabulary (exponent 1.05, 300,000 words, so that new words keep coming),
queries of 3 to 8 words drawn from it with the weights flattened, no two the same. Each engine runs in a fresh process;
indexing, opening, and searching are separate processes, repeated in turn, medians. VENV has `bm25s`, `numba` and
`tantivy`; ours runs in the running Python. bm25s gets its own tokenizer without stop words or stemming; tantivy its
default one, one thread for searching, as many as it likes for indexing. Bytes are private resident memory
(Pss of anonymous pages) at the end and the highest resident set on the way.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENGINES = ("tandem", "bm25s", "bm25s numba", "tantivy")
BEST = 10


def synthetic(path, n, seed=0):
    """Passages, one a line."""
    import numpy as np

    draws = np.random.default_rng(seed)
    size = 300_000
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    lengths = np.clip(draws.poisson(5, size) + 1, 2, 14)
    words = np.array(["".join(draws.choice(letters, k)) for k in lengths])
    weights = np.cumsum(1 / np.arange(1, size + 1) ** 1.05)
    with path.open("w") as out:
        for begin in range(0, n, 5000):
            amounts = np.clip(draws.normal(100, 25, min(5000, n - begin)), 20, 200).astype(int)
            picked = words[np.searchsorted(weights, draws.random(amounts.sum()) * weights[-1])]
            at = 0
            for amount in amounts:
                out.write(" ".join(picked[at : at + amount]).capitalize() + ".\n")
                at += amount
    flat = np.cumsum(1 / np.arange(1, size + 1) ** 0.7)
    queries = {}
    while len(queries) < 1000:
        k = int(draws.integers(3, 9))
        queries[" ".join(words[np.searchsorted(flat, draws.random(k) * flat[-1])])] = None
    return list(queries)


def ours_index(texts, folder):
    from tandem.sources.passages import About, Document, Origin, Passage, Writer

    with Writer(folder / "index") as writer, texts.open() as lines:
        documents = (Document(About(str(n)), [Passage(line.rstrip("\n"), n, n)]) for n, line in enumerate(lines, 1))
        writer.add(Origin("texts", "1"), documents)


def ours_search(texts, folder):
    from tandem.sources.passages import Index

    index = Index(folder / "index")
    return lambda query: [(hit.score / 2.2, hit.passage.first - 1) for hit in index.search(query, BEST)]


def bm25s_index(texts, folder):
    import bm25s

    held = [line.rstrip("\n") for line in texts.open()]
    tokens = bm25s.tokenize(held, stopwords=None, show_progress=False)
    engine = bm25s.BM25(k1=1.2, b=0.75)
    engine.index(tokens, show_progress=False)
    engine.save(folder / "index", corpus=[{"n": n, "text": text} for n, text in enumerate(held)], show_progress=False)


def bm25s_search(texts, folder, backend="numpy"):
    import bm25s

    engine = bm25s.BM25.load(folder / "index", load_corpus=True, mmap=True)
    engine.backend = backend
    if backend == "numba":
        engine.activate_numba_scorer()

    def search(query):
        tokens = bm25s.tokenize([query], stopwords=None, return_ids=False, show_progress=False)
        found, scores = engine.retrieve(tokens, k=BEST, show_progress=False, n_threads=0)
        return [(float(s), hit["n"]) for hit, s in zip(found[0], scores[0])]

    return search


def tantivy_schema():
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", stored=True)
    builder.add_integer_field("n", stored=True)
    return builder.build()


def tantivy_index(texts, folder):
    import tantivy

    (folder / "index").mkdir()
    index = tantivy.Index(tantivy_schema(), path=str(folder / "index"))
    writer = index.writer(heap_size=256 << 20)
    with texts.open() as lines:
        for n, line in enumerate(lines):
            writer.add_document(tantivy.Document(text=line.rstrip("\n"), n=n))
    writer.commit()
    writer.wait_merging_threads()


def tantivy_search(texts, folder):
    import tantivy

    index = tantivy.Index.open(str(folder / "index"))
    searcher = index.searcher()

    def search(query):
        hits = searcher.search(index.parse_query(query, ["text"]), BEST).hits
        return [(score, searcher.doc(address)["n"][0]) for score, address in hits]

    return search


INDEXING = {"tandem": ours_index, "bm25s": bm25s_index, "bm25s numba": bm25s_index, "tantivy": tantivy_index}
SEARCHING = {
    "tandem": ours_search,
    "bm25s": bm25s_search,
    "bm25s numba": lambda texts, folder: bm25s_search(texts, folder, "numba"),
    "tantivy": tantivy_search,
}


def anonymous():
    """Bytes of memory that is this process's own."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) << 10
    return 0


def child(action, engine, folder):
    """One measurement, told as JSON."""
    texts, own = folder / "texts", folder / engine.replace(" ", "-")
    began, cpu = time.perf_counter(), time.process_time()
    if action == "index":
        own.mkdir()
        INDEXING[engine](texts, own)
        told = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        told["disk"] = sum(p.stat().st_size for p in own.rglob("*") if p.is_file())
    else:
        queries = json.loads((folder / "queries.json").read_text())
        search = SEARCHING[engine](texts, own)
        opened = time.perf_counter() - began
        search(queries[0])  # loads, compiles
        began, cpu = time.perf_counter(), time.process_time()
        answers = [search(query) for query in queries]
        told = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "opened": opened}
        told["answers"] = answers
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps(told | {"peak": peak, "own": anonymous()}))


def measured(python, action, engine, folder):
    command = [python if engine != "tandem" else sys.executable, __file__, "--child", action, engine, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{engine}, {action}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def agreement(ours, theirs):
    """Share of queries whose best scores agree within a thousandth; equal scores may stand in any order."""
    same = 0
    for a, b in zip(ours, theirs):
        mine, other = [s for s, _ in a], [s for s, _ in b if s > 0]
        same += len(mine) == len(other) and all(abs(x - y) <= 1e-3 * max(1, y) for x, y in zip(mine, other))
    return same / len(ours)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--python", default=sys.executable, help="a Python that has bm25s, numba and tantivy")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=3, metavar=("ACTION", "ENGINE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.child[1], Path(options.child[2]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        queries = synthetic(folder / "texts", options.passages)
        (folder / "queries.json").write_text(json.dumps(queries))
        indexed = {engine: measured(options.python, "index", engine, folder) for engine in options.engines}
        rounds = [
            {engine: measured(options.python, "search", engine, folder) for engine in options.engines}
            for _ in range(options.rounds)
        ]
    lines = [
        f"{options.passages:,} passages, {len(queries):,} queries, the best {BEST}; median of {options.rounds} rounds",
        "",
        "| engine | passages/s | per CPU-second | peak MiB | disk MiB | open ms | queries/s | per CPU-second | own MiB | "  # noqa: E501
        "same scores |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for engine in options.engines:
        made, runs = indexed[engine], [r[engine] for r in rounds]
        middle = {k: statistics.median(run[k] for run in runs) for k in ("seconds", "cpu", "opened", "own")}
        cells = [
            f"{options.passages / made['seconds']:,.0f}",
            f"{options.passages / made['cpu']:,.0f}",
            f"{made['peak'] / (1 << 20):,.0f}",
            f"{made['disk'] / (1 << 20):,.0f}",
            f"{middle['opened'] * 1000:,.0f}",
            f"{len(queries) / middle['seconds']:,.0f}",
            f"{len(queries) / middle['cpu']:,.0f}",
            f"{middle['own'] / (1 << 20):,.0f}",
            f"{agreement(rounds[0]['tandem']['answers'], runs[0]['answers']):.1%}" if "tandem" in indexed else "",
        ]
        lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
