"""Whole DAGs inside the test process: a metadata database in the throw-away AIRFLOW_HOME, made once per session.

`run_dag` is `DAG.test()`: operators run in this process, triggers inline. It drops the kwargs of `defer`, ignores its
timeout, and ends with a trigger's first event; what needs a real triggerer is tested with processes.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import DAG

__all__ = ["airflow_db", "asset_events", "dags_of", "run_dag", "task_result"]


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's tables in the SQLite file of AIRFLOW_HOME."""
    from airflow.utils.db import initdb

    assert Path(os.environ["AIRFLOW_HOME"]).name.startswith("airflow-home-"), "not the throw-away home of the tests"
    with _warnings_of_others_ignored():
        initdb()


@contextlib.contextmanager
def _warnings_of_others_ignored() -> Iterator[None]:
    """Airflow and what it imports warn at will; what we do stays an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module="airflow_provider_bedrock_llm")
        yield


def dags_of(path: Path) -> dict[str, DAG]:
    """The DAGs of a file, by id, read as Airflow's DAG processor reads them."""
    with _warnings_of_others_ignored():
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(dag_folder=str(path))
    assert bag.import_errors == {}
    return bag.dags


def run_dag(dag: DAG, **settings: Any) -> Any:
    """Run a DAG to its end in this process; the DagRun."""
    with _warnings_of_others_ignored():
        _keep_serialized(dag)
        return dag.test(**settings)


def task_result(run: Any, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
    """An XCom of a finished run."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = XComModel.get_many(
            key=key, run_id=run.run_id, dag_ids=run.dag_id, task_ids=task_id, map_indexes=map_index
        )
        row = session.execute(found.with_only_columns(XComModel.value)).first()
    return None if row is None else row[0]


def asset_events(name: str) -> list[Any]:
    """The events of an asset, oldest first."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.asset_id).where(AssetModel.name == name)
    with create_session() as session:
        events = list(session.scalars(query.order_by(AssetEvent.id)))
        session.expunge_all()
    return events


def _keep_serialized(dag: DAG) -> None:
    """`DAG.test` looks the DAG up in the database, where a scheduler would have put it; assets too."""
    from airflow.dag_processing.collection import AssetModelOperation
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    bundle = "dags-folder"
    with create_session() as session:
        if session.get(DagBundleModel, bundle) is None:
            session.add(DagBundleModel(name=bundle))
            session.flush()
        if session.get(DagModel, dag.dag_id) is None:
            session.add(DagModel(dag_id=dag.dag_id, bundle_name=bundle))
            session.flush()
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDagModel.write_dag(lazy, bundle_name=bundle, session=session)
        assets = AssetModelOperation.collect({dag.dag_id: lazy})
        models = assets.sync_assets(session=session).values()
        session.flush()
        assets.activate_assets_if_possible(models, session=session)
