"""The engine gives every request what a plain pass over its own tokens gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem.decoder import Decoder, Shape
from tandem.decoder.engine import Engine, run
from tandem.decoder.jobs import Scoring, Writing
from tandem.decoder.sampling import Rule, choose, stream_of, uniform
from tandem.errors import Failure, UserError

SHAPE = Shape(vocabulary=61, layers=3, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=48, context=160)
QWEN = Shape(
    vocabulary=61, layers=2, width=24, heads=3, kv_heads=1, head_width=8, mlp_width=40, context=160, qk_norm=True,
    qkv_bias=True, tied=True,
)  # fmt: skip
SLIDING = replace(SHAPE, layers=2, window=23)


def made(shape):
    model = Decoder(shape, seed=3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(3)
    return model.eval()


MODELS = [made(SHAPE), made(QWEN), made(SLIDING)]


@torch.no_grad()
def plain_logits(model, tokens):
    return model(torch.tensor([list(tokens)]))[0]


def plain_answer(model, job, sample):
    """One token after another, everything computed again each time."""
    answer, logprobs = [], []
    stream = stream_of(job.seed, job.prompt)
    while True:
        logits = plain_logits(model, [*job.prompt, *answer])[-1:].clone()
        noise = uniform(np.array([stream], dtype=np.uint64), np.array([sample]), np.array([len(answer)]))
        likely = torch.log_softmax(logits, -1)
        if answer and job.rule.presence_penalty:
            logits[0, sorted(set(answer))] -= job.rule.presence_penalty
        token = int(choose(logits, [job.rule], noise)[0])
        if token in job.stop_ids:
            return answer, logprobs, "stop"
        answer.append(token)
        logprobs.append(float(likely[0, token]))
        if len(answer) == job.max_tokens or len(job.prompt) + len(answer) >= model.shape.context:
            return answer, logprobs, "length"


def nearly_as_likely(model, job, sample, one, other):
    """Whether two answers part where rounding decides: logits that are 1e-5 apart choose either token."""
    at = next(n for n, (a, b) in enumerate(zip([*one, None], [*other, None], strict=False)) if a != b)
    if at >= min(len(one), len(other)):
        return False
    logits = plain_logits(model, [*job.prompt, *one[:at]])[-1:].clone()
    if at and job.rule.presence_penalty:
        logits[0, sorted(set(one[:at]))] -= job.rule.presence_penalty
    stream = np.array([stream_of(job.seed, job.prompt)], dtype=np.uint64)
    noise = uniform(stream, np.array([sample]), np.array([at]))
    drawn = torch.Generator().manual_seed(0)
    moved = (logits + 1e-5 * torch.randn(logits.shape, generator=drawn) for _ in range(200))
    return {one[at], other[at]} <= {int(choose(each, [job.rule], noise)[0]) for each in moved}


def check(model, jobs, engine):
    answers, scores = {}, {}
    for number, job in enumerate(jobs):
        if isinstance(job, Writing):
            job.ended = lambda written, number=number: answers.__setitem__((number, written.sample), written)
        else:
            job.ended = lambda result, number=number: scores.__setitem__(number, result)
    run(engine, jobs)
    for number, job in enumerate(jobs):
        if isinstance(job, Writing):
            for sample in job.samples:
                written = answers.pop((number, sample))
                tokens, logprobs, finish = plain_answer(model, job, sample)
                if written.tokens != tokens and nearly_as_likely(model, job, sample, written.tokens, tokens):
                    continue
                assert (written.tokens, written.finish) == (tokens, finish)
                if job.logprobs:
                    assert written.logprobs == pytest.approx(logprobs, abs=1e-5, rel=1e-6)
        else:
            for sequence, start, result in zip(job.sequences, job.starts, scores.pop(number), strict=True):
                likely = torch.log_softmax(plain_logits(model, sequence), -1)
                want = sum(float(likely[p - 1, sequence[p]]) for p in range(start, len(sequence)))
                assert result.logprob == pytest.approx(want, abs=1e-5, rel=1e-6)
                greedy = [int(likely[p - 1].argmax()) == sequence[p] for p in range(start, len(sequence))]
                assert result.greedy == all(greedy)
    assert not answers and not scores, "nobody is answered twice"
    assert not engine.busy
    assert engine.tails.bytes == 0, "no tail outlives its row"
    assert all(node.users == 0 for node in engine.tree.nodes())


def bytes_of(shape, tokens):
    """The bound under which so many tokens of float32 keys and values may be kept, one layer's keys of them twice."""
    return tokens * (2 * shape.layers + 1) * shape.kv_heads * shape.head_width * 4


