import itertools
import json
import math
import shutil
import signal
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tandem.corpus.batches import Batch
from tandem.errors import Failure, UserError
from tandem.train import checkpoint
from tandem.train.loop import History, Settings, adamw, fit
from tandem.train.schedule import Cosine

VOCABULARY, CONTEXT, ROWS = 17, 8, 4


class Bigram(nn.Module):
    """The smallest language model with a matrix and a bias: not our decoder, so the loop must not ask for more."""

    def __init__(self, seed=0, width=5):
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.head = nn.Linear(width, VOCABULARY)
        self.dropout = nn.Dropout(0.1)

    def loss(self, tokens, targets, documents):
        logits = self.head(self.dropout(self.embedding(tokens)))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum")


class Counting:
    """Batches in which token t is followed by t + 1 (mod 17); a pure function of the step."""

    rows, context = ROWS, CONTEXT

    def __init__(self, steps, on_batch=None):
        self.steps, self.on_batch = steps, on_batch

    def batch(self, step, first_row=0, n_rows=None):
        if self.on_batch:
            self.on_batch(step)
        start = np.random.default_rng(step).integers(0, VOCABULARY, (ROWS, 1))
        rows = ((start + np.arange(CONTEXT + 1)) % VOCABULARY).astype(np.int32)
        zeros = np.zeros((ROWS, CONTEXT), np.int32)
        return Batch(rows[:, :-1].copy(), rows[:, 1:].copy(), zeros, np.zeros(ROWS, np.int16))


def train(steps, work=None, settings=None, model=None, on_batch=None, **options):
    settings = settings or Settings(checkpoint_seconds=0.0, micro_tokens=16)
    model = model or Bigram()
    history = fit(
        model, Counting(steps, on_batch), adamw(model, settings), Cosine(0.05, 3, steps), settings, work=work, **options
    )
    return model, history


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def interrupt_at(steps):
    """Raise SIGINT in the main thread when the batch of one of `steps` is asked for."""
    left = set(steps)

    def on_batch(step):
        if step in left:
            left.discard(step)
            signal.raise_signal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else (
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            )

    return on_batch


def test_any_module_learns_and_the_history_says_so():
    _, history = train(80)
    assert history.loss[0] == pytest.approx(math.log(VOCABULARY), rel=0.2)
    assert history.loss[-1] < 0.6 * history.loss[0]
    assert len(history.loss) == len(history.norm) == len(history.rate) == len(history.tokens) == 80
    assert set(history.tokens) == {ROWS * CONTEXT}


def test_interrupted_twice_and_continued_gives_the_same_bits(tmp_path):
    whole, whole_history = train(30)
    on_batch = interrupt_at([7, 19])
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(30, tmp_path, on_batch=on_batch)
    continued, history = train(30, tmp_path)
    assert same(weights(whole), weights(continued))
    assert history.as_json() == whole_history.as_json()


