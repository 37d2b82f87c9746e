"""The local back end: text in and out of the engine, whoever else is asking."""

import asyncio
import json
import shutil
import subprocess
import sys

import pytest
import torch

from tandem import decoder
from tandem import tokenizer as tokenizers
from tandem.decoder import Shape, adapters
from tandem.decoder.adapters import LoRA
from tandem.errors import Failure, UserError
from tandem.lm.local import Local
from tandem.lm.model import Model
from tandem.types import LM, Chat, Message, Sampling, Text

WORDS = "Karo lies in Lusta, a country of rivers. Miro lies in Tama. çà et là, naïve façades — 你好."
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
PROMPTS = ["Karo lies", "Lusta is a country of rivers. Miro", "çà", "Tama. 你", "Karo lies in Lusta, a"]


def build(folder, seed=3, template=TEMPLATE):
    made = tokenizers.train([WORDS] * 20, 320)
    made.chat_template = template
    shape = Shape(
        vocabulary=made.vocabulary, layers=2, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=64, context=96,
        init_std=0.4, eos=made.end,
    )  # fmt: skip
    decoder.save(decoder.Decoder(shape, seed=seed), folder)
    made.save(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("local") / "m")


def ask(folder, work, **options):
    async def whole():
        backend = Local.load(folder, precision="fp32", device="cpu", **options)
        try:
            return await work(backend)
        finally:
            await backend.close()

    return asyncio.run(whole())


def plain(folder, text, continuation):
    """Log-probability of a continuation by one full pass, tokenised jointly."""
    made, model = tokenizers.load(folder), decoder.load(folder, torch.float32)
    before, whole = made.encode(text.rstrip()), made.encode(text + continuation)
    with torch.no_grad():
        likely = torch.log_softmax(model(torch.tensor([whole]))[0], -1)
    return sum(float(likely[p - 1, whole[p]]) for p in range(len(before), len(whole)))


def test_it_is_a_language_model(folder):
    async def work(backend):
        assert isinstance(backend, LM)
        assert backend.name.startswith("local-") and str(folder) not in backend.name
        assert backend.count(Text("Karo lies")).exact

    ask(folder, work)


def test_many_callers_at_once_get_what_each_gets_alone(folder):
    sampling = Sampling(temperature=0.9, top_p=0.95, max_tokens=12, seed=4, logprobs=True)

    async def together(backend):
        return await asyncio.gather(*(backend.generate(Text(p), sampling, range(3)) for p in PROMPTS))

    for prompt, got in zip(PROMPTS, ask(folder, together), strict=True):

        async def alone(backend, prompt=prompt):
            return await backend.generate(Text(prompt), sampling, range(3))

        for one, other in zip(got, ask(folder, alone), strict=True):
            assert (one.text, one.finish) == (other.text, other.finish)
            assert [t.logprob for t in one.tokens] == pytest.approx([t.logprob for t in other.tokens], abs=1e-4)


def test_a_later_sample_is_the_same_whether_asked_with_the_others_or_alone(folder):
    sampling = Sampling(temperature=1.0, max_tokens=8)

    async def work(backend):
        all_of_them = await backend.generate(Text(PROMPTS[0]), sampling, range(5))
        (third,) = await backend.generate(Text(PROMPTS[0]), sampling, range(3, 4))
        assert third.text == all_of_them[3].text
        assert len({c.text for c in all_of_them}) > 1

    ask(folder, work)


def test_the_bytes_of_the_tokens_make_up_the_answer(folder):
    async def work(backend):
        for completion in await backend.generate(Text("çà"), Sampling(1.0, max_tokens=20, logprobs=True), range(6)):
            assert b"".join(t.text.encode() for t in completion.tokens) == completion.text.encode()
            edges = [0, *(t.end for t in completion.tokens)]
            assert [t.start for t in completion.tokens] == edges[:-1]

    ask(folder, work)


def test_an_answer_ends_before_its_stop_text(folder):
    async def work(backend):
        (free,) = await backend.generate(Text("Karo lies"), Sampling(max_tokens=20, ignore_end=True))
        stop = free.text[4:7]
        sampling = Sampling(max_tokens=20, stop=(stop,), ignore_end=True, logprobs=True)
        (cut,) = await backend.generate(Text("Karo lies"), sampling)
        assert cut.text == free.text[: free.text.index(stop)]
        assert cut.finish == "stop"
        assert cut.usage.completion_tokens < free.usage.completion_tokens

    ask(folder, work)


