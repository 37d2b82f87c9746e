"""Long multiplication written out, and what somebody wrote read back and checked line by line.

    47 x 36:   47 x 6 = 282          a line for each digit of the second number, from its last, with its zeros
               47 x 30 = 1410
               282 + 1410 = 1692     then the products added one after the other
               Answer: 1692

A line's own error has a kind: *format* (no such line), *copy* (its operands are not the numbers that stand before),
*carry* (off by a carry that was lost, or by one in a place that a carry goes to), *partial product*, *addition*.
Factors and summands may stand in either order; commas in numbers are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tandem.evaluate.long.steps import Chain, Step

FORMAT, COPY, CARRY, PRODUCT, ADDITION = "format", "copy", "carry", "partial product", "addition"
KINDS = (FORMAT, COPY, CARRY, PRODUCT, ADDITION)
CUE = "Answer:"
_NUMBER = r"\d(?:[\d,]*\d)?"
_LINE = re.compile(rf"^\W*?(?:\d{{1,2}}[.)]\s+)?({_NUMBER})\s*([x×X*·+])\s*({_NUMBER})\s*=\s*({_NUMBER})\s*\.?$")
_ANSWER = re.compile(rf"^\s*{CUE}\s*({_NUMBER})\s*\.?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """One line of a chain, flawless or as it was read."""

    sign: str
    """`x` or `+`."""
    left: int
    """First operand."""
    right: int
    """Second operand."""
    result: int
    """What stands behind the equals sign."""

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right} = {self.result}"


def lines(a: int, b: int) -> list[Line]:
    """The flawless chain of a × b without its answer."""
    digits = str(b)[::-1]
    products = [Line("x", a, int(d) * 10**place, a * int(d) * 10**place) for place, d in enumerate(digits)]
    chain, total = list(products), products[0].result
    for product in products[1:]:
        chain.append(Line("+", total, product.result, total + product.result))
        total += product.result
    return chain


def written(a: int, b: int) -> str:
    """The chain as text, with its answer."""
    return "\n".join([*map(str, lines(a, b)), f"{CUE} {a * b}"])


def names(digits: int) -> list[str]:
    """What the steps of a second number of so many digits are."""
    return [
        *(f"product {n}" for n in range(1, digits + 1)),
        *(f"sum {n}" for n in range(1, digits)),
        "answer",
    ]


def answer_of(text: str) -> int | None:
    """The number behind the last cue, or None."""
    found = [match for line in text.splitlines() if (match := _ANSWER.match(line))]
    return _number(found[-1][1]) if found else None


def direct_answer(text: str) -> int | None:
    """The last number of the first line that has one, or None."""
    for line in text.splitlines():
        if numbers := re.findall(_NUMBER, line):
            return _number(numbers[-1])
    return None


def check(a: int, b: int, text: str, group: str = "") -> Chain:
    """What was written, against the flawless chain of a × b.

    Lines with an equals sign are taken for the steps in order; prose between them is passed over.
    """
    wanted = lines(a, b)
    given = [line.strip() for line in text.splitlines() if "=" in line and not _ANSWER.match(line)]
    steps: list[Step] = []
    values: list[int | None] = []
    factors = len(str(b))
    for n, want in enumerate(wanted):
        if n < factors:
            operands: tuple[int | None, int | None] = (want.left, want.right)
            parents: list[int] = []
        else:
            before = 0 if n == factors else n - 1
            parents = [before, n - factors + 1]
            operands = (values[before], values[n - factors + 1])
        fine = all(steps[parent].value_right for parent in parents)
        line = given[n] if n < len(given) else ""
        step, value = _step(line, want, operands, fine)
        steps.append(step)
        values.append(value)
    steps.append(_answer(text, a * b, values[-1], steps[-1].value_right))
    return Chain(group, tuple(steps), max(0, len(given) - len(wanted)))


def _step(line: str, want: Line, operands: tuple[int | None, int | None], fine: bool) -> tuple[Step, int | None]:
    """A line checked, and its value; `operands` are what it should take, as that was written."""
    match = _LINE.match(line)
    sign = "" if match is None else "+" if match[2] == "+" else "x"
    if match is None or sign != want.sign:
        return Step(line, str(want), parents_right=fine, kind=FORMAT), None
    left, right, result = (_number(match[group]) for group in (1, 3, 4))
    copied = None not in operands and sorted((left, right)) == sorted(n for n in operands if n is not None)
    true = left * right if sign == "x" else left + right
    kind = ""
    if not copied:
        kind = COPY
    elif result != true:
        carried = carry_errors(left, right, sign)
        kind = CARRY if result in carried else PRODUCT if sign == "x" else ADDITION
    return Step(line, str(want), result == want.result, fine, not kind, kind), result


def _answer(text: str, product: int, last: int | None, fine: bool) -> Step:
    wanted = f"{CUE} {product}"
    value = answer_of(text)
    if value is None:
        return Step("", wanted, parents_right=fine, kind=FORMAT)
    copied = value == last
    return Step(f"{CUE} {value}", wanted, value == product, fine, copied, "" if copied else COPY)


def carry_errors(left: int, right: int, sign: str) -> set[int]:
    """Results that one wrong carry gives: any of them lost, all of them lost, or one too many or too few.

    A product is taken digit by digit of the factor that has more digits but zeros at its end.
    """
    if sign == "+":
        true, carries = left + right, _sum_carries(left, right)
    else:
        many, one = (left, right) if _significant(right) == 1 or _significant(left) > 1 else (right, left)
        true, carries = left * right, _product_carries(many, one)
    wrong = {true - sum(carry * 10**place for place, carry in carries.items())}
    for place, carry in carries.items():
        wrong |= {true - carry * 10**place, true - 10**place, true + 10**place}
    return wrong - {true}


def _sum_carries(left: int, right: int) -> dict[int, int]:
    """Place that a carry goes to → the carry."""
    carries: dict[int, int] = {}
    carry = 0
    for place in range(max(len(str(left)), len(str(right)))):
        carry = (left // 10**place % 10 + right // 10**place % 10 + carry) // 10
        if carry:
            carries[place + 1] = carry
    return carries


def _product_carries(many: int, one: int) -> dict[int, int]:
    """The same of a number times one digit with zeros."""
    zeros = len(str(one)) - len(str(one).rstrip("0")) if one else 0
    digit = one // 10**zeros
    carries: dict[int, int] = {}
    carry = 0
    for place in range(len(str(many))):
        carry = (many // 10**place % 10 * digit + carry) // 10
        if carry:
            carries[place + 1 + zeros] = carry
    return carries


def _significant(number: int) -> int:
    return len(str(number).rstrip("0"))


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def same_end(a: int | None, b: int) -> tuple[bool, bool]:
    """Whether a number's first and last digit are those of the right one."""
    return (False, False) if a is None else (str(a)[0] == str(b)[0], str(a)[-1] == str(b)[-1])


def sizes_of(texts: Sequence[str]) -> list[tuple[int, int]] | str:
    """`3x2` → (3, 2); the first text that is none where one is not."""
    found = []
    for text in texts:
        match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text.strip())
        if match is None:
            return text
        found.append((int(match[1]), int(match[2])))
    return found
