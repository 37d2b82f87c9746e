"""Generating on a CPU with the embedded model: Tandem's engine beside transformers and llama.cpp.

    python benchmarks/sampling.py shared     # 10 samples of 128 tokens of 20 prompts, 600 of ~700 tokens alike
    python benchmarks/sampling.py plain      # 32 prompts of 64 tokens, 64 new tokens each, nothing shared
    python benchmarks/sampling.py single     # one answer of 128 tokens

Peers: `transformers` generate (num_return_sequences; the plain batch padded), its continuous batching (generate_batch),
and llama-cpp-python on the same GGUF file, driven through its low-level interface (the shared prefix read once, copied
to all sequences). Temperature 0.8, end marks ignored, random prompts. The peers of `shared` take `--peer-prompts` of
the 20 prompts (2; 20 for all), since each of their prompts costs the same. Ours twice: as `local:` loads it (bfloat16
where the processor has it) and in float32. Tokens per second are new tokens by wall clock; medians over the rounds. On
a card: `--device cuda --peer-dtype bfloat16`, and `--model 1b` for a random model of 1.1 B parameters (llama.cpp is
left out).
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable, Mapping

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numpy as np
from contest import contender, load, median, referee

VOCABULARY = 49_152
CONTENDERS = ("tandem", "tandem fp32", "transformers", "continuous", "llama.cpp")


def prompts(options: argparse.Namespace, name: str) -> tuple[list[list[int]], int, int]:
    """Prompts of this contender, samples of each, new tokens of each sample."""
    rng = np.random.default_rng(7)

    def draw(n: int) -> list[int]:
        return [int(i) for i in rng.integers(1_000, VOCABULARY, n)]

    if options.what == "shared":
        prefix = draw(600)
        made = [prefix + draw(int(n)) for n in rng.integers(80, 121, 20)]
        return made[: len(made) if name.startswith("tandem") else options.peer_prompts], 10, 128
    if options.what == "plain":
        return [draw(64) for _ in range(32)], 1, 64
    return [draw(64)], 1, 128


SHAPE_1B = {"width": 2048, "layers": 22, "heads": 32, "kv_heads": 4, "head_width": 64, "mlp_width": 5632}
"""TinyLlama's sizes."""


def tandem(options: argparse.Namespace, precision: str) -> Callable[[], Mapping[str, float]]:
    import torch

    from tandem.decoder import Decoder, Shape
    from tandem.decoder.engine import Engine
    from tandem.decoder.jobs import Writing
    from tandem.decoder.sampling import Rule
    from tandem.lm import embedded
    from tandem.lm.local import Local
    from tandem.lm.serving import Serving

    if options.model == "embedded":
        engine = Local.load(embedded.folder(), precision=precision, device=options.device).engine
    else:
        with torch.device(options.device):
            model = Decoder(Shape(vocabulary=VOCABULARY, context=2048, **SHAPE_1B)).eval().requires_grad_(False)
        engine = Engine(model.to(torch.float32 if precision == "fp32" else torch.bfloat16), memory=16 << 30)
    serving = Serving(engine)
    wanted, samples, new = prompts(options, "tandem")

    async def ask() -> None:
        jobs = [Writing(p, new, print, samples=range(samples), rule=Rule(0.8)) for p in wanted]
        await asyncio.gather(*(serving.write(job) for job in jobs))

    def work() -> Mapping[str, float]:
        engine.tree.clear()
        before = engine.tokens_computed
        asyncio.run(ask())
        return {"tokens": len(wanted) * samples * new, "computed": engine.tokens_computed - before}

    return work


def transformers(options: argparse.Namespace, continuous: bool) -> Callable[[], Mapping[str, float]]:
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig

    from tandem.lm import embedded

    dtype = getattr(torch, options.peer_dtype)
    if options.model == "embedded":
        model = AutoModelForCausalLM.from_pretrained(embedded.folder(), dtype=dtype)
    else:
        config = LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=SHAPE_1B["width"], intermediate_size=SHAPE_1B["mlp_width"],
            num_hidden_layers=SHAPE_1B["layers"], num_attention_heads=SHAPE_1B["heads"],
            num_key_value_heads=SHAPE_1B["kv_heads"],
        )  # fmt: skip
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model = model.eval().to(options.device)
    wanted, samples, new = prompts(options, "transformers")
    settings = {"max_new_tokens": new, "do_sample": True, "temperature": 0.8, "top_k": 0, "top_p": 1.0}

    def work() -> Mapping[str, float]:
        if continuous:
            made = GenerationConfig(**settings, eos_token_id=-1, pad_token_id=2)
            rows = [p for p in wanted for _ in range(samples)]
            outputs = model.generate_batch(rows, generation_config=made)
            return {"tokens": sum(len(o.generated_tokens) for o in outputs.values())}
        count = 0
        with torch.inference_mode():
            batches = [[p] for p in wanted] if samples > 1 else [wanted]
            for batch in batches:
                ids = torch.tensor(batch, device=options.device)
                out = model.generate(
                    ids, attention_mask=torch.ones_like(ids), num_return_sequences=samples, min_new_tokens=new,
                    pad_token_id=2, **settings,
                )  # fmt: skip
                count += out.shape[0] * (out.shape[1] - ids.shape[1])
        return {"tokens": count}

    return work


