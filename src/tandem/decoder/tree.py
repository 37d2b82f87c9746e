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
        self.keys_LGSK: Tensor | None = None
        """Keys of the span, None until computed."""
        self.values_LGSK: Tensor | None = None
        """Values of the span."""
        self.users = 0
        """Requests at work whose path ends here."""
        self.used = 0
        """When a request last came by, on the tree's own clock."""

    @property
    def ready(self) -> bool:
        """Whether keys and values are there."""
        return self.keys_LGSK is not None or self.parent is None

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

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device, *, longest: int, least: int = 1) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device
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
        sizes = (self.shape.layers, self.shape.kv_heads, len(node.tokens), self.shape.head_width)
        node.keys_LGSK = torch.empty(sizes, dtype=self.dtype, device=self.device)
        node.values_LGSK = torch.empty(sizes, dtype=self.dtype, device=self.device)
        self.held += len(node.tokens)
        self.pending -= len(node.tokens)

    def beside(self, above: Node, tokens: Ids) -> Node:
        """A span behind `above` with room for its keys and values, not in the tree until `adopt` puts it there."""
        self._made += 1
        node = Node(above, tokens, self._made)
        sizes = (self.shape.layers, self.shape.kv_heads, len(tokens), self.shape.head_width)
        node.keys_LGSK = torch.empty(sizes, dtype=self.dtype, device=self.device)
        node.values_LGSK = torch.empty(sizes, dtype=self.dtype, device=self.device)
        self.held += len(tokens)
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
        self.held -= len(node.tokens)

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
        self.held = self.pending = 0

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────

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
        if node.keys_LGSK is not None and node.values_LGSK is not None:
            upper.keys_LGSK, node.keys_LGSK = node.keys_LGSK[:, :, :at].clone(), node.keys_LGSK[:, :, at:].clone()
            upper.values_LGSK = node.values_LGSK[:, :, :at].clone()
            node.values_LGSK = node.values_LGSK[:, :, at:].clone()
        return upper

    def _shorten(self, node: Node, at: int) -> Node:
        """Forget the end of a span: spans that many requests leave at many places must not crumble."""
        less = len(node.tokens) - at
        node.tokens = node.tokens[:at]
        if node.keys_LGSK is None or node.values_LGSK is None:
            self.pending -= less
        else:
            self.held -= less
            node.keys_LGSK, node.values_LGSK = node.keys_LGSK[:, :, :at].clone(), node.values_LGSK[:, :, :at].clone()
        return node

    def _drop(self, node: Node) -> int:
        assert node.parent is not None and not node.children and not node.users
        del node.parent.children[int(node.tokens[0])]
        if node.keys_LGSK is None:
            self.pending -= len(node.tokens)
        else:
            self.held -= len(node.tokens)
        return len(node.tokens)


def shared(left: Ids, right: Ids) -> int:
    """Length of the common beginning of two sequences."""
    n = min(len(left), len(right))
    differ = np.flatnonzero(left[:n] != right[:n])
    return int(differ[0]) if len(differ) else n