def stored(engine):
    """Bytes of the tensors that hold keys and values."""
    blocks = [block for pool in engine.tails.pools.values() for block in pool.keys_LNGCK + pool.values_LNGCK]
    blocks += [block for node in engine.tree.nodes() for block in node.keys_LGSK + node.values_LGSK]
    assert all(block.untyped_storage().nbytes() == block.nbytes for block in blocks)
    return sum(block.nbytes for block in blocks)


def ids(least, most):
    return st.lists(st.integers(0, 60), min_size=least, max_size=most)


@st.composite
def jobs(draw):
    beginnings = [*draw(st.lists(ids(1, 70), min_size=1, max_size=3)), []]
    made = []
    for _ in range(draw(st.integers(1, 7))):
        prompt = draw(st.sampled_from(beginnings)) + draw(ids(0, 30)) + draw(ids(1, 2))
        if draw(st.booleans()):
            made.append(
                Writing(
                    prompt,
                    draw(st.integers(1, 12)),
                    print,
                    samples=draw(st.sampled_from([(0,), (0, 1, 2), (4, 7), tuple(range(9))])),
                    rule=Rule(
                        draw(st.sampled_from([0.0, 0.7, 1.0])),
                        draw(st.sampled_from([1.0, 0.8])),
                        draw(st.sampled_from([0.0, 2.0])),
                    ),
                    seed=draw(st.integers(0, 3)),
                    stop_ids=draw(st.sampled_from([frozenset(), frozenset(range(6))])),
                    logprobs=draw(st.booleans()),
                )
            )
        else:
            tails = draw(st.lists(ids(1, 9), min_size=1, max_size=4))
            made.append(Scoring([prompt + tail for tail in tails], [len(prompt)] * len(tails), print))
    return made


