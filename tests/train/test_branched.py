"""Texts that share their beginning in a row learn what they would learn apart; wrong endings are held at a distance."""

from __future__ import annotations

import random

import pytest
import torch
from torch.nn import functional as F

from tandem.corpus.batches import IGNORED
from tandem.decoder import Decoder, Shape, attention, branches
from tandem.decoder.attention import Visible
from tandem.errors import UserError
from tandem.train import branched
from tandem.train.branched import Branched, Text

PAD = 0
SHAPE = Shape(50, layers=2, width=32, heads=2, kv_heads=1, head_width=16, mlp_width=48, context=64)


def texts(n: int, trunk: int, seed: int = 0) -> list[Text]:
    draw = random.Random(seed)
    begin = tuple(draw.randrange(1, 50) for _ in range(trunk))
    made = []
    for _ in range(n):
        prompt = begin + tuple(draw.randrange(1, 50) for _ in range(draw.randrange(2, 6)))
        ending = tuple(draw.randrange(1, 50) for _ in range(draw.randrange(2, 7)))
        wrong = tuple((*ending[:k], (ending[k] % 49) + 1, 7, 7) for k in range(2))
        made.append(Text(prompt + ending, len(prompt), wrong))
    return made


def own_loss(model: Decoder, text: Text, first: int) -> torch.Tensor:
    """Cross-entropy of a text in a row of its own, from its token `first` on."""
    ids = torch.tensor([text.ids])
    logits = model(ids[:, :-1])[0]
    return F.cross_entropy(logits[first - 1 :], ids[0, first:], reduction="sum")


def batches(packed: Branched) -> list[tuple[torch.Tensor, ...]]:
    return [tuple(torch.from_numpy(part).long() for part in packed.batch(step)[:3]) for step in range(packed.steps)]


@pytest.mark.parametrize("window", [None, 9])
def test_loss_and_gradients_are_those_of_the_texts_one_by_one(window: int | None) -> None:
    shape = SHAPE if window is None else Shape(**{**vars(SHAPE), "window": window})
    model = Decoder(shape, seed=1)
    groups = [texts(5, 12), texts(3, 4, seed=1), texts(1, 6, seed=2)]
    packed = Branched(groups, context=40, rows=2, pad=PAD, seed=0)
    apart = sum(own_loss(model, text, text.asked) for group in groups for text in group)
    apart.backward()
    wanted = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    together = sum(branched.loss()(model, *batch) for batch in batches(packed))
    together.backward()
    assert together.item() == pytest.approx(apart.item(), rel=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-3, atol=1e-5)


def test_a_common_beginning_is_read_once_a_row_and_every_ending_is_learnt_once() -> None:
    groups = [texts(6, 20)]
    packed = Branched(groups, context=64, rows=1, pad=PAD, seed=0)
    assert packed.report.tokens < packed.report.alone - 3 * 20
    learnt = sorted(t for _, targets, _ in batches(packed) for t in targets.flatten().tolist() if t != IGNORED)
    assert learnt == sorted(t for text in groups[0] for t in text.ids[text.asked :])


def test_whole_texts_are_learnt_but_for_the_first_token_of_each_branch() -> None:
    groups = [texts(4, 10)]
    packed = Branched(groups, context=64, rows=1, pad=PAD, seed=0, whole=True)
    assert packed.report.rows == 1
    assert packed.report.targets == 9 + sum(len(t.ids) - 11 for t in groups[0])


def test_the_margin_is_the_hinge_of_the_log_probabilities_where_a_wrong_ending_leaves_the_right_one() -> None:
    model = Decoder(SHAPE, seed=3)
    group = texts(4, 8)
    packed = Branched([group], context=50, rows=2, pad=PAD, seed=0)
    plain = sum(branched.loss()(model, *batch) for batch in batches(packed))
    held = sum(branched.loss(packed.partings(), margin=2.0, weight=0.5)(model, *batch) for batch in batches(packed))
    wanted = 0.0
    for text in group:
        assert len(text.partings) == 2
        for at, wrong in text.partings:
            logprobs = torch.log_softmax(model(torch.tensor([text.ids[:at]]))[0, -1], dim=-1)
            wanted += max(0.0, 2.0 - (logprobs[text.ids[at]] - logprobs[wrong]).item())
    assert (held - plain).item() == pytest.approx(0.5 * wanted, rel=1e-4)


