"""The endpoint as Python sees it: in a thread of this process, or in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .certificate import make_certificate
from .control import EndpointControl
from .server import EndpointServer
from .settings import EndpointSettings
from .state import EndpointState
from .upstream import UpstreamAnswerer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType

__all__ = ["LocalEndpoint", "SpawnedEndpoint"]

_START_SECONDS = 30.0
_PACKAGE_ROOT = str(Path(__file__).parents[2])


class _Address:
    """What both kinds of endpoint offer."""

    url: str
    tls_url: str | None
    ca_path: Path | None
    control: EndpointControl

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        raise NotImplementedError


class LocalEndpoint(_Address):
    """A Bedrock endpoint on loopback in a thread of this process.

    Used as a context manager; the keywords are those of `EndpointSettings`. `url` and `tls_url` are what clients take
    as `endpoint_url`, `ca_path` what they take as `verify`, `control` steers faults, limits and latency.
    """

    def __init__(self, **settings: Any) -> None:
        self._state = EndpointState(EndpointSettings(**settings))
        self._folder = tempfile.TemporaryDirectory(prefix="local-bedrock-")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="local-bedrock", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            self._failure = TimeoutError(
                f"The local endpoint was not up after {_START_SECONDS} s. Is the machine busy?"
            )
        if self._failure is not None:
            self._folder.cleanup()
            raise self._failure
        self.control = EndpointControl(self.url)

    def stop(self) -> None:
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(_START_SECONDS)
        self._folder.cleanup()

    @staticmethod
    def spawn(**options: Any) -> SpawnedEndpoint:
        """The same in a process of its own, which ends with this one. The keywords are the command line's options."""
        return SpawnedEndpoint(**options)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with serving(self._state, Path(self._folder.name)) as address:
            self.url, self.tls_url, self.ca_path = address
            self._ready.set()
            await self._stopping.wait()


@contextlib.asynccontextmanager
async def serving(state: EndpointState, folder: Path) -> AsyncIterator[tuple[str, str | None, Path | None]]:
    """Runs a server while an `async with` block lasts; gives (url, tls_url, ca_path)."""
    settings, server = state.settings, EndpointServer(state)
    tls = ca_path = None
    if settings.tls_port is not None:
        tls, ca_path = make_certificate(folder, settings.host)
    await server.start(tls)
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - only compared
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{server.port}", f"https://{shown}:{server.tls_port}" if tls else None, ca_path
    finally:
        await server.stop()
        if isinstance(settings.answerer, UpstreamAnswerer):
            await settings.answerer.close()


class SpawnedEndpoint(_Address):
    """A Bedrock endpoint in a process of its own; it ends when it is stopped or when this process does."""

    def __init__(self, **options: Any) -> None:
        command = [sys.executable, "-m", "airflow_provider_bedrock_llm.local", "--json", "--until-stdin-closes"]
        options = {"port": 0, "tls_port": 0, **options}
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [*command, *_flags(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_PACKAGE_ROOT, *filter(None, sys.path)])},
        )
        assert self._process.stdout is not None  # noqa: S101 - a fact for the type checker
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError(
                f"The local endpoint ended at its start with code {self._process.returncode}. See what it wrote above."
            )
        address = json.loads(line)
        self.url, self.tls_url = address["url"], address["tls_url"]
        self.ca_path = Path(address["ca_path"]) if address["ca_path"] else None
        self.pid = self._process.pid
        self.control = EndpointControl(self.url)

    def stop(self) -> None:
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _flags(options: dict[str, Any]) -> Sequence[str]:
    flags = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            flags.append(flag)
        elif value is not None and value is not False:
            flags += [flag, str(value)]
    return flags