@given(
    jobs(),
    st.sampled_from(MODELS),
    st.sampled_from([1, 3, 256]),
    st.sampled_from([1, 40, 2048]),
    st.booleans(),
    st.sampled_from([1, 2, 7]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_mix_of_requests_equals_plain_passes(mix, model, rows, pass_tokens, tight, together):
    memory = bytes_of(model.shape, 140) if tight else 1 << 30
    engine = Engine(model, rows=rows, pass_tokens=pass_tokens, memory=memory)
    for at in range(0, len(mix), together):
        check(model, mix[at : at + together], engine)
        assert engine.meter.bytes == stored(engine)
    assert engine.meter.peak <= memory


def test_where_rounding_decides_either_token_is_right_and_elsewhere_none_but_its_own():
    prompt = [33, 0, 14, 49, 26, 27, 12, 5, 25, 16, 21, 11, 34, 3, 8, 7, 22]  # a draw that falls between two tokens
    job = Writing(prompt, 1, print, samples=(0, 1, 2), rule=Rule(0.7, 0.8), seed=1)
    check(MODELS[0], [job], Engine(MODELS[0], rows=1, pass_tokens=1))
    assert nearly_as_likely(MODELS[0], job, 0, [58], [12]) and nearly_as_likely(MODELS[0], job, 0, [12], [58])
    assert not nearly_as_likely(MODELS[0], job, 0, [58], [3]) and not nearly_as_likely(MODELS[0], job, 1, [48], [12])


def test_requests_that_come_later_use_what_is_kept_and_equal_plain_passes():
    model, engine = MODELS[0], Engine(MODELS[0])
    first = list(range(50))
    check(model, [Writing(first, 8, print)], engine)
    check(model, [Writing([*first[:30], 5, 6], 8, print), Scoring([[*first, 3, 4]], [50], print)], engine)


def test_a_shared_beginning_is_computed_once():
    engine = Engine(MODELS[0])
    prefix = [int(i) for i in np.random.default_rng(0).integers(0, 61, 100)]
    ended = []
    run(engine, [Writing([*prefix, i], 1, ended.append, samples=range(4)) for i in range(10)])
    assert len(ended) == 40
    assert engine.tokens_computed == 100 + 40
    assert sorted(w.cached for w in ended) == [0] + [100] * 39


def test_single_token_choices_cost_one_place_more_than_nothing():
    engine = Engine(MODELS[0])
    context = list(range(40))
    run(engine, [Scoring([[*context, i] for i in range(4)], [40] * 4, lambda result: None)])
    assert engine.tokens_computed == 40


def test_scores_asked_one_after_another_read_their_common_beginning_once():
    engine, rng = Engine(MODELS[0]), np.random.default_rng(5)
    examples = rng.integers(0, 61, 100).tolist()
    read = []
    for _ in range(4):
        context = [*examples, *rng.integers(0, 61, 20).tolist()]
        before = engine.tokens_computed
        check(MODELS[0], [Scoring([[*context, i] for i in range(4)], [120] * 4, print)], engine)
        read.append(engine.tokens_computed - before)
    assert read == [120, 20, 20, 20]


def test_choices_of_one_context_asked_one_after_another_read_it_once():
    engine, context = Engine(MODELS[0]), [i % 61 for i in range(90)]
    for i in range(5):
        check(MODELS[0], [Scoring([[*context, i, 3]], [90], print)], engine)
    assert engine.tokens_computed == 91 + 4 * 2


def test_texts_scored_beside_many_others_leave_only_what_they_share():
    engine, rng = Engine(MODELS[0]), np.random.default_rng(6)
    shared, texts = rng.integers(0, 61, 40).tolist(), rng.integers(0, 61, (20, 30)).tolist()
    run(engine, [Scoring([[*shared, *text, 1]], [70], lambda result: None) for text in texts])
    assert engine.tree.held == 40


def test_a_sample_asked_for_twice_is_refused_before_anything_runs():
    engine = Engine(MODELS[0])
    with pytest.raises(UserError, match="sample 3 is asked for twice"):
        engine.add(Writing([1, 2], 3, print, samples=(0, 3, 3)))
    assert not engine.busy


def test_memory_stays_within_its_bound_at_every_moment():
    engine, rng = Engine(MODELS[0], memory=200_000), np.random.default_rng(1)
    beginnings = rng.integers(0, 61, (3, 40)).tolist()
    done, scores = [], []
    for i in range(60):
        prompt = beginnings[i % 3][: rng.integers(1, 41)] + rng.integers(0, 61, rng.integers(1, 60)).tolist()
        if i % 4 == 3:
            engine.add(Scoring([[*prompt, 1, 2]], [len(prompt)], scores.append))
        else:
            samples, most = range(int(rng.integers(1, 5))), int(rng.integers(1, 90))
            engine.add(Writing(prompt, min(most, 159 - len(prompt)), done.append, samples=samples, seed=i))
        for _ in range(int(rng.integers(0, 30))):
            engine.step()
            assert engine.meter.bytes == stored(engine) <= 200_000
    run(engine)
    assert len(scores) == 15 and len(done) >= 45
    assert 150_000 < engine.meter.peak <= 200_000


def test_what_memory_cannot_hold_alone_is_refused_with_both_numbers():
    engine = Engine(MODELS[0], memory=bytes_of(SHAPE, 128))
    with pytest.raises(UserError, match=r"0\.082 MiB of keys and values, more than the 0\.0547 MiB"):
        engine.add(Writing([1] * 100, 50, print))
    assert not engine.busy
    ended = []
    run(engine, [Writing([1] * 100, 28, ended.append)])
    assert len(ended[0].tokens) == 28


def test_answers_that_outgrow_their_slots_together_keep_to_the_bound():
    bound = bytes_of(SHAPE, 8 * 128)
    engine, ended = Engine(MODELS[0], memory=bound), []
    run(engine, [Writing([i, 1], 100, ended.append) for i in range(8)])
    assert [len(written.tokens) for written in ended] == [100] * 8
    assert engine.meter.peak <= bound


def test_a_cancelled_request_leaves_and_the_others_end():
    engine = Engine(MODELS[0])
    done = []
    doomed = Writing([1, 2, 3], 100, done.append, samples=range(3))
    kept = Writing([1, 2, 4], 10, done.append)
    engine.add(doomed)
    engine.add(kept)
    for _ in range(3):
        engine.step()
    doomed.cancelled = True
    while engine.step():
        pass
    assert [len(written.tokens) for written in done] == [10]
    assert engine.tails.bytes == 0


def test_an_answer_ends_where_its_watcher_says():
    ended = []
    engine = Engine(MODELS[0])
    run(engine, [Writing([1, 2], 50, ended.append, watch=lambda sample, token, logprob: token >= 0 >= logprob)])
    assert ended[0].finish == "stop" and len(ended[0].tokens) == 1


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (Writing([], 3, print), "is empty"),
        (Writing([61], 3, print), "61 rows"),
        (Writing([1] * 160, 3, print), "160 tokens leave no room in a context of 160"),
        (Scoring([[1] * 162], [1], print), r"1 \+ 161 tokens"),
        (Scoring([[1, 2]], [0], print), "context is empty"),
        (Scoring([[1, 2]], [2], print), "continuation is empty"),
    ],
)
def test_what_cannot_be_served_is_refused_when_it_is_added(job, says):
    with pytest.raises(UserError, match=says):
        Engine(MODELS[0]).add(job)