def llama(options: argparse.Namespace) -> Callable[[], Mapping[str, float]]:
    """llama.cpp's batches: sequences share the cells of the common prefix, one decode call per token of all."""
    import llama_cpp

    from tandem.lm import embedded

    wanted, samples, new = prompts(options, "llama.cpp")
    rows = len(wanted) * samples
    common = 600 if options.what == "shared" else 0
    llama_cpp.llama_backend_init()
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, None)
    setup = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(str(embedded.gguf_file()).encode(), setup)
    sizes = llama_cpp.llama_context_default_params()
    sizes.n_ctx = common + sum(len(p) - common for p in wanted) + rows * (new + 8) + 64
    sizes.n_batch = sizes.n_ubatch = 512
    sizes.n_seq_max = rows + 1
    sizes.kv_unified = True
    sizes.n_threads = sizes.n_threads_batch = options.threads
    context = llama_cpp.llama_init_from_model(model, sizes)
    memory = llama_cpp.llama_get_memory(context)
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_temp(0.8))
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_dist(1))
    batch = llama_cpp.llama_batch_init(512, 0, 1)

    def decode(tokens: list[tuple[int, int, int, bool]]) -> None:
        for at in range(0, len(tokens), 512):
            some = tokens[at : at + 512]
            batch.n_tokens = len(some)
            for i, (token, position, sequence, wants) in enumerate(some):
                batch.token[i], batch.pos[i] = token, position
                batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, sequence, wants
            if llama_cpp.llama_decode(context, batch) != 0:
                raise RuntimeError("llama_decode failed")

    def work() -> Mapping[str, float]:
        assert quiet  # as long as the library may call it
        llama_cpp.llama_memory_clear(memory, True)
        if common:
            decode([(t, i, rows, False) for i, t in enumerate(wanted[0][:common])])
        last: dict[int, int] = {}
        for n, prompt in enumerate(wanted):
            first = n * samples
            if common:
                llama_cpp.llama_memory_seq_cp(memory, rows, first, 0, common)
            rest = [(t, common + i, first, False) for i, t in enumerate(prompt[common:-1])]
            decode(rest)
            for k in range(first + 1, first + samples):
                llama_cpp.llama_memory_seq_cp(memory, first, k, 0, len(prompt) - 1)
            last |= dict.fromkeys(range(first, first + samples), prompt[-1])
        place = {k: len(wanted[k // samples]) - 1 for k in last}
        for _ in range(new):
            decode([(last[k], place[k], k, True) for k in range(rows)])
            for k in range(rows):
                last[k] = llama_cpp.llama_sampler_sample(chain, context, k)
                place[k] += 1
        return {"tokens": rows * new}

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["shared", "plain", "single"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=int, default=1, help="turns that are not counted")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peer-prompts", type=int, default=2)
    parser.add_argument("--peer-dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="embedded", choices=["embedded", "1b"])
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender is None:
        turns = referee(__file__, options.only, options.rounds, options.threads, options.warm_up)
        print(f"{options.what}, {load()}")
        first = None
        for name, results in turns.items():
            speed = median([{"v": r["tokens"] / r["seconds"]} for r in results], "v")
            first = first or speed
            work = median([{"v": r["tokens"] / r["cpu"]} for r in results], "v")
            print(
                f"{name:<14}{speed:9.1f} tokens/s  {work:7.1f} per processor second  {median(results, 'MiB'):6.0f} MiB "
                f"{CONTENDERS[0]} is {first / speed:.2f} x"
            )
        return
    makers: dict[str, Callable[[], Callable[[], Mapping[str, float]]]] = {
        "tandem": lambda: tandem(options, "auto"),
        "tandem fp32": lambda: tandem(options, "fp32"),
        "transformers": lambda: transformers(options, continuous=False),
        "continuous": lambda: transformers(options, continuous=True),
        "llama.cpp": lambda: llama(options),
    }
    contender(makers[options.contender]())


if __name__ == "__main__":
    main()
