"""Before anything imports Airflow or boto: a throw-away home, and no way to credentials or metadata of this machine."""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

if "AIRFLOW_HOME" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:  # a worker inherits its parent's
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

os.environ |= {
    "AIRFLOW__BEDROCK_LLM__CATALOG_MODE": "bundled",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK"):
    os.environ.pop(name, None)

# A busy machine makes no test fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

pytest_plugins = ["airflow_provider_bedrock_llm.testing"]
