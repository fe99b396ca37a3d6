"""A process together with everything that it starts.

Airflow's task processes put themselves into process groups of their own, so a group is not enough to reach them all.
They do stay in the session of the process that was started here: a session can be signalled and ended as a whole.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class ProcessSession:
    """A command run as the leader of a session of its own, writing to a log file.

    Args:
        command: the program and its arguments.
        log: the file to which standard output and error are appended.
        env: the whole environment.
        cwd: where it runs.
    """

    def __init__(self, command: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> None:
        with log.open("ab") as output:
            self._leader = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._leader.pid

    def exit_status(self) -> int | None:
        """The leader's, as subprocess gives it: minus the signal's number; None while it runs."""
        return self._leader.poll()

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the leader and to all that it started."""
        for pid in self._members():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signum)

    def wait(self, timeout_seconds: float) -> None:
        """Wait for the leader to end, at most for so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._leader.wait(max(0.0, timeout_seconds))

    def kill(self) -> None:
        """Nothing of the session runs any more when this returns."""
        while self._members():
            self.signal(signal.SIGKILL)
            self._leader.poll()  # takes the leader's exit status, or it would stay as a zombie
            time.sleep(0.02)
        self._leader.wait()

    def _members(self) -> list[int]:
        members = []
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
                if os.getsid(pid) == self.pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    members.append(pid)
        return members
