"""Everything that can go wrong, one tree.

    TiltmeterError
    ├── ConfigError                 a setting, rule or option is wrong            exit code 2
    │   └── UsageError              a command line or call names something wrong  exit code 2
    ├── DataError                   the data cannot be used                       exit code 1
    │   ├── EmptyWindow             a side has no rows
    │   ├── UnreadableData          missing file, broken file, unsupported table
    │   ├── NoCommonColumns         nothing to compare
    │   └── SchemaChanged           a column is gone or changed its type
    ├── StoreError                  a table, spool or state database failed       exit code 1
    │   ├── RowsRewritten           rows that were read before are others now     exit code 1
    │   └── LeaseLost               another process took over                     exit code 1
    └── DeliveryError               a channel refused or did not answer           exit code 1

The text says what happened, the value, where, and what to do; never a secret and never a row of customer data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiltmeter.domain.message import Receipt
    from tiltmeter.domain.window import Window


class TiltmeterError(Exception):
    """Base of every error a user may see.

    Args:
        what: what happened, with the value, one sentence without a full stop.
        at: where it happened, as `file:line`, a path or a name.
        hint: what to do about it.
    """

    exit_code = 1
    retryable = False

    def __init__(self, what: str, *, at: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.at = at
        self.hint = hint

    def __str__(self) -> str:
        """One line: `where: what; hint`."""
        text = f"{self.at}: {self.what}" if self.at else self.what
        return f"{text}; {self.hint}" if self.hint else text


class ConfigError(TiltmeterError):
    """A setting, rule or option is wrong."""

    exit_code = 2


class UsageError(ConfigError):
    """A command line or a call names something that does not exist or does not fit."""


class DataError(TiltmeterError):
    """The data cannot be used."""


class EmptyWindow(DataError):
    """A side of a comparison has no rows."""


class UnreadableData(DataError):
    """A file or table is missing, broken, or uses a feature that cannot be read."""


class NoCommonColumns(DataError):
    """Two data sets share no column that could be compared."""


class SchemaChanged(DataError):
    """A column is gone or changed its type."""


class StoreError(TiltmeterError):
    """A table, the spool or the state database failed.

    Args:
        retryable: whether the same call may succeed later.
    """

    def __init__(self, what: str, *, at: str | None = None, hint: str | None = None, retryable: bool = False) -> None:
        super().__init__(what, at=at, hint=hint)
        self.retryable = retryable


class RowsRewritten(StoreError):
    """A source changed rows in place, so new rows cannot be told from old ones: a span has to be read again.

    Args:
        what: what happened to the source.
        at: the source.
        version: of the source that holds the rows as they are now.
        span: holds every row that is new or was changed; None when that is not known.
    """

    def __init__(self, what: str, *, at: str, version: int, span: Window | None) -> None:
        super().__init__(what, at=at, retryable=True)
        self.version = version
        self.span = span


class LeaseLost(StoreError):
    """Another process took the right to judge; nothing was written."""


class DeliveryError(TiltmeterError):
    """A channel refused a message or did not answer.

    Args:
        retryable: whether sending again later may succeed.
        unknown: whether the message may have arrived all the same (cut connection, timeout after sending).
        retry_after: seconds the receiver asked to wait; pauses the whole channel.
        receipt: what did get through of a message to several receivers, so that only the rest is tried again.
    """

    def __init__(
        self,
        what: str,
        *,
        at: str | None = None,
        hint: str | None = None,
        retryable: bool = True,
        unknown: bool = False,
        retry_after: float | None = None,
        receipt: Receipt | None = None,
    ) -> None:
        super().__init__(what, at=at, hint=hint)
        self.retryable = retryable
        self.unknown = unknown
        self.retry_after = retry_after
        self.receipt = receipt