def test_very_many_samples_of_one_prompt_keep_to_rows_and_memory():
    engine = Engine(MODELS[0], rows=16, memory=1 << 20)
    ended = []
    engine.add(Writing(list(range(40)), 30, ended.append, samples=range(300), rule=Rule(1.0)))
    most = 0
    while engine.step():
        most = max(most, sum(len(pool.tails) for pool in engine.tails.pools.values()))
    assert sorted(written.sample for written in ended) == list(range(300))
    assert most <= 16
    assert engine.meter.peak <= 1 << 20


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_weights_that_are_not_numbers_are_an_error_of_the_request_not_an_answer(temperature):
    model = made(SHAPE)
    with torch.no_grad():
        model.blocks[1].mlp.down.weight[3, 3] = torch.nan
    for job in (Writing([1, 2], 3, print, rule=Rule(temperature)), Scoring([[1, 2, 3]], [1], print)):
        with pytest.raises(Failure, match="not finite"):
            run(Engine(model), [job])


def test_a_request_that_meets_a_broken_weight_fails_alone():
    model = made(SHAPE)
    with torch.no_grad():
        model.embedding[7] = torch.nan
    engine, ended, failed = Engine(model), [], []
    good = [Writing([1, i], 6, ended.append, samples=range(2)) for i in range(3, 6)]  # greedy: they never meet 7
    bad = Writing([1, 7], 6, ended.append, failed=failed.append)
    run(engine, [good[0], bad, *good[1:]])
    run(engine, [Writing([1, 2], 6, ended.append)])  # it may stand where the bad one stood
    assert [type(e) for e in failed] == [Failure]
    assert len(ended) == 7
    assert engine.tails.bytes == 0


def test_a_watcher_that_raises_loses_its_own_request_only():
    engine, ended, failed = Engine(MODELS[0]), [], []

    def breaks(sample, token, logprob):
        raise BrokenPipeError

    run(engine, [Writing([1], 5, ended.append, watch=breaks, failed=failed.append), Writing([2], 5, ended.append)])
    assert [type(e) for e in failed] == [BrokenPipeError]
    assert [len(written.tokens) for written in ended] == [5]


def test_spans_do_not_crumble_under_many_beginnings_of_one_prompt():
    engine = Engine(MODELS[0])
    prompt = [int(i) for i in np.random.default_rng(0).integers(0, 61, 150)]
    for length in range(20, 150):
        run(engine, [Writing(prompt[:length], 1, lambda written: None)])
    assert len(list(engine.tree.nodes())) < 20


def test_making_room_does_not_take_what_is_about_to_be_used():
    engine = Engine(MODELS[0], memory=bytes_of(SHAPE, 330))
    wanted = list(range(60)) + list(range(40))
    run(engine, [Writing([*wanted, 1], 1, print)])
    run(engine, [Writing([i % 61 for i in range(7, 107)], 1, print)])
    ended = []
    run(engine, [Writing([*wanted, 2], 1, ended.append, samples=range(2))])
    assert [written.cached for written in ended] == [100, 100]
