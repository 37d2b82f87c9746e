"""Training speed on one accelerator: 1B and 7B shapes at 2K, 4K, 8K; tokens/s, MFU, peak memory.

    python benchmarks/gpu.py                      all shapes and lengths that fit, on the best device there is
    python benchmarks/gpu.py --shapes 1B --contexts 2048 --steps 20
    python benchmarks/gpu.py --shapes tiny --contexts 256 --device cpu --peak 0.2     does the script itself work?

The loop is the one that trains (`tandem.train.loop.fit`): AdamW, clipping, matrix products in bf16 over fp32 weights,
chunked loss, rows of documents of about 1,000 tokens with attention inside them, or with --across over the whole row.
The tokens are random: speed does not depend on them. A step is timed from one progress report to the next, which waits
for the device; the first --warm steps are left out and the median of the rest is quoted. MFU = tokens/s × FLOPs per
token / peak; FLOPs = 6 × weights in matrix products + 12 × layers × width × context (the full attention square;
"causal" counts half of it; recomputation is not counted in either).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path

from tandem.decoder.threads import sleep_while_idle

sleep_while_idle()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from tandem.corpus.batches import Batch  # noqa: E402
from tandem.decoder import Decoder, Shape  # noqa: E402
from tandem.recipes.execute import choose_device, device_name  # noqa: E402
from tandem.train.loop import Settings, adamw, decoder_loss, fit  # noqa: E402
from tandem.train.schedule import Cosine  # noqa: E402


def shape(layers: int, width: int, heads: int, mlp: int, rows: int = 51_200) -> Shape:
    return Shape(
        vocabulary=rows,
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=heads,
        head_width=width // heads,
        mlp_width=mlp,
        context=8192,
    )


SHAPES = {
    "tiny": shape(2, 64, 4, 192, 512),
    "134M": shape(12, 768, 12, 2048),
    "1B": shape(16, 2048, 16, 5632),
    "7B": shape(32, 4096, 32, 11_008),  # XGen-7B
}
PEAKS = {"H200": 989, "H100": 989, "A100": 312}
"""Dense bf16 TFLOP/s by a part of the device's name."""


class Noise:
    """Random tokens in documents of about 1,000; a pure function of the step."""

    def __init__(self, vocabulary: int, rows: int, context: int, steps: int, across: bool) -> None:
        self.vocabulary, self.rows, self.context, self.steps, self.across = vocabulary, rows, context, steps, across

    def batch(self, step: int, first_row: int = 0, n_rows: int | None = None) -> Batch:
        rng = np.random.default_rng(step)
        size = (self.rows, self.context)
        tokens = rng.integers(0, self.vocabulary, size, dtype=np.int32)
        borders = np.zeros(size, np.int32) if self.across else (rng.random(size) < 1 / 1000).astype(np.int32)
        documents = np.cumsum(borders, axis=1, dtype=np.int32)
        return Batch(tokens, np.roll(tokens, -1, axis=1), documents, np.zeros(self.rows, np.int16))


def measure(name: str, context: int, options: argparse.Namespace, device: torch.device) -> dict[str, object]:
    """Median step of one shape at one length."""
    torch.manual_seed(0)
    with torch.device("meta"):
        model = Decoder(SHAPES[name])
    model = model.to_empty(device=device)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.02) if weight.dim() > 1 else weight.fill_(1.0)
    model.compute = torch.bfloat16
    model.recompute = options.recompute == "yes" or (options.recompute == "auto" and name == "7B")
    rows = max(1, options.batch // context)
    batches = Noise(SHAPES[name].vocabulary, rows, context, options.warm + options.steps, options.across)
    settings = Settings(micro_tokens=options.micro or (context if name == "7B" else max(context, 16_384)))
    stamps: list[float] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    fit(
        model,
        batches,
        adamw(model, settings),
        Cosine(3e-4, 2000, 100_000),
        settings,
        loss=decoder_loss,
        on_progress=lambda _: stamps.append(time.perf_counter()),
    )
    seconds = [b - a for a, b in zip([began, *stamps], stamps)][options.warm :]
    speed = rows * context / statistics.median(seconds)
    found = SHAPES[name]
    peak = options.peak * 1e12 if options.peak else None
    mfu = {
        kind: speed * found.flops_per_token(context, causal=kind == "causal") / peak if peak else None
        for kind in ("full", "causal")
    }
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    return {
        "shape": name,
        "parameters": found.parameters(),
        "context": context,
        "batch": rows * context,
        "micro": settings.micro_tokens,
        "recompute": model.recompute,
        "tokens_per_second": speed,
        "slowest": rows * context / max(seconds),
        "fastest": rows * context / min(seconds),
        "mfu": mfu,
        "peak_gib": memory,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=["134M", "1B", "7B"], choices=list(SHAPES))
    parser.add_argument("--contexts", nargs="+", type=int, default=[2048, 4096, 8192])
    parser.add_argument("--batch", type=int, default=131_072, help="tokens per optimiser step")
    parser.add_argument("--micro", type=int, default=0, help="tokens per pass (default: 16,384; one row at 7B)")
    parser.add_argument("--steps", type=int, default=8, help="measured steps")
    parser.add_argument("--warm", type=int, default=3, help="steps before them")
    parser.add_argument("--recompute", default="auto", choices=["auto", "yes", "no"])
    parser.add_argument("--across", action="store_true", help="attention over the whole row, documents or not")
    parser.add_argument("--peak", type=float, help="dense bf16 peak of the device, TFLOP/s (default: by its name)")
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    device = choose_device(options.device)
    name = device_name(device)
    options.peak = options.peak or next((peak for part, peak in PEAKS.items() if part in name), None)
    print(f"{name}, torch {torch.__version__}, {platform.python_version()}; peak {options.peak or 'unknown'} TFLOP/s")
    print(f"{'shape':>6} {'context':>7} {'tokens/s':>10} {'slow–fast':>17} {'MFU full/causal':>16} {'peak GiB':>9}")
    results = []
    for shape_name in options.shapes:
        for context in options.contexts:
            try:
                found = measure(shape_name, context, options, device)
            except torch.OutOfMemoryError:
                print(f"{shape_name:>6} {context:>7,} out of memory")
                results.append({"shape": shape_name, "context": context, "error": "out of memory"})
                continue
            finally:
                if device.type == "cuda":
                    torch.cuda.empty_cache()
            results.append(found)
            mfu = found["mfu"]
            shown = f"{mfu['full']:.1%} / {mfu['causal']:.1%}" if options.peak else "–"
            memory = f"{found['peak_gib']:.1f}" if found["peak_gib"] else "–"
            spread = f"{found['slowest']:,.0f}–{found['fastest']:,.0f}"
            row = f"{shape_name:>6} {context:>7,} {found['tokens_per_second']:>10,.0f}"
            print(f"{row} {spread:>17} {shown:>16} {memory:>9}")
    if options.out:
        options.out.write_text(
            json.dumps({"device": name, "torch": torch.__version__, "results": results}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