def test_scores_equal_full_passes_tokenised_jointly(folder):
    choices = [" Lusta", " Tama.", "rivers", " a country of", "你好"]

    async def work(backend):
        return await asyncio.gather(*(backend.score(Text(p), choices) for p in [*PROMPTS, "Karo lies in "]))

    for prompt, scores in zip([*PROMPTS, "Karo lies in "], ask(folder, work), strict=True):
        for choice, score in zip(choices, scores, strict=True):
            assert score.logprob == pytest.approx(plain(folder, prompt, choice), abs=1e-4)


def test_a_prefill_is_continued_not_answered(folder):
    turns = (Message("user", "Where is Karo?"),)

    async def work(backend):
        (whole,) = await backend.generate(Chat(turns), Sampling(max_tokens=10, ignore_end=True, logprobs=True))
        made = backend.wording.tokenizer
        ids = backend.wording.ids(Chat(turns))
        assert backend.wording.ids(Chat(turns, "Ka")) == ids + made.encode("Ka")
        assert whole.notes == ()

    ask(folder, work)


def test_a_conversation_without_a_template_warns_and_notes_it(tmp_path):
    async def work(backend):
        with pytest.warns(UserWarning, match="no chat template"):
            (answer,) = await backend.generate(Chat((Message("user", "Karo?"),)), Sampling(max_tokens=3))
        assert answer.notes == ("no-chat-template",)

    ask(build(tmp_path / "m", template=None), work)


def test_a_prompt_longer_than_the_context_gives_both_lengths_and_cutting_is_on_request_only(folder):
    long = "Karo lies in Lusta. " * 40

    async def work(backend):
        with pytest.raises(UserError, match=r"\d+ tokens leaves no room in a context of 96"):
            await backend.generate(Text(long), Sampling(max_tokens=3))
        with pytest.raises(UserError, match="do not fit into 96"):
            await backend.score(Text(long), [" Tama"])
        (score,) = await backend.score(Text(long), [" Tama"], cut_left=True)
        assert score.logprob < 0
        room = 96 - backend.count(Text(PROMPTS[0])).tokens
        (answer,) = await backend.generate(Text(PROMPTS[0]), Sampling(max_tokens=500, ignore_end=True))
        assert answer.usage.completion_tokens == room
        assert answer.notes == ("context-full",)

    ask(folder, work)


def test_a_model_trained_again_in_the_same_folder_gets_a_new_name_a_copy_keeps_it(tmp_path, folder):
    build(tmp_path / "m", seed=3)
    names = [Local.load(place, precision="fp32", device="cpu").name for place in (folder, tmp_path / "m")]
    assert names[0] == names[1]
    build(tmp_path / "m", seed=4)
    assert Local.load(tmp_path / "m", precision="fp32", device="cpu").name != names[0]
    assert Local.load(folder, precision="bf16", device="cpu").name != names[0]


def test_an_adapter_attaches_over_shared_weights_and_scores_as_merged(tmp_path, folder):
    base = decoder.load(folder, torch.float32)
    adapters.attach(base, LoRA(rank=4))
    generator = torch.Generator().manual_seed(1)
    for name, weight in base.named_parameters():
        if "adapters" in name:
            weight.data.normal_(0, 0.2, generator=generator)
    adapters.save(base, tmp_path / "adapter")
    adapters.merge(base)
    shutil.copytree(folder, tmp_path / "merged")
    decoder.save(base, tmp_path / "merged")

    async def work(backend):
        other = Local.load(folder, precision="fp32", device="cpu", adapter=tmp_path / "adapter")
        assert other.engine.model.embedding is backend.engine.model.embedding, "the weights are there once"
        scores = await asyncio.gather(
            other.score(Text(PROMPTS[1]), [" Tama"]), backend.score(Text(PROMPTS[1]), [" Tama"])
        )
        await other.close()
        return scores, other.name, backend.name

    ((adapted,), (bare,)), name, bare_name = ask(folder, work)
    assert adapted.logprob == pytest.approx(plain(tmp_path / "merged", PROMPTS[1], " Tama"), abs=1e-4)
    assert bare.logprob == pytest.approx(plain(folder, PROMPTS[1], " Tama"), abs=1e-4)
    assert name != bare_name


