"""A real Airflow on loopback: API server, scheduler, DAG processor and triggerers as processes of their own.

    with AirflowStack(home, dags_folder) as airflow:
        run_id = airflow.trigger_dag("enrich_reviews")
        airflow.wait_for_run("enrich_reviews", run_id)

Used by the demo and by the tests that kill processes. `standalone` is not used: its log servers listen on every
address, and its children outlive it.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import secrets
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from airflow_database import database
from process_session import ProcessSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow_database import Database

_STARTED_IN_THE_SHELL = ("AIRFLOW", "AWS_", "OTEL_")
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_HTTP_CONFLICT = 409
_HTTP_SERVER_ERROR = 500


class AirflowStackError(Exception):
    """Airflow did not do what was asked of it; the text ends with the tail of the log that says why."""


class RestError(AirflowStackError):
    """The API server answered with an error status.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path} answered {status}: {body[:2000]}")
        self.status = status


@dataclasses.dataclass(frozen=True)
class User:
    """Somebody who may log in. The roles are viewer, user, op and admin."""

    name: str
    password: str
    role: str = "admin"


class AirflowStack:
    """A real Airflow as separate processes, for the time of a `with` statement.

    Args:
        home: the AIRFLOW_HOME. It is made where it is missing; the database and the logs in it are kept at the end.
        dags_folder: where the DAG files are.
        database: "sqlite", or "postgresql" (see airflow_database).
        triggerers: 1 or 2. They are called "triggerer-1" and "triggerer-2". Two need PostgreSQL: on SQLite, Airflow
            has no row locks and may start a trigger twice.
        env: further environment variables for every process, such as AIRFLOW__CORE__TEST_CONNECTION.
        users: who may log in. None: nobody needs to, everybody is an admin.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        database: Database = "sqlite",
        triggerers: int = 1,
        env: Mapping[str, str] | None = None,
        users: tuple[User, ...] | None = None,
    ) -> None:
        self.home = home.resolve()
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database_url = ""
        self._database_kind: Database = database
        self._users = users
        self._token = ""
        self._environment = self._build_environment(dags_folder.resolve(), env or {})
        self._commands = {
            "api-server": ["api-server", "--host", "127.0.0.1", "--port", str(self.port)],
            "scheduler": ["scheduler", "--skip-serve-logs"],
            "dag-processor": ["dag-processor"],
            **{f"triggerer-{n}": ["triggerer", "--skip-serve-logs"] for n in range(1, triggerers + 1)},
        }
        self._processes: dict[str, ProcessSession] = {}
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *, timeout_seconds: float = 120) -> None:
        """Start every process at once and return when all of them report that they are healthy."""
        (self.home / "processes").mkdir(parents=True, exist_ok=True)
        if self._users is not None:
            passwords = {user.name: user.password for user in self._users}
            (self.home / "passwords.json").write_text(json.dumps(passwords))
        self.database_url = self._cleanup.enter_context(
            database(self._database_kind, self.home, self._environment),
        )
        self._environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = self.database_url
        for name in self._commands:
            self._start_process(name)
        self._wait("Airflow is not healthy", self._is_healthy, timeout_seconds)

    def stop(self, *, grace_seconds: float = 10) -> None:
        """End every process with all that it started, then the database's server. May be called twice."""
        for process in self._processes.values():
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        for process in self._processes.values():
            process.wait(deadline - time.monotonic())
            process.kill()
        self._processes.clear()
        self._cleanup.close()

    def kill(self, name: str, signum: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a process and to all that it started. After SIGKILL they are gone when this returns."""
        if signum is signal.SIGKILL:
            self._processes[name].kill()
        else:
            self._processes[name].signal(signum)

    def shut_down(self, name: str, *, timeout_seconds: float = 30, with_all: bool = True) -> None:
        """Ask a process to end with SIGTERM, as deployments do, and return when it has.

        Args:
            name: of the process.
            timeout_seconds: then it is killed.
            with_all: ask all that it started as well, as an init process may do, and not only the process itself.
        """
        process = self._processes[name]
        if with_all:
            process.signal(signal.SIGTERM)
        else:
            os.kill(process.pid, signal.SIGTERM)
        process.wait(timeout_seconds)
        process.kill()
        del self._processes[name]

    def is_running(self, name: str) -> bool:
        """Whether a process was started and has not ended."""
        return name in self._processes and self._processes[name].exit_status() is None

    def restart(self, name: str) -> None:
        """Start a process (again), ending the one of that name where it still runs. Returns at once."""
        if process := self._processes.get(name):
            process.kill()
        self._start_process(name)

    def pid(self, name: str) -> int:
        """The process id, which is the session id as well."""
        return self._processes[name].pid

    def process_log(self, name: str) -> Path:
        """What a process wrote to its standard output and error, over all its starts."""
        return self.home / "processes" / f"{name}.log"

    def process_logs(self) -> list[Path]:
        return [self.process_log(name) for name in self._commands]

    def task_logs(self) -> list[Path]:
        """The logs of tasks and of their triggers, as Airflow keeps them on disk."""
        return sorted((self.home / "logs").rglob("*.log*"))

    def add_connection(self, connection_id: str, conn_type: str, **fields: Any) -> None:
        """Store a connection in Airflow's database, in the place of one of the same id.

        Args:
            connection_id: its id.
            conn_type: its type, such as "bedrockllm".
            **fields: host, port, login, password, description, and extra as a mapping.
        """
        if isinstance(fields.get("extra"), dict):
            fields["extra"] = json.dumps(fields["extra"])
        body = {"connection_id": connection_id, "conn_type": conn_type, **fields}
        try:
            self.rest("POST", "/api/v2/connections", body)
        except RestError as error:
            if error.status != _HTTP_CONFLICT:
                raise
            self.rest("PATCH", f"/api/v2/connections/{connection_id}", body)

    def add_bedrock_connection(self, endpoint_url: str, access_key: str = "AKIAIOSFODNN7EXAMPLE") -> None:
        """The connection bedrock_llm_default to a local endpoint."""
        self.add_connection(
            "bedrock_llm_default",
            "bedrockllm",
            login=access_key,
            password="no-secret",  # noqa: S106 - the endpoint knows none
            extra={"endpoint_url": endpoint_url, "region_name": "us-east-1"},
        )

    def wait_for_dag(self, dag_id: str, *, timeout_seconds: float = 60) -> None:
        """Wait until the DAG processor has read the DAG; an import error of any DAG file ends the wait."""

        def is_known() -> bool:
            errors = self.rest("GET", "/api/v2/importErrors")["import_errors"]
            if errors:
                message = f"{errors[0]['filename']} cannot be imported:\n{errors[0]['stack_trace']}"
                raise AirflowStackError(message)
            known = self.rest("GET", f"/api/v2/dags?dag_id_pattern={dag_id}&limit=100")["dags"]
            return any(dag["dag_id"] == dag_id for dag in known)

        self._wait(f"The DAG processor has not found {dag_id}", is_known, timeout_seconds)

    def trigger_dag(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a run of a DAG, once the DAG processor knows it, and return its run id. Other DAGs stay paused."""
        self.wait_for_dag(dag_id)
        self.rest("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        run_id = run_id or f"manual__{time.strftime('%Y%m%dT%H%M%S')}_{secrets.token_hex(3)}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        try:
            self.rest("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
        except RestError as error:
            # On SQLite the API server answers 500 when the database was locked. The id keeps a second try from
            # making a second run.
            if error.status < _HTTP_SERVER_ERROR:
                raise
            with contextlib.suppress(RestError):
                self.rest("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
            self.run_state(dag_id, run_id)
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Queued, running, success or failed."""
        return str(self.rest("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_states(self, dag_id: str, run_id: str) -> dict[tuple[str, int], str | None]:
        """The state of each task instance, by task id and map index (-1 where the task is not mapped)."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found = self.rest("GET", path)["task_instances"]
        return {(one["task_id"], one["map_index"]): one["state"] for one in found}

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout_seconds: float = 120) -> str:
        """Wait until the run has ended and return its state: success or failed."""
        self._wait(
            f"The run {run_id} of {dag_id} has not ended",
            lambda: self.run_state(dag_id, run_id) in {"success", "failed"},
            timeout_seconds,
        )
        return self.run_state(dag_id, run_id)

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, states: set[str], *, timeout_seconds: float = 60
    ) -> None:
        """Wait until the (unmapped) task is in one of the states, such as {"deferred"}."""
        self._wait(
            f"The task {task_id} of {dag_id} is not {' or '.join(sorted(states))}",
            lambda: self.task_states(dag_id, run_id).get((task_id, -1)) in states,
            timeout_seconds,
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """What an (unmapped) task left under a key."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}?deserialize=true"
        return self.rest("GET", path)["value"]

    def rest(self, method: str, path: str, body: Any = None, *, timeout_seconds: float = 30) -> Any:
        """Ask the API server; returns the decoded JSON, or None where the answer has no body."""
        headers = {"Content-Type": "application/json"}
        if self._users is not None and not path.startswith("/auth/"):
            headers["Authorization"] = f"Bearer {self._token or self._log_in()}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)  # noqa: S310
        try:
            with _NO_PROXY.open(request, timeout=timeout_seconds) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise RestError(method, path, error.code, error.read().decode(errors="replace")) from None
        return json.loads(text) if text else None

    def tail(self, name: str, lines: int = 25) -> str:
        """The last lines of a process's log."""
        path = self.process_log(name)
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def _log_in(self) -> str:
        user = next(user for user in self._users or () if user.role == "admin")
        body = {"username": user.name, "password": user.password}
        self._token = str(self.rest("POST", "/auth/token", body)["access_token"])
        return self._token

    def _build_environment(self, dags_folder: Path, further: Mapping[str, str]) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_STARTED_IN_THE_SHELL)}
        login = {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(self._users is None),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
        }
        if self._users:
            roles = ",".join(f"{user.name}:{user.role}" for user in self._users)
            login["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = roles
        return {
            **inherited,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": self._fernet_key(),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks the name server
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",  # LocalExecutor forks as many idle workers
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DATABASE__CHECK_MIGRATIONS": "False",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            # With 5 s, the default, a task that defers for a short time can be marked failed: its worker reports
            # the end of the first half too late.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # No settings or credentials of whoever starts this, and no questions to an instance metadata service.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONUNBUFFERED": "1",
            **login,
            **further,
        }

    def _fernet_key(self) -> str:
        """The key stays the same for a home, so that a stored connection can be read after the next start."""
        path = self.home / "fernet.key"
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(base64.urlsafe_b64encode(os.urandom(32)).decode())
        return path.read_text()

    def _start_process(self, name: str) -> None:
        self._processes[name] = ProcessSession(
            [sys.executable, "-m", "airflow", *self._commands[name]],
            log=self.process_log(name),
            env=self._environment,
            cwd=self.home,
        )

    def _is_healthy(self) -> bool:
        health = self.rest("GET", "/api/v2/monitor/health")
        return all(part["status"] == "healthy" for part in health.values() if isinstance(part, dict))

    def _wait(self, complaint: str, is_done: Callable[[], bool], timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        last = ""
        while time.monotonic() < deadline:
            try:
                if is_done():
                    return
            except (OSError, RestError) as error:  # not listening yet; or SQLite was locked
                last = f" The last answer: {error}"
            self._expect_all_alive()
            time.sleep(0.2)
        logs = "\n".join(f"--- {name}\n{self.tail(name)}" for name in self._processes)
        message = f"{complaint} after {timeout_seconds:g} s.{last}\n{logs}"
        raise AirflowStackError(message)

    def _expect_all_alive(self) -> None:
        for name, process in self._processes.items():
            status = process.exit_status()
            if status not in {None, -signal.SIGKILL}:
                message = f"The {name} ended with status {status}. Its log ends with:\n{self.tail(name)}"
                raise AirflowStackError(message)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