def test_continuing_does_not_repeat_steps(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(30, tmp_path, on_batch=interrupt_at([20]))
    seen = []
    train(30, tmp_path, on_batch=seen.append)
    assert min(seen) >= 19


def test_micro_batches_change_rounding_only():
    torch.manual_seed(0)
    no_dropout = [Bigram(), Bigram()]
    for model in no_dropout:
        model.dropout.p = 0.0
    a, _ = train(10, settings=Settings(micro_tokens=8), model=no_dropout[0])
    b, _ = train(10, settings=Settings(micro_tokens=32), model=no_dropout[1])
    for name, p in a.named_parameters():
        torch.testing.assert_close(p, dict(b.named_parameters())[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("damage", ["torn", "overwritten"])
def test_a_damaged_newest_checkpoint_is_passed_over_for_the_one_before(tmp_path, damage):
    whole, _ = train(12)
    with pytest.raises(KeyboardInterrupt):
        train(12, tmp_path, on_batch=interrupt_at([9]))
    folders = sorted(tmp_path.glob("step-*"))
    assert len(folders) == 2
    with (folders[-1] / "parameters.safetensors").open("r+b") as f:
        f.truncate(50) if damage == "torn" else f.write(bytes(range(200)))
    continued, _ = train(12, tmp_path)
    assert same(weights(whole), weights(continued))


def test_a_half_written_checkpoint_is_not_believed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(12, tmp_path, on_batch=interrupt_at([5]))
    newest = sorted(tmp_path.glob("step-*"))[-1]
    shutil.copytree(newest, tmp_path / "step-00000011.tmp")
    whole, _ = train(12)
    continued, _ = train(12, tmp_path)
    assert same(weights(whole), weights(continued))


def test_a_checkpoint_of_another_shape_or_other_settings_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(12, tmp_path, on_batch=interrupt_at([5]))
    with pytest.raises(UserError, match="belongs to another training"):
        train(12, tmp_path, model=Bigram(width=6))
    with pytest.raises(UserError, match="belongs to another training"):
        train(12, tmp_path, settings=Settings(decay=0.5, micro_tokens=16))


def test_restoring_names_the_parameter_whose_shape_differs(tmp_path):
    model = Bigram()
    folder = checkpoint.save(tmp_path, 1, model, adamw(model, Settings()), {"history": {}}, "x")
    other = Bigram(width=6)
    with pytest.raises(UserError, match=r"embedding\.weight is \(17, 5\).*\(17, 6\)"):
        checkpoint.restore(folder, other, adamw(other, Settings()))


class Poisoned(Bigram):
    """A model whose loss is not finite at some of its calls."""

    def __init__(self, bad, value):
        super().__init__()
        self.bad, self.value, self.calls = bad, value, -1

    def loss(self, tokens, targets, documents):
        self.calls += 1
        loss = super().loss(tokens, targets, documents)
        return loss * self.value if self.calls in self.bad else loss


def test_a_step_that_is_not_finite_changes_nothing_and_is_recorded():
    told = []
    model = Poisoned({4}, math.nan)
    _, history = train(6, settings=Settings(), model=model, on_decision=told.append)
    assert [(d["step"], d["kind"], d["done"]) for d in told] == [(4, "not finite", "update left out")]
    assert history.decisions == told
    assert math.isnan(history.loss[4]) and math.isfinite(history.loss[5])
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_loss_that_stays_not_finite_ends_the_training_and_says_what_to_do():
    with pytest.raises(Failure, match=r"(?s)not been finite for 3 steps.*lower the peak"):
        train(20, settings=Settings(max_bad_steps=3), model=Poisoned(set(range(5, 20)), math.inf))


@pytest.mark.parametrize(("skip", "done"), [(False, "recorded"), (True, "update left out")])
def test_a_spike_is_recorded_and_skipped_only_where_asked(skip, done):
    _, history = train(60, settings=Settings(skip_spikes=skip), model=Poisoned({50}, 40.0))
    assert [(d["step"], d["kind"], d["done"]) for d in history.decisions] == [(50, "spike", done)]


def test_a_history_survives_json_with_steps_that_were_not_finite():
    history = History([1.0, math.nan], [0.5, math.inf], [1e-3, 1e-3], [32, 32], [{"step": 1}])
    again = History.from_json(json.loads(json.dumps(history.as_json(), allow_nan=False)))
    assert math.isnan(again.loss[1]) and again.loss[0] == 1.0 and again.decisions == [{"step": 1}]


def test_matrices_are_decayed_and_biases_are_not():
    groups = adamw(Bigram(), Settings(decay=0.3)).param_groups
    assert {(len(g["params"]), g["weight_decay"]) for g in groups} == {(2, 0.3), (1, 0.0)}


def test_the_rate_warms_up_peaks_and_ends_at_its_final_fraction():
    cosine = Cosine(peak=1.0, warmup=10, steps=110, final=0.1)
    rates = [cosine(s) for s in range(110)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1)
    assert rates[60] == pytest.approx(0.55, abs=0.01)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_progress_counts_tokens_from_the_beginning_also_after_a_stop(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(12, tmp_path, on_batch=interrupt_at([5]))
    looks = []
    train(12, tmp_path, on_progress=looks.append)
    assert looks[-1].step == looks[-1].steps == 12
    assert looks[-1].tokens == 12 * ROWS * CONTEXT
    assert looks[-1].seconds_left == 0


@pytest.mark.parametrize("text", ["", "[]", "null", '{"sizes": []}', '{"sizes": {}}'])
def test_a_checkpoint_whose_state_is_not_a_state_is_passed_over(tmp_path, text):
    folder = tmp_path / "step-00000001"
    folder.mkdir()
    (folder / "state.json").write_text(text)
    assert checkpoint.newest(tmp_path, "x") is None


def test_a_training_that_took_its_last_step_does_not_take_it_again(tmp_path):
    model, history = train(6, tmp_path)
    taken = []
    again, continued = train(6, tmp_path, on_batch=taken.append)
    assert not taken
    assert same(weights(again), weights(model)) and continued.loss == history.loss


def test_a_training_that_is_lost_at_its_last_step_leaves_no_checkpoint_of_it(tmp_path):
    settings = Settings(checkpoint_seconds=0.0, max_bad_steps=2)
    model = Bigram()

    def poison(step):
        if step == 4:
            with torch.no_grad():
                model.head.bias.fill_(math.nan)

    with pytest.raises(Failure, match="not been finite"):
        train(6, tmp_path, settings=settings, model=model, on_batch=poison)
    assert "step-00000006" not in {p.name for p in tmp_path.iterdir()}
