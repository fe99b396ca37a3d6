"""What Airflow reads about this package when it starts. Data only: nothing here imports Airflow or boto."""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]

_PACKAGE = "airflow_provider_bedrock_llm"
_CREDENTIALS = "Credentials"
_PLACE = "Place"
_NETWORK = "Network (Boto3Config)"
_ENGINE = "Models and retries"


def _field(label: str, description: str, kind: str, section: str, **schema: Any) -> dict[str, Any]:
    """A field of the connection form. All are optional: `null` is what the form saves for an empty one."""
    return {
        "label": label,
        "description": description,
        "schema": {"type": [kind, "null"], "section": section, **schema},
    }


def _place_fields() -> dict[str, Any]:
    return {
        "region_name": _field(
            "Region", "AWS region to call, such as us-east-1.", "string", _PLACE, examples=["us-east-1", "eu-central-1"]
        ),
        "regions": _field(
            "Regions",
            "Several regions, best first, one per line. Requests move on to the next when one has no capacity.",
            "array",
            _PLACE,
            items={"type": "string"},
        ),
        "endpoint_url": _field(
            "Endpoint",
            "Instead of AWS's own endpoints: a VPC endpoint, a proxy, or the local endpoint of this package. {service} "
            "and {region} in it are filled in.",
            "string",
            _PLACE,
            examples=["http://127.0.0.1:8799"],
        ),
        "data_residency": _field(
            "Data stays in",
            "Use only regions and inference profiles that keep requests in this place.",
            "string",
            _PLACE,
            enum=["eu", "us", "us-gov", "ca", "jp", "au", "in", "apac"],
        ),
    }


def _credential_fields() -> dict[str, Any]:
    return {
        "aws_conn_id": _field(
            "Borrowed connection",
            "Take the credentials of another connection of type aws. Leave login, password, profile and role empty.",
            "string",
            _CREDENTIALS,
            examples=["aws_default"],
        ),
        "profile_name": _field(
            "Profile", "Profile of the AWS configuration files on the workers.", "string", _CREDENTIALS
        ),
        "role_arn": _field(
            "Role",
            "ARN of an IAM role to assume.",
            "string",
            _CREDENTIALS,
            examples=["arn:aws:iam::123456789012:role/bedrock"],
        ),
        "external_id": _field(
            "External id", "What the role's trust policy asks for, if anything.", "string", _CREDENTIALS
        ),
        "aws_session_token": _field(
            "Session token", "With temporary keys in login and password.", "string", _CREDENTIALS, format="password"
        ),
    }


def _engine_fields() -> dict[str, Any]:
    return {
        "models": _field(
            "Models",
            "Models to ask where a task names none, best first, one per line: names, ids, profiles or ARNs.",
            "array",
            _ENGINE,
            items={"type": "string"},
        ),
        "retry_strategy": _field(
            "Failover",
            "region_first: the same model in the next region. model_first: the next model in the same region.",
            "string",
            _ENGINE,
            enum=["region_first", "model_first"],
        ),
        "max_retries": _field(
            "Retries", "Retries of one request over all routes together. 3 if empty.", "integer", _ENGINE, minimum=0
        ),
        "batch_role_arn": _field(
            "Batch role", "ARN of the IAM role that Bedrock takes on for batch jobs.", "string", _ENGINE
        ),
        "batch_s3_uri": _field(
            "Batch place in S3", "Folder for inputs and outputs of batch jobs: s3://bucket/prefix.", "string", _ENGINE
        ),
    }


def _network_fields() -> dict[str, Any]:
    return {
        "read_timeout": _field(
            "Read timeout", "Seconds to wait for an answer. 600 if empty.", "number", _NETWORK, minimum=1
        ),
        "connect_timeout": _field(
            "Connect timeout", "Seconds to wait for a connection. 60 if empty.", "number", _NETWORK, minimum=1
        ),
        "max_pool_connections": _field(
            "Pool",
            "Connections kept per client. 10 if empty; jobs raise it to what they need.",
            "integer",
            _NETWORK,
            minimum=1,
        ),
        "retries_max_attempts": _field(
            "botocore retries",
            "botocore's own retries, for control plane and STS; the engine retries requests itself. 3 if empty.",
            "integer",
            _NETWORK,
            minimum=0,
        ),
    }


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": "bedrockllm",
        "hook-class-name": f"{_PACKAGE}.hooks.bedrock_llm.BedrockLLMHook",
        "hook-name": "Amazon Bedrock LLM",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "host"],
            "relabeling": {"login": "AWS access key id", "password": "AWS secret access key"},
            "placeholders": {
                "login": "empty: another way of authentication",
                "port": "443, which Airflow 3.3's Test button needs",
            },
        },
        "conn-fields": _place_fields() | _credential_fields() | _engine_fields() | _network_fields(),
    }


