"""Which windows are due: cron expressions in the business time zone, each window once and in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.window import Grain, window_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.window import Window


_A_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """When the windows of each grain are judged.

    Args:
        zone: business time zone: cuts the windows and reads the cron expressions.
        cron: expression by grain.
        wait: how long a window waits for rows that have not come yet.
    """

    zone: ZoneInfo
    cron: dict[Grain, str]
    wait: timedelta

    def due_at(self, window: Window) -> datetime:
        """First moment of the schedule at or after the end of the window.

        Raises:
            ConfigError: the cron expression cannot be read.
        """
        local_end = window.end.astimezone(self.zone)
        expression = self.cron[window.grain]
        try:
            # CronSim gives moments after its start: one microsecond earlier makes the end itself count.
            moment = next(CronSim(expression, local_end.replace(microsecond=0) - _A_SECOND))
        except (CronSimError, StopIteration) as error:
            raise ConfigError(f'the schedule "{expression}" cannot be read', hint="write it like 5 * * * *") from error
        due: datetime = moment.astimezone(UTC)
        return max(due, window.end)

    def due(self, after: datetime, now: datetime, grain: Grain) -> Iterator[Window]:
        """Windows of the grain that start at `after` or later and are due, oldest first.

        Args:
            after: end of the last judged window, or the first row's time.
            now: wall clock.
            grain: which windows.
        """
        window = window_at(after, grain, self.zone)
        while window.end <= now and self.due_at(window) <= now:
            yield window
            window = window_at(window.end, grain, self.zone)
