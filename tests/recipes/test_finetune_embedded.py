"""The embedded model tuned on real instructions with LoRA: lower loss, and an adapter that everybody reads alike."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest
import torch

from tandem import tokenizer
from tandem.cli.main import main
from tandem.lm.local import Local
from tandem.runs import read_results
from tandem.types import Text

DATA = Path(__file__).parents[3] / "shared" / "data" / "instructions" / "code_alpaca_2k.jsonl.gz"
CONTEXT, CHOICES = "def add(a, b):\n    return", [" a + b", " b", " None\n\n"]


@pytest.mark.slow
def test_lora_on_real_instructions_lowers_the_loss_and_its_adapter_is_read_alike_by_peft_and_the_engine(
    embedded_folder, tmp_path
):
    if not DATA.is_file():
        pytest.skip(f"needs the instruction file {DATA}")
    peft = pytest.importorskip("peft", reason="needs the extra hf")
    transformers = pytest.importorskip("transformers", reason="needs the extra hf")
    with gzip.open(DATA, "rt") as lines:
        rows = [row for row in map(json.loads, lines) if row["output"]][:150]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["tune", "--model", "embedded", "--data", str(tmp_path / "data.jsonl"), "--out", str(tmp_path / "run")]
    more = ["--lora", "8", "--context", "256", "--rows", "2", "--epochs", "1", "--held-out", "0.2", "--device", "cpu"]
    assert main([*arguments, *more]) == 0
    before, after = (figure.value for figure in read_results(tmp_path / "run").headline)
    assert after < before - 0.02

    (adapter,) = (tmp_path / "run").glob("*-tune/adapter")
    base = transformers.AutoModelForCausalLM.from_pretrained(embedded_folder, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, adapter).eval()
    made = tokenizer.load(embedded_folder)
    model = Local.load(embedded_folder, adapter=adapter, precision="fp32", device="cpu")

    async def ask():
        scores = await model.score(Text(CONTEXT), CHOICES)
        await model.close()
        return scores

    for choice, score in zip(CHOICES, asyncio.run(ask()), strict=True):
        ids, start = made.encode(CONTEXT + choice), len(made.encode(CONTEXT))
        with torch.no_grad():
            likely = torch.log_softmax(theirs(torch.tensor([ids])).logits[0].float(), -1)
        want = sum(float(likely[p - 1, ids[p]]) for p in range(start, len(ids)))
        assert score.logprob == pytest.approx(want, abs=2e-3)
