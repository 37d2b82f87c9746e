"""`tandem convert` from the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from gguf_sample import random_model, trained, write_gguf
from tandem import decoder, tokenizer
from tandem.cli.main import main
from tandem.decoder import adapters

os.environ.setdefault("HF_HUB_OFFLINE", "1")
IDS = torch.randint(3, 300, (2, 20), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A Hugging Face folder with a tokenizer and settings of its own."""
    decoder.save(random_model(), tmp_path / "base")
    trained().save(tmp_path / "base")
    (tmp_path / "base/generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7], "temperature": 0.3}))
    return tmp_path / "base"


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    model = decoder.load(base)
    adapters.attach(model, adapters.LoRA(rank=4), seed=1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.normal_(std=0.1)
    adapters.save(model, tmp_path / "adapter", base=str(base))
    return tmp_path / "adapter"


def adapted(base: Path, adapter: Path) -> torch.Tensor:
    model = decoder.load(base)
    adapters.load(model, adapter)
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(IDS)
    return logits


def test_a_gguf_file_becomes_a_folder_and_the_command_says_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_gguf(tmp_path / "m.gguf", kind=Kind.Q8_0)
    assert main(["convert", str(path), "--out", str(tmp_path / "out"), "--dtype", "bfloat16"]) == 0
    out = capsys.readouterr().out
    model = decoder.load(tmp_path / "out")
    assert model.dtype == torch.bfloat16
    assert f"{model.shape.parameters():,} parameters in bfloat16" in out
    assert "from m.gguf: Q8_0 × 16, F32 × 5 tensors" in out
    assert tokenizer.load(tmp_path / "out").chat_template


def test_an_adapter_is_merged_into_the_weights(base: Path, adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["convert", str(base), "--adapter", str(adapter), "--merge", "--out", str(out)]) == 0
    with torch.no_grad():
        torch.testing.assert_close(decoder.load(out).eval()(IDS), adapted(base, adapter), rtol=1e-4, atol=1e-4)
    assert not (out / "adapter").exists()


def test_an_adapter_that_is_not_merged_stands_beside_the_model(base: Path, adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["convert", str(base), "--adapter", str(adapter), "--out", str(out)]) == 0
    assert torch.equal(adapted(out / "model", out / "adapter"), adapted(base, adapter))
    named = json.loads((out / "adapter/adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(named) == out / "model"


def test_peft_loads_a_gguf_model_and_the_adapter_beside_it(adapter: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    out = tmp_path / "out"
    path = write_gguf(tmp_path / "m.gguf")
    assert main(["convert", str(path), "--adapter", str(adapter), "--out", str(out)]) == 0
    theirs = peft.AutoPeftModelForCausalLM.from_pretrained(out / "adapter").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(IDS).logits, adapted(out / "model", adapter), rtol=1e-4, atol=1e-4)


def test_a_folder_keeps_its_dtype_its_tokenizer_and_its_settings(base: Path, adapter: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    assert main(["convert", str(base), "--dtype", "bfloat16", "--out", str(half)]) == 0
    out = tmp_path / "out"
    assert main(["convert", str(half), "--adapter", str(adapter), "--merge", "--out", str(out)]) == 0
    assert decoder.load(out).dtype == torch.bfloat16
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (out / name).read_bytes() == (base / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{base}", "--merge"], "--adapter"),
        (["{base}", "--adapter", "nowhere"], "adapter_config.json"),
        (["nowhere"], "nowhere"),
        (["nowhere.gguf"], "nowhere.gguf: there is no such file"),
        (["{base}/config.json"], "not a GGUF file"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_written(
    arguments: list[str], words: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument.format(base=base) for argument in arguments]
    assert main(["convert", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base"]


def test_a_weight_beyond_float16_is_named_instead_of_becoming_infinite(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = decoder.load(base)
    with torch.no_grad():
        model.norm.weight[3] = 1e5
    decoder.save(model, tmp_path / "large")
    assert main(["convert", str(tmp_path / "large"), "--dtype", "float16", "--out", str(tmp_path / "out")]) == 2
    assert "model.norm.weight" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_not_touched(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    assert main(["convert", str(base), "--out", str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
