"""An evaluator in a process of its own, to be killed. Usage: judging_worker.py HOME WINDOWS.

For every line on standard input an evaluator is forked off, which judges window after window from where the last one
got; its process id is printed, and then how it ended.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parent.parent))

from alert_scenes import ERRORS, rule_set
from tiltmeter.alerting.advance import advance
from tiltmeter.alerting.rules import verdicts
from tiltmeter.alerting.situation import Situation
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.run import Run
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ports import World
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import SteppedClock

START = datetime(2026, 11, 1, tzinfo=UTC)
MODEL = Model("lead-scoring")
ROUND = 15
"""Windows of an incident: three in breach, twelve fine: seldom enough not to flap."""


def value_of(number: int) -> float:
    return 0.5 if number % ROUND < 3 else 0.0


def judge_on(home: str, windows: int) -> None:
    clock = SteppedClock()
    state = SqlStateStore("sqlite:state.db", clock, home=Path(home))
    rules = rule_set(ERRORS.replace("every: 10s", "every: hour"))
    world = World(
        clock=clock, zone=ZoneInfo("UTC"), engine=None, log=None, states=None, baselines=None, state=state,
        models={MODEL.name: MODEL}, rules=rules,
    )  # fmt: skip
    for number in range(int(state.watermark("judged") or 0), windows):
        begin = START + timedelta(hours=number)
        window = Window(begin, begin + timedelta(hours=1), Grain.HOUR)
        clock.moment = window.end
        metric = Metric("serving.error_rate", Subject(MODEL.name), window, value_of(number), n_current=1_000)
        with state.transaction():
            situation = Situation.of(world, MODEL, rules.rules)
            made = advance(situation, verdicts([metric], rules.rules), window=window, now=window.end)
            changed = (made.alerts, made.events, made.incidents, made.messages)
            state.commit(Run("traffic", MODEL.name, window, window.end, 1, (metric,), *changed))
        state.set_watermark("judged", str(number + 1))


def main() -> None:
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            judge_on(sys.argv[1], int(sys.argv[2]))
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print("done" if status == 0 else "killed", flush=True)


if __name__ == "__main__":
    main()
