"""SVG and HTML elements out of names, attributes and children, every one of them escaped.

No drawing here, only spelling: `plot` and `strip` decide what goes where. Strings put together by hand were rejected:
a legend is text somebody else wrote, and one forgotten escape is enough.
"""

from __future__ import annotations

from typing import TypeAlias

from markupsafe import Markup, escape

Attribute: TypeAlias = str | int | float | None


def element(name: str, *children: object, **attributes: Attribute) -> Markup:
    """One element. `class_` spells `class`, `stroke_width` spells `stroke-width`; None leaves the attribute out.

    Numbers are written with at most two decimals: a hundredth of a pixel. Children that are not Markup are escaped.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _attribute(value))
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, inside)


def drawing(width: float, height: float, *children: object, label: str = "", class_: str = "") -> Markup:
    """An `svg` of this size in CSS pixels. With a label it is an image to a screen reader, without one decoration."""
    spoken: dict[str, Attribute] = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return element(
        "svg",
        *children,
        class_=class_ or None,
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        **spoken,
    )


def number(value: float) -> str:
    """A coordinate: two decimals at most, no trailing zeros, no negative zero."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _attribute(value: str | int | float) -> str:
    return value if isinstance(value, str) else number(value)
