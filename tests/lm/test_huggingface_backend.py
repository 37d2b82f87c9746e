import asyncio
import inspect
import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tandem import decoder
from tandem import tokenizer as tokenizers
from tandem.decoder.sampling import Rule, choose, stream_of, uniform
from tandem.errors import Failure, UserError
from tandem.lm.growing import Growing, speller, watching
from tandem.lm.hf import HuggingFace
from tandem.lm.hf.jobs import Generation, Row
from tandem.lm.hf.padded import BATCH_TOKENS
from tandem.types import LM, Chat, Message, Sampling, Text, Usage

transformers = pytest.importorskip("transformers", reason="needs the extra hf")

CONTEXT = 96
WORDS = "Karo lies in Lusta, a country of rivers. Miro lies in Tama. çà et là, naïve façades — 你好."
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
SHAPES = {
    "gpt2": {"n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "seq_length": CONTEXT},
    "codegen": {"n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "n_ctx": CONTEXT},
    "llama": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
    },
    "mamba": {"hidden_size": 32, "state_size": 4, "num_hidden_layers": 2, "tie_word_embeddings": False},
}
PROMPTS = ["Karo lies", "Lusta is a country of rivers. Miro", "çà", "Tama. 你"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tokenizers.train([WORDS] * 20, 320)
    made.chat_template = TEMPLATE
    places = {}
    for name, shape in SHAPES.items():
        torch.manual_seed(7)
        config = transformers.AutoConfig.for_model(
            name, vocab_size=made.vocabulary, bos_token_id=made.end, eos_token_id=made.end, pad_token_id=None, **shape
        )
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():  # a fresh model is nearly uniform, or nearly sure: make its preferences plain
            model.get_output_embeddings().weight.mul_(2 / model(torch.arange(20)[None]).logits.std())
        places[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(places[name])
        made.save(places[name])
    return places


@pytest.fixture(scope="module")
def backends(folders):
    loaded = {name: HuggingFace.load(folder, device="cpu") for name, folder in folders.items()}
    yield loaded
    for backend in loaded.values():
        asyncio.run(backend.close())


@pytest.fixture(scope="module")
def references(folders):
    return {
        name: transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        for name, folder in folders.items()
    }


def ask(backend, *prompts, sampling=None, samples=range(1)):
    async def all_at_once():
        return await asyncio.gather(
            *(backend.generate(Text(p) if isinstance(p, str) else p, sampling or Sampling(), samples) for p in prompts)
        )

    return asyncio.run(all_at_once())


def score(backend, *pairs, **options):
    async def all_at_once():
        return await asyncio.gather(*(backend.score(Text(c), continuations, **options) for c, continuations in pairs))

    return asyncio.run(all_at_once())


def plain_pass(model, ids):
    """Log-probabilities after each position of one text alone."""
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), -1)


def test_it_is_a_language_model(backends):
    assert isinstance(backends["gpt2"], LM)


@pytest.mark.parametrize("name", SHAPES)
def test_greedy_answers_of_a_padded_batch_are_those_of_transformers_one_by_one(backends, references, name):
    backend, made = backends[name], backends[name].wording.tokenizer
    answers = ask(backend, *PROMPTS, sampling=Sampling(max_tokens=12))
    for prompt, (answer,) in zip(PROMPTS, answers, strict=True):
        ids = torch.tensor([made.encode(prompt)])
        new = references[name].generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        written = [i for i in new.tolist() if i != made.end]
        assert answer.text == made.decode(written)
        assert answer.finish == ("stop" if made.end in new.tolist() else "length")


@pytest.mark.parametrize("name", SHAPES)
def test_samples_do_not_depend_on_what_else_is_in_the_batch(backends, name):
    sampling = Sampling(temperature=1.0, top_p=0.9, max_tokens=10, seed=5)
    together = ask(backends[name], *PROMPTS, sampling=sampling, samples=range(4))
    alone = [ask(backends[name], p, sampling=sampling, samples=range(2, 3))[0][0].text for p in PROMPTS]
    assert [answers[2].text for answers in together] == alone
    assert len({answer.text for answers in together for answer in answers}) > len(PROMPTS)


@pytest.mark.parametrize("name", SHAPES)
def test_log_probabilities_are_those_of_a_plain_pass(backends, references, name):
    made = backends[name].wording.tokenizer
    jobs = []
    for prompt in PROMPTS:
        ids = made.encode(prompt)
        rows = [
            Row(i, Rule(1.0, 1.0, 0.5), 9, lambda: Growing(speller(made), logprobs=True), logprobs=True)
            for i in range(2)
        ]
        jobs.append(Generation(ids, rows, 8, frozenset()))
        backends[name]._padded.submit(jobs[-1])
    for job in jobs:
        for row in job.future.result():
            usage = Usage(0, 0)
            got = row.answer.completion("length", usage=usage, served_model="").tokens
            logprob = plain_pass(references[name], [*job.ids, *row.tokens])
            expected = [float(logprob[len(job.ids) - 1 + n, token]) for n, token in enumerate(row.tokens)]
            assert [token.logprob for token in got] == pytest.approx(expected, abs=1e-4)


def test_tokens_are_the_answer_with_their_bytes(backends):
    sampling = Sampling(temperature=1.5, max_tokens=30, logprobs=True, ignore_end=True)
    for pair in ask(backends["gpt2"], *PROMPTS, sampling=sampling, samples=range(5)):
        for answer in pair:
            data = answer.text.encode()
            assert "".join(token.text for token in answer.tokens) == answer.text
            assert all(data[token.start : token.end].decode() == token.text for token in answer.tokens)


@pytest.mark.parametrize("name", SHAPES)
def test_scores_are_those_of_plain_passes(backends, references, name):
    pairs = [
        ("Karo lies in", [" Lusta", " Tama", " a country of rivers.", "a"]),
        ("Lusta is a country of rivers. Miro lies in ", ["Tama", "Karo"]),
        ("", ["Karo", " Lusta"]),
    ]
    for (context, continuations), scores in zip(pairs, score(backends[name], *pairs), strict=True):
        for continuation, got in zip(continuations, scores, strict=True):
            first, second = backends[name].wording.pair(Text(context), continuation, cut_left=False)
            logprob = plain_pass(references[name], first + second)[len(first) - 1 : -1]
            expected = sum(float(logprob[n, token]) for n, token in enumerate(second))
            assert got.logprob == pytest.approx(expected, abs=1e-4)
            assert got.greedy == (logprob.argmax(-1).tolist() == second)
            assert got.tokens == len(second)


def test_samples_equal_those_of_our_own_decoder(backends, folders):
    backend, made = backends["llama"], backends["llama"].wording.tokenizer
    sampling = Sampling(temperature=0.9, top_p=0.95, max_tokens=8, seed=3)
    (answers,) = ask(backend, "Karo lies in", sampling=sampling, samples=range(3))
    model = decoder.load(folders["llama"])
    ids = made.encode("Karo lies in")
    for index, answer in enumerate(answers):
        new = []
        while len(new) < 8 and made.end not in new:
            with torch.no_grad():
                logits = model(torch.tensor([ids + new]))[0, -1:].float()
            noise = uniform(stream_of(3, ids), np.array([index]), len(new))
            new.append(int(choose(logits, [Rule(0.9, 0.95)], noise)[0]))
        assert answer.text == made.decode([i for i in new if i != made.end])


def test_n_samples_read_their_prompt_once(folders):
    backend = HuggingFace.load(folders["llama"], device="cpu")
    read = []
    backend._padded.model.register_forward_pre_hook(
        lambda _, arguments, options: read.append(tuple(options["input_ids"].shape)), with_kwargs=True
    )
    ask(
        backend,
        "Karo lies in Lusta",
        sampling=Sampling(temperature=1.0, max_tokens=3, ignore_end=True),
        samples=range(6),
    )
    asyncio.run(backend.close())
    assert read[0][0] == 1 and read[1:] == [(6, 1), (6, 1)]


def test_single_token_choices_take_one_position(folders):
    backend = HuggingFace.load(folders["llama"], device="cpu")
    read = []
    backend._padded.model.register_forward_pre_hook(
        lambda _, arguments, options: read.append((options["input_ids"].shape[0], options["logits_to_keep"])),
        with_kwargs=True,
    )
    score(backend, ("Karo lies in", ["a", "b", "c", "d"]))
    asyncio.run(backend.close())
    assert read == [(1, 1)]


def test_many_callers_share_batches(folders):
    backend = HuggingFace.load(folders["gpt2"], device="cpu")
    calls = []
    backend._padded.model.register_forward_pre_hook(lambda *_: calls.append(1))
    ask(backend, *[f"{n} lies" for n in range(40)], sampling=Sampling(max_tokens=4, ignore_end=True))
    asyncio.run(backend.close())
    assert len(calls) < 40


def test_a_stop_text_cuts_the_answer_and_its_tokens(backends):
    whole = ask(backends["gpt2"], "Karo", sampling=Sampling(max_tokens=20, ignore_end=True))[0][0].text
    stop = whole[5:8]
    sampling = Sampling(max_tokens=20, ignore_end=True, stop=(stop,), logprobs=True)
    (answer,) = ask(backends["gpt2"], "Karo", sampling=sampling)[0]
    assert (answer.text, answer.finish) == (whole[: whole.index(stop)], "stop")
    assert "".join(token.text for token in answer.tokens) == answer.text


def test_an_answer_can_be_watched_and_a_stop_text_is_never_seen(backends):
    seen = []
    with watching(seen.append):
        (whole,) = ask(backends["gpt2"], "Karo", sampling=Sampling(max_tokens=20, ignore_end=True))[0]
    assert seen[-1] == whole.text and all(whole.text.startswith(part) for part in seen) and len(seen) > 3
    stop = whole.text[5:8]
    with watching(seen.append):
        (answer,) = ask(backends["gpt2"], "Karo", sampling=Sampling(max_tokens=20, ignore_end=True, stop=(stop,)))[0]
    assert seen[-1] == answer.text


def test_a_conversation_is_laid_out_by_the_template_and_continues_its_prefill(backends, references):
    backend, made = backends["gpt2"], backends["gpt2"].wording.tokenizer
    chat = Chat((Message("user", "Where is Karo?"),), prefill="Karo lies")
    ids = made.encode_marked("<user>Where is Karo?<|endoftext|><assistant>") + made.encode("Karo lies")
    assert backend.wording.ids(chat) == ids
    assert backend.count(chat).tokens == len(ids) and backend.count(chat).exact


def test_a_missing_template_is_a_loud_warning_and_a_note(folders, tmp_path):
    folder = tmp_path / "plain"
    shutil.copytree(folders["gpt2"], folder)
    (folder / "chat_template.jinja").unlink()
    backend = HuggingFace.load(folder, device="cpu")
    with pytest.warns(UserWarning, match="no chat template"):
        ((answer,),) = ask(backend, Chat((Message("user", "Karo?"),)), sampling=Sampling(max_tokens=2))
    assert answer.notes == ("no-chat-template",)
    asyncio.run(backend.close())


def test_a_prompt_beyond_the_context_is_refused_with_both_lengths(backends):
    prompt = "Karo lies in Lusta. " * 40
    length = backends["gpt2"].count(Text(prompt)).tokens
    with pytest.raises(UserError, match=f"{length:,} tokens leaves no room in a context of {CONTEXT}"):
        ask(backends["gpt2"], prompt)


def test_an_answer_that_reaches_the_context_says_so(backends):
    prompt = "Karo lies in Lusta. " * 3
    (answer,) = ask(backends["gpt2"], prompt, sampling=Sampling(max_tokens=500, ignore_end=True))[0]
    assert answer.finish == "length" and "context-full" in answer.notes
    assert answer.usage.prompt_tokens + answer.usage.completion_tokens == CONTEXT


def test_a_context_too_long_to_score_is_cut_only_on_request(backends, references):
    prompt = "Karo lies in Lusta. " * 40
    with pytest.raises(UserError, match="do not fit"):
        score(backends["gpt2"], (prompt, [" Karo"]))
    assert score(backends["gpt2"], (prompt, [" Karo"]), cut_left=True)[0][0].logprob < 0


def test_a_cancelled_caller_leaves_the_batch(backends):
    async def impatient():
        task = asyncio.create_task(backends["gpt2"].generate(Text("Karo"), Sampling(max_tokens=80, ignore_end=True)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await backends["gpt2"].generate(Text("Miro"), Sampling(max_tokens=2))

    assert len(asyncio.run(impatient())) == 1


def test_the_name_follows_the_content_not_the_path(folders, backends, tmp_path):
    shutil.copytree(folders["gpt2"], tmp_path / "copy")
    assert HuggingFace.load(tmp_path / "copy", device="cpu").name == backends["gpt2"].name
    assert HuggingFace.load(tmp_path / "copy", device="cpu", precision="bf16").name != backends["gpt2"].name
    (tmp_path / "copy" / "chat_template.jinja").write_text("{{ messages }}")
    assert HuggingFace.load(tmp_path / "copy", device="cpu").name != backends["gpt2"].name


def test_bfloat16_keeps_logits_in_float32(folders):
    backend = HuggingFace.load(folders["llama"], device="cpu", precision="bf16")
    (answer,) = ask(backend, "Karo", sampling=Sampling(max_tokens=3, logprobs=True, ignore_end=True))[0]
    asyncio.run(backend.close())
    assert len(answer.tokens) == 3


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_adapter_of_peft_changes_the_answers(folders, backends, tmp_path):
    peft = pytest.importorskip("peft")
    model = transformers.AutoModelForCausalLM.from_pretrained(folders["llama"])
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    backend = HuggingFace.load(folders["llama"], adapter=tmp_path / "adapter", device="cpu")
    assert backend.name != backends["llama"].name
    pairs = [("Karo lies in", [" Lusta"])]
    assert score(backend, *pairs)[0][0].logprob != score(backends["llama"], *pairs)[0][0].logprob
    asyncio.run(backend.close())


def test_a_folder_without_safetensors_is_refused(folders, tmp_path):
    shutil.copytree(folders["gpt2"], tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickled weights are never opened"):
        HuggingFace.load(tmp_path / "pickled")


def test_a_folder_whose_model_is_code_is_refused(folders, tmp_path):
    shutil.copytree(folders["gpt2"], tmp_path / "code")
    config = json.loads((tmp_path / "code" / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_x.X"}
    (tmp_path / "code" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="code in the folder"):
        HuggingFace.load(tmp_path / "code")


def test_missing_tensors_are_an_error_not_random_numbers(folders, tmp_path):
    shutil.copytree(folders["llama"], tmp_path / "torn")
    tensors = load_file(tmp_path / "torn" / "model.safetensors")
    gone = next(name for name in tensors if "q_proj" in name)
    del tensors[gone]
    save_file(tensors, tmp_path / "torn" / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="q_proj"):
        HuggingFace.load(tmp_path / "torn")


def test_a_folder_that_is_no_model_is_a_user_error(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="transformers cannot load it"):
        HuggingFace.load(tmp_path)


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch, folders):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"tandem-llm\[hf\]"):
        HuggingFace.load(folders["gpt2"])


def test_closing_ends_the_thread_in_the_middle_of_an_answer_and_for_good(folders):
    backend = HuggingFace.load(folders["gpt2"], device="cpu")

    async def work():
        steps = []
        backend._padded.model.register_forward_pre_hook(lambda *_: steps.append(1))
        long = asyncio.create_task(backend.generate(Text("Karo"), Sampling(max_tokens=90, ignore_end=True), range(8)))
        while len(steps) < 3:
            await asyncio.sleep(0.001)
        await backend.close()
        assert len(steps) < 90
        with pytest.raises(Failure, match="the model was closed"):
            await long
        with pytest.raises(Failure, match="the model was closed"):
            await backend.generate(Text("Karo"), Sampling(max_tokens=1))

    asyncio.run(work())
    assert not backend._padded._worker._thread.is_alive()


def test_a_process_that_ends_in_the_middle_of_a_batch_ends_with_its_own_status(folders):
    program = f"""
import asyncio, sys
from tandem.lm.hf import HuggingFace
from tandem.types import Sampling, Text
async def main():
    model = HuggingFace.load({str(folders["llama"])!r}, device="cpu")
    asyncio.create_task(model.generate(Text("Karo"), Sampling(max_tokens=90, ignore_end=True), range(100)))
    await asyncio.sleep(0.05)
    sys.exit(7)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 7, done.stderr[-2000:]


def test_no_memory_for_a_batch_halves_it(folders, monkeypatch):
    backend = HuggingFace.load(folders["gpt2"], device="cpu")
    read = backend._padded.model.forward

    def short_of_memory(*arguments, **options):
        if options["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError("4 rows are too many")
        return read(*arguments, **options)

    short_of_memory.__signature__ = inspect.signature(read)
    monkeypatch.setattr(backend._padded.model, "forward", short_of_memory)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = ask(backend, *PROMPTS, sampling=Sampling(max_tokens=4))
    asyncio.run(backend.close())
    assert len(answers) == 4
    assert backend._padded.batch_tokens < BATCH_TOKENS
