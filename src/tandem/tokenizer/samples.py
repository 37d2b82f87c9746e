"""Texts that a tokenizer is checked on: code whose white space matters, scripts, Unicode forms, prose of several kinds.

All written for this purpose. Data only; `findings` says what is asked of them.
"""

from __future__ import annotations

CODE = '''\
class Ledger:
    """Entries by name.

        Two levels in, a line that only looks like code.
    """

    def __init__(self, entries=()):
        self.entries = dict(entries)
        self.sums  =  {}          # aligned by hand

    def total(self, names):
        result = 0
        for name in names:
            if name in self.entries:
                for amount in self.entries[name]:
                    if amount > 0:
                        result += amount
                    else:
                        result -= 2 * amount
            elif name:
                raise KeyError("no  entry\\tfor   " + name)

        return result


TABLE = """
a     b       c
1\t\t2\t\t\t3
  indented    text
"""

if __name__ == "__main__":
\tledger = Ledger({"rent": [750, -20]})
\tif ledger.total(["rent"]) > 0:
\t\tprint(ledger.total(["rent"]), TABLE)
'''
"""A program that means something else, or nothing, when runs of white space change."""

KINDS: dict[str, str] = {
    "code": CODE,
    "prose": (
        "The ferry left the harbour an hour late, which nobody on board seemed to mind. A child counted gulls; two "
        "old men argued about the price of herring in 1974, and whether it had ever been fair. “You weren't there,” "
        "said the first. “I was,” said the other, “and so was your brother.”\n\nBy evening the wind had turned.\n"
    ),
    "numbers": "1234567 items at 3.14159 each, 2024-05-17T08:30:00Z, 0xDEADBEEF, 1e-12, +49 30 901820, 100,000,000\n",
    "markup": ('{"id": 17, "tags": ["a", "b"], "ok": null}\n<ul class="menu"><li>One &amp; two</li></ul>\n| a | b |\n'),
    "French": "L'été dernier, nous avons déjeuné près de la forêt ; c'était délicieux, n'est-ce pas ?\n",
    "Russian": "Поезд опоздал на сорок минут, и мы успели выпить чаю.\n",
    "Arabic": "وصل القطار متأخراً أربعين دقيقة، فشربنا الشاي.\n",
    "Hindi": "रेलगाड़ी चालीस मिनट देर से आई, इसलिए हमने चाय पी।\n",
    "Chinese": "火车晚点了四十分钟，所以我们喝了茶。\n",
    "Thai": "รถไฟมาช้าสี่สิบนาที เราจึงดื่มชา\n",
}
"""Short texts by kind, for bytes per token."""

FORMS: dict[str, str] = {
    "composed letters (NFC)": "caf\u00e9 \u00c5ngstr\u00f6m",
    "decomposed letters (NFD)": "cafe\u0301 A\u030angstro\u0308m",
    "compatibility forms": "\ufb01ne x\u00b2 \u2460 \uff21\uff22 \u212b \u2126",
    "upper and lower case": "McDonald NASA iPhone straße STRASSE İstanbul",
    "white space of other kinds": "a\u00a0b\u2003c\u3000d\u2028e\u200bf",
    "control characters": "a\x00b\x07c\x1bd\x7fe\ufefff",
    "line ends": "one\r\ntwo\rthree\n\n\nfour\n",
    "spaces at the ends": "  two before, three after   ",
    "runs of spaces": "a  b   c    d        e",
    "runs of tabs": "a\tb\t\tc\t\t\td",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇳🇿",
    "rare scripts": "𓀀𓂀 ꦗꦮ ᚠᚢᚦ 𐍈 ߒߞߏ",
    "private use and unassigned": "\ue000 \U000f1234 \u0378",
    "quotes and contractions": "it's we'll \"don't\" ''s 'S I'M",
}
"""What normalisers and incomplete alphabets lose, by what it is."""