def test_a_cancelled_caller_frees_its_rows_and_the_others_go_on(folder):
    async def work(backend):
        long = asyncio.create_task(backend.generate(Text("Karo"), Sampling(max_tokens=80, ignore_end=True), range(50)))
        short = asyncio.create_task(backend.generate(Text("Miro"), Sampling(max_tokens=10, ignore_end=True)))
        await asyncio.sleep(0.02)
        long.cancel()
        assert (await short)[0].usage.completion_tokens == 10
        with pytest.raises(asyncio.CancelledError):
            await long
        await backend.generate(Text("Miro"), Sampling(max_tokens=1))
        assert backend.engine.tails.bytes == 0

    ask(folder, work)


def test_a_failure_of_the_engine_reaches_everybody_and_the_next_request_works(folder):
    async def work(backend):
        logits = backend.engine.head

        def broken(x):
            backend.engine.head = logits
            raise MemoryError("no room")

        backend.engine.head = broken
        asked = [backend.generate(Text(p), Sampling(max_tokens=4)) for p in PROMPTS]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert any(isinstance(outcome, MemoryError) for outcome in outcomes)
        assert (await backend.generate(Text("Karo"), Sampling(max_tokens=4, ignore_end=True)))[0].finish == "length"

    ask(folder, work)


def test_a_closed_model_says_so(folder):
    async def work(backend):
        await backend.close()
        with pytest.raises(Failure, match="closed"):
            await backend.generate(Text("Karo"), Sampling(max_tokens=4))

    ask(folder, work)


def test_all_end_ids_of_the_folder_end_an_answer(tmp_path):
    place = build(tmp_path / "m")
    made = tokenizers.load(place)
    ends = [made.end, *made.encode("a")]
    (place / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    backend = Local.load(place, precision="fp32", device="cpu")
    assert backend._ends == set(ends)


def test_the_embedded_models_shared_prefixes_score_as_full_passes(embedded_folder):
    context = "Here are a few facts about rivers. " * 6 + "The longest river of Africa is the"
    choices = [" Nile", " Congo River", " Thames", " Amazon, which is wide"]

    async def work(backend):
        return await asyncio.gather(*(backend.score(Text(context + end), choices) for end in ("", " mighty")))

    for end, scores in zip(("", " mighty"), ask(embedded_folder, work), strict=True):
        for choice, score in zip(choices, scores, strict=True):
            assert score.logprob == pytest.approx(plain(embedded_folder, context + end, choice), abs=1e-4)


def test_no_samples_are_no_answers_and_many_continuations_are_scored_as_few(folder):
    async def work(backend):
        assert await backend.generate(Text("Karo"), Sampling(max_tokens=3), range(0)) == ()
        many = [f" {i}" for i in range(150)]
        return await backend.score(Text("Karo lies"), many), [
            await backend.score(Text("Karo lies"), [one]) for one in many[::37]
        ]

    many, few = ask(folder, work)
    assert [score.logprob for score in many[::37]] == pytest.approx([one.logprob for (one,) in few], abs=1e-4)


def test_a_note_beside_the_weights_does_not_change_the_name(tmp_path):
    place = build(tmp_path / "m")
    before = Local.load(place, precision="fp32", device="cpu").name
    (place / "notes.txt").write_text("mine")
    assert Local.load(place, precision="fp32", device="cpu").name == before


def test_a_process_that_ends_in_the_middle_of_an_answer_ends_with_its_own_status(folder):
    program = f"""
import asyncio, sys
from tandem.lm.local import Local
from tandem.lm.model import Model
from tandem.types import Sampling, Text
async def main():
    model = Local.load({str(folder)!r}, precision="fp32", device="cpu")
    asyncio.create_task(model.generate(Text("Karo"), Sampling(max_tokens=90, ignore_end=True), range(100)))
    await asyncio.sleep(0.05)
    sys.exit(7)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 7, done.stderr[-2000:]


def test_a_prompt_that_was_cut_is_answered_like_its_end_alone(folder):
    text = " ".join(PROMPTS * 6)

    async def work(backend):
        model = Model(backend, allow=["cut-left"])
        sampling = Sampling(max_tokens=12, ignore_end=True)
        (cut,) = await model.generate(Text(text), sampling)
        assert backend.count(Text(text)).tokens > 96 and cut.usage.prompt_tokens == 96 - 12
        end = next(text[at:] for at in range(len(text)) if backend.count(Text(text[at:])).tokens <= 84)
        assert cut.text == (await backend.generate(Text(end), sampling))[0].text
        assert cut.notes == ("cut-left",) and cut.usage.completion_tokens == 12

    ask(folder, work)
