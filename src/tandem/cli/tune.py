"""`tandem tune --model DIR --data chat.jsonl --out DIR`: instruction-tune a model on conversations."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem tune`."""
    add = parser.add_argument
    add("--model", required=True, help="a Hugging Face folder (hf:DIR or DIR), a run's folder, or embedded")
    add(
        "--data",
        required=True,
        nargs="+",
        metavar="FILE",
        help="chat JSONL, Alpaca JSON, ShareGPT, prompt pairs; .gz too",
    )
    add("--out", required=True, type=Path, help="run folder for the tuned model and its report")
    add("--template", default="own", choices=["own", "xgen", "fastchat"], help="chat form (default: the model's own)")
    add(
        "--lora",
        type=int,
        default=0,
        metavar="RANK",
        nargs="?",
        const=16,
        help="tune a LoRA adapter (rank 16 if none given)",
    )
    add("--alpha", type=float, default=0.0, help="LoRA's alpha (default: twice the rank)")
    add("--dropout", type=float, default=0.0, help="LoRA's dropout (default: 0)")
    add("--epochs", type=float, default=3.0, help="times each conversation is seen (default: 3)")
    add("--context", type=int, default=0, help="tokens per packed row (default: 2048 or the model's, if less)")
    add("--rows", type=int, default=8, help="rows per step (default: 8)")
    add("--peak", type=float, default=None, help="highest learning rate (default: 2e-5, with LoRA 2e-4)")
    add("--precision", default="fp32", choices=["fp32", "bf16"], help="arithmetic of the products (default: fp32)")
    add("--held-out", type=float, default=0.05, help="share of conversations held out (default: 0.05)")
    add("--on-bad", default="error", choices=["error", "skip"], help="what to do with unusable conversations")
    add("--seed", type=int, default=0, help="seed of splits, order and adapter (default: 0)")
    add("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    add("--threads", type=int, help="CPU threads (default: all cores)")


def run(options: argparse.Namespace) -> int:
    """Tune, and say where model and report are."""
    from tandem.cli.progress import watcher
    from tandem.recipes import finetune

    job = finetune.Finetune(
        model=options.model,
        data=tuple(options.data),
        template=options.template,
        context=options.context,
        rows=options.rows,
        epochs=options.epochs,
        peak=options.peak if options.peak is not None else (2e-4 if options.lora else 2e-5),
        precision=options.precision,
        held_out=options.held_out,
        seed=options.seed,
        lora=options.lora,
        alpha=options.alpha,
        dropout=options.dropout,
        on_bad=options.on_bad,
    )
    with watcher() as watch:
        results = finetune.run(job, options.out, watch=watch, device=options.device, threads=options.threads)
    print(
        f"\n{results.lead}\n\nModel:  {options.out / finetune.STAGE / 'model'}\nReport: {options.out / 'report.html'}"
    )
    return 0
