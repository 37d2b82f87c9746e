"""A step of tuning on a schema and the pairs behind it: attention part by part, against one mask over the whole row.

    python benchmarks/branches.py [--trunk 830] [--branches 10] [--length 120] [--rounds 3] [--precision bf16]

The embedded model with LoRA of rank 16, one row of random tokens: a trunk, branches that each see it and themselves,
one thread. Forward and backward by either way in turn; processor seconds, medians. Losses of both are printed: in fp32
they are the same but for rounding.
"""

import argparse
import statistics
import time

import torch

from tandem import decoder
from tandem.decoder import adapters, branches
from tandem.decoder.attention import Visible
from tandem.lm.locate import locate
from tandem.train.branched import loss


def masked(documents, positions, window):
    """What `branches.visible` gives on other devices."""
    at = torch.arange(documents.shape[1])
    seen = (documents[:, :, None] == documents[:, None, :]) | (documents[:, None, :] == branches.TRUNK)
    return Visible(causal=False, mask=(seen & (at[:, None] >= at[None, :]))[:, None])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", type=int, default=830)
    parser.add_argument("--branches", type=int, default=10)
    parser.add_argument("--length", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = decoder.load(locate("embedded"), dtype=torch.float32, device=torch.device("cpu"))
    model.compute = torch.bfloat16 if options.precision == "bf16" else None
    adapters.attach(model, adapters.LoRA(16, 32.0, 0.0), seed=0)
    size = options.trunk + options.branches * options.length
    numbers = [0] * options.trunk + [n + 1 for n in range(options.branches) for _ in range(options.length)]
    documents = torch.tensor([numbers])
    tokens = torch.randint(0, model.shape.vocabulary, (1, size))
    targets = torch.full((1, size), -100).index_fill_(1, torch.arange(options.trunk, size, 2), 5)
    ways = {"mask": masked, "parts": branches.visible}
    took = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            branches.visible = way
            began = time.process_time()
            total = loss()(model, tokens, targets, documents)
            total.backward()
            took[name].append(time.process_time() - began)
            print(f"{name}: {took[name][-1]:.1f} s, loss {total.item():.2f}", flush=True)
    mask, parts = (statistics.median(took[name]) for name in ("mask", "parts"))
    print(f"{size:,} tokens: {mask:.1f} s by a mask, {parts:.1f} s part by part: {mask / parts:.2f} ×")


if __name__ == "__main__":
    main()