def test_training_on_the_margin_puts_the_right_token_ahead_of_the_wrong_one() -> None:
    model = Decoder(SHAPE, seed=3)
    packed = Branched([texts(3, 8)], context=50, rows=2, pad=PAD, seed=0)
    loss = branched.loss(packed.partings(), margin=3.0, weight=1.0)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        for batch in batches(packed):
            optimiser.zero_grad()
            loss(model, *batch).backward()
            optimiser.step()
    for text in packed.texts:
        for at, wrong in text.partings:
            logits = model(torch.tensor([text.ids[:at]]))[0, -1]
            assert logits[text.ids[at]] - logits[wrong] > 2.5


def test_a_wrong_ending_that_is_the_right_one_parts_nowhere() -> None:
    assert Text((1, 2, 3, 4), 2, ((3, 4), (3, 5))).partings == ((3, 5),)


def test_positions_go_on_behind_the_trunk_in_every_branch() -> None:
    documents = torch.tensor([[0, 0, 0, 5, 5, 9, 9, 9], [4, 4, 2, 2, 2, 2, 1, 1]])
    assert branches.positions(documents).tolist() == [[0, 1, 2, 3, 4, 3, 4, 5], [0, 1, 0, 1, 2, 3, 0, 1]]


def test_the_fingerprint_changes_with_data_order_and_contrast() -> None:
    group = texts(4, 8)
    given = {"context": 50, "rows": 2, "pad": PAD, "seed": 0, "epochs": 2.0}
    prints = {Branched([group], **(given | {name: value + 1})).fingerprint for name, value in given.items()}
    prints |= {Branched([group], **given).fingerprint, Branched([group], **given, whole=True).fingerprint}
    prints.add(Branched([[Text(t.ids, t.asked) for t in group]], **given).fingerprint)
    assert len(prints) == len(given) + 3


def test_what_does_not_fit_is_counted_and_nothing_that_fits_is_an_error() -> None:
    packed = Branched([texts(4, 8), [Text(tuple(range(1, 49)), 40)]], context=30, rows=1, pad=PAD, seed=0)
    assert (packed.report.texts, packed.report.dropped) == (5, 1)
    with pytest.raises(UserError, match="none of 4 texts fits into 9 tokens"):
        Branched([texts(4, 8)], context=9, rows=1, pad=PAD, seed=0)


@pytest.mark.parametrize("kv_heads", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_part_by_part_gives_what_a_mask_gives_states_and_gradients(seed: int, kv_heads: int) -> None:
    torch.manual_seed(seed)
    lengths = [[7, 5, 1, 9, 2], [1, 11, 12], [24]]
    numbers = [[0, 3, 1, 2, 9], [0, 7, 5], [4]]  # the last row has no trunk
    documents = torch.tensor(
        [[n for n, size in zip(*row, strict=True) for _ in range(size)] for row in zip(numbers, lengths, strict=True)]
    )
    q, k, v = (torch.randn(3, 24, heads, 8, requires_grad=True) for heads in (2, kv_heads, kv_heads))
    parts = branches.visible(documents, branches.positions(documents), None)
    seen = (documents[:, :, None] == documents[:, None, :]) | (documents[:, None, :] == branches.TRUNK)
    mask = Visible(causal=False, mask=(seen & torch.ones(24, 24, dtype=torch.bool).tril())[:, None])
    assert parts.parts and parts.mask is None
    ways = []
    for way in (parts, mask):
        out = attention.attend(q, k, v, way)
        ways.append((out, *torch.autograd.grad(out.square().sum(), (q, k, v))))
    for one, other in zip(*ways, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
