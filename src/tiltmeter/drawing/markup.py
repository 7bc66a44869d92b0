"""Text that is safe to put into a page: names of features and levels are hostile and escaped wherever they go in."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Markup(str):
    """Text that is markup already. Everything else is escaped."""

    __slots__ = ()


def safe(text: object) -> Markup:
    """The text escaped, control and direction characters replaced by a dot; markup stays as it is."""
    if isinstance(text, Markup):
        return text
    shown = "".join(c if c.isprintable() or c in "\n " else "·" for c in str(text))
    return Markup(escape(shown))


def element(name: str, *children: object, **attributes: object) -> Markup:
    """One element with its children.

    Args:
        name: of the element.
        children: text (escaped), markup, or iterables of them; None is left out.
        attributes: values are escaped; None and False leave an attribute out, True gives it without value. A trailing
            underscore is dropped (`class_`), other underscores become hyphens.
    """
    head = "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{name}{head}>{joined(children)}</{name}>")


def empty(name: str, **attributes: object) -> Markup:
    """An element without content, closed as XML wants it."""
    return Markup(f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}/>")


def joined(children: Iterable[object]) -> Markup:
    """Children one after the other."""
    return Markup("".join(_child(child) for child in children))


def _child(child: object) -> str:
    if child is None:
        return ""
    if isinstance(child, list | tuple):
        return joined(child)
    return safe(child)


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = coordinate(value) if isinstance(value, float) else str(value)
    return f' {name}="{safe(text)}"'


def coordinate(value: float) -> str:
    """A number of a picture with one decimal, as short as possible."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")
