"""Training speed on a CPU: Tandem's step against `transformers` + Trainer and a plain loop in the style of nanoGPT.

    python benchmarks/training.py [--shape small|medium] [--threads 2] [--rounds 5] [--steps 3] [--dtype float32]

Same shape, same random tokens, same dtype, same optimiser settings (AdamW 0.9/0.95, decay 0.1, clipping at 1). Each
contender is a process of its own, so that memory settings and peak memory are its own; they take turns, `--steps` at a
time, and the median over the rounds counts. `--documents N` gives our side documents of about N tokens (the peers have
no such thing and attend across them). Tokens per second are wall-clock; `--clock cpu` counts processor time instead,
which is steadier on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

SHAPES = {
    "tiny": {"vocabulary": 4096, "width": 96, "layers": 4, "heads": 3, "mlp": 256, "context": 256},
    "small": {"vocabulary": 4096, "width": 192, "layers": 4, "heads": 6, "mlp": 512, "context": 256},
    "medium": {"vocabulary": 4096, "width": 384, "layers": 6, "heads": 6, "mlp": 1024, "context": 512},
}
BATCH = 8192
"""Tokens per optimiser step."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--documents", type=int, default=0)
    parser.add_argument("--micro", type=int, default=0, help="our tokens per micro-batch (0: as the loop chooses)")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        serve(options)
    else:
        compare(options)


# ── The referee ─────────────────────────────────────────────────────────────────────────────────────────────────────


def compare(options: argparse.Namespace) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1"}
    players = {
        name: subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--contender", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in options.only
    }
    rates: dict[str, list[float]] = {name: [] for name in players}
    peaks: dict[str, int] = {}
    try:
        for _ in range(options.rounds + 1):
            for name, player in players.items():
                assert player.stdin is not None and player.stdout is not None
                player.stdin.write("go\n")
                player.stdin.flush()
                while not (line := player.stdout.readline()).startswith('{"seconds"'):
                    assert line, f"{name} ended early"
                answer = json.loads(line)
                rates[name].append(options.steps * BATCH / answer["seconds"])
                peaks[name] = answer["peak"]
    finally:
        for player in players.values():
            player.kill()
            player.wait()
    print(f"shape {options.shape} {SHAPES[options.shape]}, {BATCH} tokens a step, {options.dtype}, ", end="")
    print(f"{options.threads} threads, {options.clock} clock, documents {options.documents or 'no'}")
    ours = statistics.median(rates["tandem"][1:]) if "tandem" in rates else None
    for name, values in rates.items():
        kept = values[1:]  # the first round warms up
        median = statistics.median(kept)
        ratio = f"  tandem is {ours / median:.2f} x" if ours and name != "tandem" else ""
        spread = f"{min(kept):.0f}-{max(kept):.0f}"
        print(f"{name:14s}{median:8.0f} tokens/s  ({spread})  peak {peaks[name] / 2**20:6.0f} MiB{ratio}")


def serve(options: argparse.Namespace) -> None:
    """A contender: waits for a line, makes `--steps` steps, reports, waits again."""
    clock = time.process_time if options.clock == "cpu" else time.perf_counter

    def turns() -> Iterator[None]:
        while sys.stdin.readline():
            start = clock()
            for _ in range(options.steps):
                yield
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            print(json.dumps({"seconds": clock() - start, "peak": peak}), flush=True)

    CONTENDERS[options.contender](options, turns())


def batches(shape: dict[str, int]) -> Iterator[Any]:
    """Endless random rows (B, T + 1), the same for all."""
    import torch

    generator = torch.Generator().manual_seed(0)
    while True:
        rows = BATCH // shape["context"]
        yield torch.randint(0, shape["vocabulary"], (rows, shape["context"] + 1), generator=generator)


# ── The contenders ──────────────────────────────────────────────────────────────────────────────────────────────────