def _option(description: str, kind: str, default: str | None, example: str | None = None) -> dict[str, Any]:
    return {"description": description, "version_added": "0.1.0", "type": kind, "default": default, "example": example}


def _options() -> dict[str, Any]:
    return {
        "work_dir": _option(
            "Where enrichment jobs keep their folders: any storage that Airflow's ObjectStoragePath "
            "reaches, the same for workers and triggerers. Empty: bedrock_llm under AIRFLOW_HOME.",
            "string",
            "",
            "s3://aws_default@my-bucket/bedrock_llm",
        ),
        "work_dirs": _option(
            "Further work_dirs, separated by commas, whose jobs the page Bedrock LLM shows: those that "
            "tasks name themselves. The page reads nothing outside of work_dir and these.",
            "string",
            "",
            "s3://aws_default@other-bucket/bedrock_llm",
        ),
        "catalog_mode": _option(
            "Where the model catalog of the account is kept: variable (an Airflow Variable), memory, none "
            "(asked anew each time), or bundled to never ask AWS for it.",
            "string",
            "variable",
        ),
        "async_transport": _option(
            "What calls Bedrock from event loops (jobs, converse_parallel): lean, which is botocore's own "
            "serializer, signer and parser over aiohttp, or aiobotocore, which must be installed for it.",
            "string",
            "lean",
        ),
        "max_in_flight_per_process": _option(
            "Calls in flight at most in one triggerer, over all jobs in it.", "integer", "200"
        ),
        "common_ai_conn_id": _option(
            "The connection of type bedrockllm that common-ai's batches use, where the host of common-ai's "
            "own connection names none.",
            "string",
            "bedrock_llm_default",
        ),
        "drain_seconds": _option(
            "How long a job that is told to stop waits for the answers under way, which are paid for.",
            "integer",
            "8",
        ),
        "trace_rows": _option(
            "Whether each row of a job has an OpenTelemetry span of its own, besides the job's, where "
            "Airflow's tracing is on.",
            "boolean",
            "False",
        ),
    }


def get_provider_info() -> dict[str, Any]:
    """The provider's declaration, as Airflow's `provider_info.schema.json` wants it."""
    return {
        "package-name": "airflow-provider-bedrock-llm",
        "name": "Amazon Bedrock LLM",
        "description": "LLM work on Amazon Bedrock: one prompt or millions of rows, and no paid answer is ever lost.",
        "integrations": [
            {
                "integration-name": "Amazon Bedrock LLM",
                "external-doc-url": "https://docs.aws.amazon.com/bedrock/",
                "tags": ["aws"],
            }
        ],
        "hooks": [{"integration-name": "Amazon Bedrock LLM", "python-modules": [f"{_PACKAGE}.hooks.bedrock_llm"]}],
        "operators": [
            {
                "integration-name": "Amazon Bedrock LLM",
                "python-modules": [
                    f"{_PACKAGE}.operators.catalog",
                    f"{_PACKAGE}.operators.converse",
                    f"{_PACKAGE}.operators.embed",
                    f"{_PACKAGE}.operators.parallel",
                ],
            }
        ],
        "triggers": [{"integration-name": "Amazon Bedrock LLM", "python-modules": [f"{_PACKAGE}.triggers.parallel"]}],
        "task-decorators": [
            {"name": "bedrock", "class-name": f"{_PACKAGE}.decorators.bedrock.bedrock_task"},
            {"name": "bedrock_parallel", "class-name": f"{_PACKAGE}.decorators.bedrock.bedrock_parallel_task"},
        ],
        "connection-types": [_connection_type()],
        "extra-links": [f"{_PACKAGE}.operators.links.BedrockJobLink", f"{_PACKAGE}.operators.links.BedrockModelLink"],
        "cli": [f"{_PACKAGE}.cli.get_cli_commands"],
        "config": {
            "bedrock_llm": {
                "description": "Amazon Bedrock LLM",
                "options": _options(),
            }
        },
    }
