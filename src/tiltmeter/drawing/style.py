"""Colours of pictures, as one style sheet. Baseline is filled grey, current a blue line: readable in grey and print."""

from __future__ import annotations

from tiltmeter.domain.severity import Severity

BASELINE = "#c3c8d0"
CURRENT = "#0072b2"
"""Okabe and Ito's blue."""

SEVERITY_COLOURS = {
    Severity.NONE: "#64748b",
    Severity.INFO: "#56b4e9",
    Severity.WARNING: "#f59e0b",
    Severity.CRITICAL: "#b91c1c",
}
SEVERITY_MARKS = {Severity.NONE: "○", Severity.INFO: "i", Severity.WARNING: "▲", Severity.CRITICAL: "■"}
"""Severity is colour and mark and word, never colour alone."""

WATCH = 0.1
"""PSI that is worth a look though it is no warning yet: Siddiqi, Credit Risk Scorecards, 2006."""

SIZES = (0.1, 0.25, 0.5)
"""Where the shades of a heatmap change that no rule judges: sizes, not severities."""

SIZE_WORDS = ("up to 0.1", "above 0.1", "above 0.25", "above 0.5")
NOT_JUDGED = "not judged"
STEP_CLASSES = {
    "ok": "h0", "watch": "h1", "info": "s1", "warning": "h2", "critical": "h3",
    **dict(zip(SIZE_WORDS, ("h0", "u1", "u2", "u3"), strict=True)), NOT_JUDGED: "hx",
}  # fmt: skip
"""Steps of a heatmap, mildest first, by the class that colours them in a picture."""

STEP_COLOURS = ("#e6e9ee", "#fde3a7", "#f59e0b", "#b91c1c")

_DARK = {
    "--tm-text": "#d7dce3", "--tm-faint": "#9aa4b2", "--tm-grid": "#3a424d", "--tm-base": "#5a6472",
    "--tm-now": "#56b4e9", "--tm-quiet": "#2b323b", "--tm-back": "#15191e", "--tm-card": "#1c2127",
}  # fmt: skip
_LIGHT = {
    "--tm-text": "#1d2329", "--tm-faint": "#5b6673", "--tm-grid": "#d9dde3", "--tm-base": BASELINE,
    "--tm-now": CURRENT, "--tm-quiet": STEP_COLOURS[0], "--tm-back": "#ffffff", "--tm-card": "#ffffff",
}  # fmt: skip

_RULES = """
.tm svg{display:block;max-width:100%;height:auto}
.tm text{font:11px system-ui,sans-serif;fill:var(--tm-faint)}
.tm .b{fill:var(--tm-base)}
.tm .n{fill:none;stroke:var(--tm-now);stroke-width:1.6;stroke-linejoin:round}
.tm .f{fill:var(--tm-now)}
.tm .g{stroke:var(--tm-grid);stroke-width:1;fill:none}
.tm .w{stroke:#f59e0b;stroke-width:1;stroke-dasharray:4 3}
.tm .c{stroke:#b91c1c;stroke-width:1;stroke-dasharray:4 3}
.tm .t{fill:var(--tm-text)}
.tm .h0{fill:var(--tm-quiet)}.tm .h1{fill:#fde3a7}.tm .h2{fill:#f59e0b}.tm .h3{fill:#b91c1c}
.tm .u1{fill:#c5cedb}.tm .u2{fill:#8fa0b5}.tm .u3{fill:#56677d}
.tm .i{fill:none;stroke:var(--tm-text);stroke-width:1.4}
.tm .hatch{fill:none;stroke:var(--tm-faint);stroke-width:1;opacity:.55}
.tm .hx{fill:none;stroke:var(--tm-grid);stroke-dasharray:2 2}
.tm .s0{fill:#64748b}.tm .s1{fill:#56b4e9}.tm .s2{fill:#f59e0b}.tm .s3{fill:#b91c1c}
"""


def style_sheet(*, scope: str = ":root") -> str:
    """Colours of all pictures, light or dark as the reader's system is.

    Args:
        scope: selector that the colours hold for; `.tm` inside other people's pages.
    """
    light = ";".join(f"{name}:{value}" for name, value in _LIGHT.items())
    dark = ";".join(f"{name}:{value}" for name, value in _DARK.items())
    on_paper = f"@media print{{{scope}{{{light}}}}}"
    return f"{scope}{{{light}}}@media(prefers-color-scheme:dark){{{scope}{{{dark}}}}}{on_paper}{_RULES}"


def step_of(psi: float | None, severity: Severity | None, *, watch: float | None = WATCH) -> str:
    """Which step of a heatmap a PSI stands on: one of `STEP_CLASSES`.

    Args:
        psi: None where nothing was judged.
        severity: what the rules make of it; None where no rule judges it.
        watch: from here on it is worth a look; None where the rules begin as early.
    """
    if psi is None:
        return NOT_JUDGED
    if severity is None:
        return SIZE_WORDS[sum(psi > limit for limit in SIZES)]
    if severity is Severity.NONE:
        return "watch" if watch is not None and psi > watch else "ok"
    return severity.word