def tandem(options: argparse.Namespace, turns: Iterator[None]) -> None:
    from tandem.decoder.threads import sleep_while_idle

    assert sleep_while_idle()
    import numpy as np
    import torch

    from tandem.corpus.batches import Batch
    from tandem.decoder import Decoder, Shape
    from tandem.decoder.memory import keep_freed_memory
    from tandem.train.loop import Settings, adamw, fit

    torch.set_num_threads(options.threads)
    keep_freed_memory()
    s = SHAPES[options.shape]
    shape = Shape(
        vocabulary=s["vocabulary"],
        layers=s["layers"],
        width=s["width"],
        heads=s["heads"],
        kv_heads=s["heads"],
        head_width=s["width"] // s["heads"],
        mlp_width=s["mlp"],
        context=s["context"],
    )
    model = Decoder(shape)
    model.compute = torch.bfloat16 if options.dtype == "bfloat16" else None
    settings = Settings(micro_tokens=options.micro)

    class Rows:
        """The same random rows as the others', as batches of the loop that trains."""

        rows, context, steps = BATCH // s["context"], s["context"], 10**9
        made = batches(s)

        def batch(self, step: int, first_row: int = 0, n_rows: int | None = None) -> Batch:
            rows = next(self.made).numpy().astype(np.int32)
            tokens, targets = rows[:, :-1].copy(), rows[:, 1:].copy()
            documents = np.zeros_like(tokens)
            if options.documents:
                first = np.random.default_rng(step).integers(0, options.documents, (len(rows), 1))
                documents = ((np.arange(self.context) + first) // options.documents).astype(np.int32)
                documents -= documents[:, :1].copy()
                targets[:, :-1][documents[:, 1:] != documents[:, :-1]] = -100
            return Batch(tokens, targets, documents, np.zeros(len(rows), np.int16))

    def rate(step: int) -> float:
        next(turns)  # asked for once at the beginning of each step
        return 3e-4

    fit(model, Rows(), adamw(model, settings), rate, settings)


def plain(options: argparse.Namespace, turns: Iterator[None]) -> None:
    """What one writes on an afternoon: one file, torch's own modules, SDPA, the whole batch at once."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(options.threads)
    s = SHAPES[options.shape]
    width, heads, context = s["width"], s["heads"], s["context"]
    angles = torch.outer(torch.arange(context), 10000.0 ** -(torch.arange(0, width // heads, 2) / (width // heads)))
    cos, sin = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()

    def turn(x: Any) -> Any:
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.RMSNorm(width, 1e-6), nn.RMSNorm(width, 1e-6)
            self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
            self.gate, self.up = nn.Linear(width, s["mlp"], bias=False), nn.Linear(width, s["mlp"], bias=False)
            self.down = nn.Linear(s["mlp"], width, bias=False)

        def forward(self, x: Any) -> Any:
            b, t, _ = x.shape
            q, k, v = (z.view(b, t, heads, -1).transpose(1, 2) for z in self.qkv(self.norm1(x)).chunk(3, -1))
            y = F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, width))
            y = self.norm2(x)
            return x + self.down(F.silu(self.gate(y)) * self.up(y))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(s["vocabulary"], width)
            self.blocks = nn.ModuleList(Block() for _ in range(s["layers"]))
            self.norm, self.head = nn.RMSNorm(width, 1e-6), nn.Linear(width, s["vocabulary"], bias=False)

        def forward(self, ids: Any, targets: Any) -> Any:
            x = self.embedding(ids)
            for block in self.blocks:
                x = block(x)
            logits = self.head(self.norm(x))
            return F.cross_entropy(logits.view(-1, logits.size(-1)).float(), targets.reshape(-1))

    model = Model()
    optimiser = torch.optim.AdamW(model.parameters(), 3e-4, (0.9, 0.95), weight_decay=0.1, fused=True)
    for _, rows in zip(turns, batches(s), strict=False):
        with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bfloat16"):
            loss = model(rows[:, :-1], rows[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def trainer(options: argparse.Namespace, turns: Iterator[None]) -> None:
    """`transformers`: LlamaForCausalLM under its Trainer, settings as its documentation has them."""
    import tempfile

    import torch
    import transformers

    torch.set_num_threads(options.threads)
    s = SHAPES[options.shape]
    config = transformers.LlamaConfig(
        vocab_size=s["vocabulary"],
        hidden_size=s["width"],
        num_hidden_layers=s["layers"],
        num_attention_heads=s["heads"],
        intermediate_size=s["mlp"],
        max_position_embeddings=s["context"],
        use_cache=False,
    )

    class Rows(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            for rows in batches(s):
                for row in rows[:, :-1]:
                    yield {"input_ids": row, "labels": row}

    class Turn(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if next(turns, self) is self:
                os._exit(0)

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH // s["context"],
            max_steps=10**9,
            learning_rate=3e-4,
            adam_beta2=0.95,
            weight_decay=0.1,
            max_grad_norm=1.0,
            bf16=options.dtype == "bfloat16",
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_steps=10**6,
            disable_tqdm=True,
        )
        model = transformers.LlamaForCausalLM(config)
        transformers.Trainer(model, arguments, train_dataset=Rows(), callbacks=[Turn()]).train()


CONTENDERS: dict[str, Callable[[argparse.Namespace, Iterator[None]], None]] = {
    "tandem": tandem,
    "plain": plain,
    "transformers": trainer,
}

if __name__ == "__main__":
    main()
