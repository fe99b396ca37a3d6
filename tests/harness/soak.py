"""A job that is interrupted at random, again and again, and what that may cost at most.

The three victims are the worker, triggerer A and triggerer B; each is killed, or frozen and thawed later. A deferred
job has no worker, so an interruption of the worker first brings it there: the task is cleared, and its next try runs
the job on the worker, where it is struck; the try behind that one is deferred again.
"""

from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.interruptions import wait_until

if TYPE_CHECKING:
    import psutil
    from harness.airflow_processes import AirflowStack
    from harness.interruptions import InterruptedRun

WORKER = "worker"
VICTIMS = (WORKER, "triggerer-1", "triggerer-2")
ACTS = ("kill", "freeze")

_FROZEN_SECONDS = (8.0, 20.0)
_TAKE_OVER_SECONDS = 300
_FLUSH_SECONDS = 1.0


@dataclass(frozen=True)
class Interruption:
    """One of them, as drawn before the job starts.

    Args:
        victim: of `VICTIMS`.
        act: of `ACTS`.
        frozen_seconds: how long, where it is frozen.
    """

    victim: str
    act: str
    frozen_seconds: float


@dataclass(frozen=True)
class Risk:
    """What a runner may have lost at one moment.

    Args:
        in_flight: calls under way.
        unflushed: calls that had ended, and whose answers may not have been in the folder.
        overlap: calls that it may make until it notices that another one has the job.
    """

    in_flight: int = 0
    unflushed: int = 0
    overlap: int = 0

    @property
    def calls(self) -> int:
        """All that may have to be paid again."""
        return self.in_flight + self.unflushed + self.overlap


def draw_interruptions(count: int, seed: int) -> list[Interruption]:
    """Every victim is drawn before one is drawn again, so that a short soak meets all three."""
    draw = random.Random(seed)
    drawn: list[Interruption] = []
    while len(drawn) < count:
        victims = draw.sample(VICTIMS, len(VICTIMS))
        drawn += [Interruption(victim, draw.choice(ACTS), draw.uniform(*_FROZEN_SECONDS)) for victim in victims]
    return drawn[:count]


class Soak:
    """Interrupts one run, and adds up what that may cost.

    Args:
        airflow: with two triggerers.
        run: of the DAG `where_told`.
        latency_seconds: of the endpoint.
    """

    def __init__(self, airflow: AirflowStack, run: InterruptedRun, latency_seconds: float) -> None:
        self._airflow = airflow
        self._run = run
        self._per_flush = round(run.workload.in_flight * _FLUSH_SECONDS / latency_seconds)
        self._bound = 0
        self._counted = 0

    @property
    def bound(self) -> int:
        """Calls that may have been paid again.

        On a busy machine a triggerer may be late with its heartbeat, and lose the job to the other one by itself.
        """
        by_themselves = max(0, self._run.epoch - 1 - self._counted)
        return self._bound + by_themselves * (2 * self._run.workload.in_flight + 2 * self._per_flush)

    def interrupt(self, interruption: Interruption) -> None:
        """Do one, and wait until the job goes on."""
        if interruption.victim == WORKER:
            self._bring_to_worker()
            processes = self._worker()
            holds = True
        else:
            processes = []
            holds = self._run.triggerer == interruption.victim
        kept = len(self._run.kept_ids)
        self._signal(interruption, processes, signal.SIGKILL if interruption.act == "kill" else signal.SIGSTOP)
        risk = self._risk(overlaps=interruption.act == "freeze") if holds else Risk()
        self._count(interruption, risk, "holds the job" if holds else "idle")
        if interruption.act == "freeze":
            time.sleep(interruption.frozen_seconds)
            self._signal(interruption, processes, signal.SIGCONT)
        elif interruption.victim != WORKER:
            self._airflow.restart(interruption.victim)
        wait_until(lambda: len(self._run.kept_ids) > kept, _TAKE_OVER_SECONDS)

    def _bring_to_worker(self) -> None:
        """Clear the task while it is told to run on the worker, and wait until it asks there."""
        run = self._run
        scheduler = self._airflow.pid("scheduler")  # its LocalExecutor's workers are in its session
        run.workload.on_worker.touch()
        epoch = run.epoch
        run.clear()
        self._count(Interruption(WORKER, "clear", 0), self._risk(overlaps=True), "deferred")
        wait_until(
            lambda: run.epoch > epoch and run.session == scheduler and run.manifest.phase == "asking",
            _TAKE_OVER_SECONDS,
        )
        run.workload.on_worker.unlink()
        kept = len(run.kept_ids)
        wait_until(lambda: len(run.kept_ids) > kept)

    def _worker(self) -> list[psutil.Process]:
        """The task's process and the one that watches over it."""
        task = self._run.process
        supervisor = task.parent()
        assert supervisor is not None
        return [task, supervisor]

    def _signal(self, interruption: Interruption, processes: list[psutil.Process], signum: signal.Signals) -> None:
        if interruption.victim != WORKER:
            self._airflow.kill(interruption.victim, signum)
        for process in processes:
            process.send_signal(signum)

    def _risk(self, *, overlaps: bool) -> Risk:
        run = self._run
        return Risk(
            in_flight=run.endpoint.control.stats().in_flight,
            unflushed=run.ended_since_flush,
            overlap=run.workload.in_flight + self._per_flush if overlaps else 0,
        )

    def _count(self, interruption: Interruption, risk: Risk, state: str) -> None:
        self._bound += risk.calls
        self._counted += risk.calls > 0
        kept = len(set(self._run.kept_ids))
        print(
            f"{kept:>6,} kept: {interruption.act:6} {interruption.victim:11} ({state}): {risk.in_flight} in flight, "
            f"{risk.unflushed} unflushed, {risk.overlap} until it notices",
            flush=True,
        )
