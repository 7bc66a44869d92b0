"""Words of a rule that would silently do nothing: a misspelt label or placeholder, a runbook that is no address."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.config.reading import Reader
    from tiltmeter.config.yaml_source import KeyPath
    from tiltmeter.domain.rule import Rule

LABELS = ("feature", "model_version", "job", "http_route")
"""Labels that every model has; others are columns of its segments."""

PLACEHOLDERS = ("model", "model_version", "feature", "rule", "severity", "value")
"""What an annotation can be filled with."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def check_words(reader: Reader, path: KeyPath, rule: Rule) -> None:
    """Complain about words that nearly mean something; braces and labels of a person's own are left alone."""
    for label in rule.by:
        near = _meant(label, LABELS)
        if near:
            reader.complain((*path, "by"), f'no alert has the label "{label}"', hint=f'did you mean "{near}"?')
    for name, text in rule.annotations.items():
        for word in _PLACEHOLDER.findall(text):
            near = _meant(word, PLACEHOLDERS)
            if near:
                what = f'there is no placeholder "{{{word}}}"'
                reader.complain((*path, "annotations", name), what, hint=f'did you mean "{{{near}}}"?')
    parts = urlsplit(rule.runbook)
    if rule.runbook and not (parts.scheme in {"http", "https"} and parts.netloc):
        reader.complain(
            (*path, "runbook"),
            f'the runbook "{rule.runbook}" is no address',
            hint="write https://…; messages link to nothing else",
        )


def _meant(word: str, known: Sequence[str]) -> str:
    return "" if word in known else next(iter(get_close_matches(word, known, n=1, cutoff=0.8)), "")
