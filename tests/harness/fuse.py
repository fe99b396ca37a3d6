"""A process that dies at its n-th act: everything that reaches out goes through a fuse, and a blown one lets nothing
through any more.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.jobs.job import JobSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_bedrock_llm.jobs.storage import Location


_HOWEVER_OFTEN = frozenset({"before look", "after look"})
"""A job is looked at as often as it takes: the first time is a moment like all of them."""


class DeadError(BaseException):
    """The process is no more. Nothing that handles errors should see it."""


class Fuse:
    """Blows at the n-th moment; each act has two, before and after it took effect."""

    def __init__(self, blows_at: int | None = None) -> None:
        self.blows_at = blows_at
        self.moments: list[str] = []
        self._lock = threading.Lock()

    @property
    def is_blown(self) -> bool:
        return self.blows_at is not None and len(self.moments) >= self.blows_at

    def pass_through(self, moment: str, *, counts: bool = True) -> None:
        with self._lock:
            if self.is_blown:
                raise DeadError(moment)
            if counts and not (moment in _HOWEVER_OFTEN and moment in self.moments):
                self.moments.append(moment)
            if self.is_blown:
                raise DeadError(moment)


class Fused:
    """Any object, each of whose methods is an act."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method, fuse = getattr(self._inner, name), self._fuse

        async def act_async(*values: Any, **arguments: Any) -> Any:
            fuse.pass_through(f"before {name}")
            result = await method(*values, **arguments)
            fuse.pass_through(f"after {name}")
            return result

        def act(*values: Any, **arguments: Any) -> Any:
            fuse.pass_through(f"before {name}")
            result = method(*values, **arguments)
            fuse.pass_through(f"after {name}")
            return result

        return act_async if inspect.iscoroutinefunction(method) else act


class FusedLocation:
    """A `Location` whose writes, and reads under `batch/`, are acts; other files only die with the process."""

    def __init__(self, inner: Location, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not callable(method):
            return method

        def act(*values: Any, **arguments: Any) -> Any:
            with self._passing(name):
                return method(*values, **arguments)

        return act

    def child(self, name: str) -> FusedLocation:
        return FusedLocation(self._inner.child(name), self._fuse)

    @contextlib.contextmanager
    def writer(self) -> Iterator[IO[bytes]]:
        with self._passing("writer"), self._inner.writer() as stream:
            yield stream

    @contextlib.contextmanager
    def _passing(self, name: str) -> Iterator[None]:
        kind = self._inner.uri.split("/job")[-1].strip("/").partition("/")[0]
        counts = kind == "batch" or (kind == "results" and name == "write")
        self._fuse.pass_through(f"before {name} in {kind}", counts=counts)
        yield
        self._fuse.pass_through(f"after {name} in {kind}", counts=counts)


class FusedSpec(JobSpec):
    """A job whose folder goes through a fuse."""

    @property
    def folder(self) -> Any:
        folder = super().folder
        fuse = getattr(self, "fuse", None)
        return folder if fuse is None else FusedLocation(folder, fuse)

    @classmethod
    def of(cls, spec: JobSpec, fuse: Fuse) -> FusedSpec:
        fused = cls(**{name: getattr(spec, name) for name in JobSpec.__dataclass_fields__})
        object.__setattr__(fused, "fuse", fuse)
        return fused
