"""Run as a script in a process of its own: the catalog inside a real Airflow with a real metadata database.

Reads settings from the environment (the connection, the database) and prints what it saw as one JSON line.
"""

import contextlib
import io
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

REGIONS = ["us-east-1", "eu-central-1"]
KEY = "catalog_of_tests"


def kept_catalog():
    """A catalog over the Variable alone: nobody is asked."""
    from airflow_provider_bedrock_llm.aws.model_catalog import BedrockModelCatalog
    from airflow_provider_bedrock_llm.hooks.catalog_variable import AirflowVariableStore

    return BedrockModelCatalog(None, AirflowVariableStore(), variable_key=KEY, regions=REGIONS)


def facts(catalog):
    from airflow_provider_bedrock_llm.hooks.catalog_variable import _in_task_process

    metadata = catalog.get_catalog_metadata()
    return {
        "source": metadata.source.value,
        "regions": list(metadata.api_regions_queried),
        "through_the_task_sdk": _in_task_process(),
    }


class ReadCatalog(BaseOperator):
    def execute(self, context):
        return facts(kept_catalog())


class CatalogTrigger(BaseTrigger):
    def serialize(self):
        return ("harness.catalog_in_airflow.CatalogTrigger", {})

    async def run(self):
        catalog = kept_catalog()
        await catalog.aensure_catalog_available()
        yield TriggerEvent(facts(catalog))


class ReadCatalogInTrigger(BaseOperator):
    def execute(self, context):
        self.defer(trigger=CatalogTrigger(), method_name="resume")

    def resume(self, context, event):
        return event


def refresh_dag():
    from airflow_provider_bedrock_llm.operators.catalog import BedrockCatalogRefreshOperator

    common = {"variable_key": KEY, "regions": REGIONS}
    with DAG("catalog", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        refresh = BedrockCatalogRefreshOperator(
            task_id="refresh", models=["Nova Lite"], warn_days_before_eol=0, **common
        )
        near = BedrockCatalogRefreshOperator(
            task_id="near_the_end", models=["Claude Sonnet 4.5"], warn_days_before_eol=100_000, **common
        )
        typo = BedrockCatalogRefreshOperator(task_id="typo", models=["Nova Light"], **common)
        refresh >> [ReadCatalog(task_id="read"), ReadCatalogInTrigger(task_id="read_in_trigger"), near, typo]
    return dag


def run_dag():
    run = refresh_dag().test()
    states = {one.task_id: str(one.state) for one in run.get_task_instances()}
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        results = {
            row.task_id: XComModel.deserialize_value(row)
            for row in session.query(XComModel).filter_by(run_id=run.run_id, key="return_value")
        }
    return {"states": states, "results": results}


def variable_row():
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    with create_session() as session:
        row = session.query(Variable).filter_by(key=KEY).one()
        return {"text": row.get_val(), "description": row.description}


def listed(*options):
    """What the command line prints, on both streams."""
    import argparse

    from airflow.cli.cli_parser import _add_command

    from airflow_provider_bedrock_llm.cli_models import MODELS_COMMAND

    parser = argparse.ArgumentParser()
    _add_command(parser.add_subparsers(), MODELS_COMMAND)
    arguments = parser.parse_args(["models", "--variable-key", KEY, *options])
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            arguments.func(arguments)
        except SystemExit as ended:
            code = ended.code
    return {"out": out.getvalue(), "err": err.getvalue(), "code": code}


def store_round():
    from airflow_provider_bedrock_llm.hooks.catalog_variable import AirflowVariableStore

    store = AirflowVariableStore()
    missing = store.get("a_catalog_that_is_not_there")
    store.set("a_catalog", "text", "what it is")
    there = store.get("a_catalog")
    store.delete("a_catalog")
    store.delete("a_catalog")
    return {"missing": missing, "there": there, "deleted": store.get("a_catalog")}


def damaged():
    from airflow.models.variable import Variable

    records = []
    handler = SimpleNamespace(level=0, handle=lambda record: records.append(record.getMessage()))
    logging.getLogger("airflow_provider_bedrock_llm").addHandler(handler)
    Variable.set(KEY, "{ edited by hand")
    source = facts(kept_catalog())["source"]
    return {"source": source, "said": records}


def main():
    seen = {"store": store_round(), "dag": run_dag(), "variable": variable_row()}
    seen["list"] = listed("--region", "us-east-1", "--provider", "amazon", "--output", "json", "--sort", "price")
    seen["table"] = listed("--region", "eu-central-1", "--capability", "tool_use")
    seen["refresh"] = listed("refresh", "--region", "us-east-1")
    seen["file"] = listed("refresh", "--region", "us-east-1", "--to-file", "small.json", "--max-bytes", "16000")
    seen["file"]["text"] = Path("small.json").read_text(encoding="utf-8")
    seen["too_small"] = listed("refresh", "--region", "us-east-1", "--to-file", "small.json", "--max-bytes", "10")
    seen["wrong"] = listed("refresh", "--conn-id", "a_connection_that_is_not_there")
    seen["damaged"] = damaged()
    sys.stdout.write(f"\nSEEN {json.dumps(seen)}\n")


if __name__ == "__main__":
    main()
