"""A prefix tree of keys and values: what several requests share is computed once and kept while memory allows.

Each node holds a span of token ids and, once it was computed, their keys and values in one contiguous block per layer,
which is never written again. A request's path runs from the root to a leaf; the spans along it are a beginning of its
prompt. Spans divide where prompts part, before they are computed if possible, else by copying the two halves (so that
letting one go frees its memory). What this does not do: compute anything, or hold what only one request needs (its
tail). Rejected: pages of a fixed size, as GPU servers keep them: on a CPU every page is one more small product, and one
product over a whole shared span for all its readers is what makes sharing pay.

L layers, G key/value heads, S tokens of a span, K head width.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tandem.decoder.shape import Shape
from tandem.decoder.space import Meter

Ids = NDArray[np.int32]


class Node:
    """A span of tokens that follows its parent's."""

    def __init__(self, parent: Node | None, tokens: Ids, serial: int) -> None:
        self.parent = parent
        self.tokens = tokens
        """Ids of the span; the root has none."""
        self.serial = serial
        """Number of its making: orders siblings."""
        self.children: dict[int, Node] = {}
        """By the first token of their span."""
        self.keys_LGSK: list[Tensor] = []
        """Keys of the span, a tensor per layer; empty until computed."""
        self.values_LGSK: list[Tensor] = []
        """Values of the span."""
        self.users = 0
        """Requests at work whose path ends here."""
        self.used = 0
        """When a request last came by, on the tree's own clock."""

    @property
    def ready(self) -> bool:
        """Whether keys and values are there."""
        return bool(self.keys_LGSK) or self.parent is None

    @property
    def start(self) -> int:
        """Position of its first token."""
        at, node = 0, self.parent
        while node is not None:
            at += len(node.tokens)
            node = node.parent
        return at

    def path(self) -> tuple[Node, ...]:
        """The nodes from below the root down to this one."""
        nodes = []
        node = self
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        return tuple(reversed(nodes))


