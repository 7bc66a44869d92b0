"""Keeps pandas out of a process that runs for ever and never uses it."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def leave_pandas_out() -> None:
    """Let Arrow find no pandas when it looks for it, once; 37 MiB and half a second of CPU less.

    The first `pa.array` imports pandas wherever it is installed, only to ask whether a list is a series, and remembers
    when there is none. What really needs pandas (`to_pandas`, a data frame as an argument) looks again and finds it.
    For processes of our own, before their first array: there `pa.array` takes a series for a plain sequence.
    """
    if "pandas" in sys.modules:
        return
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(absent)


class _Absent(MetaPathFinder):
    """Says that pandas is not installed."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol of import
        target: ModuleType | None = None,  # noqa: ARG002
        /,
    ) -> ModuleSpec | None:
        """Nothing but an error for pandas; every other module is looked for elsewhere."""
        if fullname == "pandas":
            raise ModuleNotFoundError("left out", name=fullname)
        return None
