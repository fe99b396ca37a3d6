"""Who runs a job: epochs that only grow. Whoever comes later fences off those before.

There is no expiry and no clock: the newest runner holds the job, and the one before finds that out at its next flush
and stops. Nothing is lost meanwhile, because each writes under its own epoch. When a runner was last alive is told by
the manifest, which is written each second.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.errors import LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["Lease", "next_epoch", "take_lease"]

_FOLDER = "lease"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run a job, until somebody else takes it.

    Args:
        folder: the job's folder.
        epoch: from 1; later runners have higher ones.
    """

    folder: Location
    epoch: int

    def check(self) -> None:
        """Make sure that nobody else has taken over. Epochs have no gaps, so one look is enough.

        Raises:
            LeaseLostError: somebody has.
        """
        if self.folder.child(_FOLDER).child(str(self.epoch + 1)).exists():
            raise LeaseLostError(
                f"Another runner has taken over the job {self.folder.uri!r}; this one held epoch {self.epoch}. "
                "Its results stay valid, and the other one goes on."
            )


def take_lease(folder: Location, owner: Mapping[str, str | int], used_epochs: Iterable[int] = ()) -> Lease:
    """Become the job's runner.

    Args:
        folder: the job's folder.
        owner: who this is, for people who look: host, process, time.
        used_epochs: epochs that results were written under, which count even where the lease was deleted.

    Raises:
        OutputError: the folder cannot be written.
    """
    used = set(used_epochs)
    while True:
        epoch = next_epoch(folder.child(_FOLDER).names(), used)
        place = folder.child(_FOLDER).child(str(epoch))
        if place.create(json.dumps(owner).encode()):
            return Lease(folder, epoch)
        used.add(epoch)


def next_epoch(names: Iterable[str], used: Iterable[int]) -> int:
    """The lowest epoch above all that were ever used."""
    return max([0, *(int(name) for name in names if name.isdecimal()), *used]) + 1