class Tree:
    """The prefix tree of one model (weights, adapter, dtype)."""

    def __init__(
        self,
        shape: Shape,
        dtype: torch.dtype,
        device: torch.device,
        *,
        longest: int,
        least: int = 1,
        meter: Meter | None = None,
    ) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device
        self.meter = meter or Meter()
        """Counts what is taken and given back."""
        self.least = least
        """Tokens from which a span is worth having: a shorter end that nobody uses is dropped rather than split off."""
        self.longest = longest
        """Tokens of a new span at most: longer ones become chains, so that one pass need not compute them whole."""
        self.root = Node(None, np.zeros(0, np.int32), 0)
        self.token_bytes = 2 * shape.layers * shape.kv_heads * shape.head_width * dtype.itemsize
        """Memory of one token's keys and values."""
        self.held = 0
        """Tokens whose keys and values are kept."""
        self.pending = 0
        """Tokens of spans that are still to be computed."""
        self._made = 0
        self._clock = 0

    @property
    def bytes(self) -> int:
        """Memory of all keys and values, of spans still to be computed too."""
        return (self.held + self.pending) * self.token_bytes

    def known(self, tokens: Ids) -> int:
        """How many leading tokens of a sequence lie in the tree, computed or about to be.

        Of the last span a part counts only if it has `least` tokens.
        """
        node, at = self.root, 0
        while at < len(tokens):
            child = node.children.get(int(tokens[at]))
            if child is None:
                return at
            same = shared(child.tokens, tokens[at:])
            if same < len(child.tokens):
                return at + same if same >= self.least else at
            at += same
            node = child
        return at

    def insert(self, tokens: Ids) -> Node:
        """The node at which `tokens` end, made (and its ancestors divided) where it is missing."""
        self._clock += 1
        node, at = self.root, 0
        while at < len(tokens):
            child = node.children.get(int(tokens[at]))
            if child is None:
                child = self._new(node, tokens[at : at + self.longest])
                self.pending += len(child.tokens)
            else:
                same = shared(child.tokens, tokens[at:])
                if same < len(child.tokens):
                    child = self._divide(child, same)
            child.used = self._clock
            node = child
            at += len(node.tokens)
        return node

    def reserve(self, node: Node) -> None:
        """Room for a node's keys and values, to be filled by the pass that computes them."""
        self._store(node)
        self.pending -= len(node.tokens)

    def beside(self, above: Node, tokens: Ids) -> Node:
        """A span behind `above` with room for its keys and values, not in the tree until `adopt` puts it there."""
        self._made += 1
        node = Node(above, tokens, self._made)
        self._store(node)
        return node

    def adopt(self, node: Node) -> None:
        """Put a computed span that stands beside the tree into it, unless another begins like it there."""
        assert node.parent is not None
        if int(node.tokens[0]) in node.parent.children:
            self.let_go(node)
            return
        self._clock += 1
        node.used = self._clock
        node.parent.children[int(node.tokens[0])] = node

    def let_go(self, node: Node) -> None:
        """Forget a span that stands beside the tree."""
        self._release(len(node.tokens))

    def idle(self) -> int:
        """Tokens of computed spans that could be let go: neither they nor anything behind them is in use."""

        def of(node: Node) -> tuple[int, bool]:
            parts = [of(child) for child in node.children.values()]
            used = bool(node.users) or any(in_use for _, in_use in parts)
            own = 0 if used or node.parent is None else len(node.tokens)
            return own + sum(tokens for tokens, _ in parts), used

        return of(self.root)[0]

    def shrink(self, tokens: int) -> int:
        """Let go of spans nobody uses, the longest unused first, until `tokens` are freed; how many were."""
        freed = 0
        while freed < tokens:
            idle = [n for n in self.nodes() if not n.users and not n.children]
            if not idle:
                break
            # Many at once: a walk over the tree for each would make eviction quadratic.
            for node in sorted(idle, key=lambda n: n.used)[: max(1, len(idle) // 4)]:
                freed += self._drop(node)
                if freed >= tokens:
                    break
        return freed

    def nodes(self) -> Iterator[Node]:
        """All nodes but the root, parents first."""
        waiting = list(self.root.children.values())
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.children.values()

    def clear(self) -> None:
        """Forget everything (no request may be at work)."""
        self.root = Node(None, np.zeros(0, np.int32), 0)
        self._release(self.held)
        self.pending = 0

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _store(self, node: Node) -> None:
        """Take the memory of a span."""
        sizes = (self.shape.kv_heads, len(node.tokens), self.shape.head_width)
        for blocks in (node.keys_LGSK, node.values_LGSK):
            blocks += (torch.empty(sizes, dtype=self.dtype, device=self.device) for _ in range(self.shape.layers))
        self.held += len(node.tokens)
        self.meter.add(len(node.tokens) * self.token_bytes)

    def _release(self, tokens: int) -> None:
        """Count the memory of so many tokens as given back."""
        self.held -= tokens
        self.meter.add(-tokens * self.token_bytes)

    def _cut(self, blocks_LGSK: list[Tensor], at: int, *, rest: bool) -> list[Tensor]:
        """The first `at` tokens of each layer as tensors of their own; `rest` says whether the others remain."""
        first: list[Tensor] = []
        for layer, whole_GSK in enumerate(blocks_LGSK):
            # One layer at a time: no more than that is there twice.
            self.meter.add(whole_GSK.nbytes if rest else whole_GSK[:, :at].nbytes)
            first.append(whole_GSK[:, :at].clone())
            blocks_LGSK[layer] = whole_GSK[:, at:].clone() if rest else first[-1]
            self.meter.add(-whole_GSK.nbytes)
        return first

    def _new(self, parent: Node, tokens: Ids) -> Node:
        self._made += 1
        node = parent.children[int(tokens[0])] = Node(parent, tokens, self._made)
        return node

    def _divide(self, node: Node, at: int) -> Node:
        """Put a new node above `node` that takes its first `at` tokens; whoever uses `node` goes on using it."""
        assert node.parent is not None
        if len(node.tokens) - at < self.least and not node.users and not node.children:
            return self._shorten(node, at)
        upper = self._new(node.parent, node.tokens[:at])
        upper.used = node.used
        node.parent, node.tokens = upper, node.tokens[at:]
        upper.children[int(node.tokens[0])] = node
        upper.keys_LGSK = self._cut(node.keys_LGSK, at, rest=True)
        upper.values_LGSK = self._cut(node.values_LGSK, at, rest=True)
        return upper

    def _shorten(self, node: Node, at: int) -> Node:
        """Forget the end of a span: spans that many requests leave at many places must not crumble."""
        less = len(node.tokens) - at
        node.tokens = node.tokens[:at]
        if node.keys_LGSK:
            self._cut(node.keys_LGSK, at, rest=False)
            self._cut(node.values_LGSK, at, rest=False)
            self.held -= less
        else:
            self.pending -= less
        return node

    def _drop(self, node: Node) -> int:
        assert node.parent is not None and not node.children and not node.users
        del node.parent.children[int(node.tokens[0])]
        if node.keys_LGSK:
            self._release(len(node.tokens))
        else:
            self.pending -= len(node.tokens)
        return len(node.tokens)


def shared(left: Ids, right: Ids) -> int:
    """Length of the common beginning of two sequences."""
    n = min(len(left), len(right))
    differ = np.flatnonzero(left[:n] != right[:n])
    return int(differ[0]) if len(differ) else n
