"""`BedrockEmbedOperator`: texts into vectors, a few at once or a file of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.core.embedding_family import EmbeddingSettings
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, LLMManagerError
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.hooks.outcome import airflow_error, tags_of
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_bedrock_llm.core.config import Boto3Config, RetryConfig
    from airflow_provider_bedrock_llm.jobs.job import JobSpec

__all__ = ["BedrockEmbedOperator"]

_CALLS_AT_ONCE = 50


class BedrockEmbedOperator(BedrockParallelOperator):
    """Embed texts. Give either `texts`, for a few, or `source` and `text`, for any number.

    With `texts` the return value is the list of vectors; further XComs: `dimensions`, `usage`, `model`, `region`,
    `cost_usd`. With `source` the rows are a job as in `BedrockParallelOperator`: the output has one JSON line per row,
    with the vector in `answer["embedding"]`, and the return value holds the output's URI, counts, tokens and cost.
    Where the model takes several texts in one call (Cohere: 96), rows share calls; each row has its share of tokens
    and cost.

    Args:
        texts: the texts. Templated; what comes from another task's output is not rendered.
        source: a CSV, JSONL or Parquet file, a pattern or a folder, as in `BedrockParallelOperator`. Templated.
        text: what to embed of a row, a Jinja template over its columns, rendered per row and never by Airflow.
        model: the embedding model: a name of the catalog, model id, inference profile id or ARN; None takes that of the
            connection. One alone, because vectors of different models cannot be compared. Templated.
        regions: the regions to call, best first; None takes those of the connection. Templated.
        dimensions: the length of the vectors; None takes the model's default.
        normalize: whether vectors have the length 1 (Titan V2).
        input_type: `search_document`, `search_query`, `classification` or `clustering` (Cohere, Nova).
        truncate: `START` or `END` cuts a text that is too long there; None is an error for it (Cohere, Nova).
        id_column: the column or columns that name a row; None names it by its content.
        keep_columns: input columns that the output carries, or "*" for all.
        output_uri: where the output goes; None for `output.jsonl` in the job's folder. Templated.
        source_format: `csv`, `jsonl` or `parquet`, where the names do not tell.
        on_bad_record: `fail` before anything is spent, or `skip` and report in the output.
        dedupe: embed identical texts once.
        parallel_config: concurrency, in rows, and failure policy; 50 full calls at once if None.
        retry_config: retries and failover; None takes those of the connection.
        boto3_config: network settings; None takes those of the connection.
        work_dir: where jobs keep their folders; None takes `[bedrock_llm] work_dir`. Templated.
        bedrock_conn_id: the Airflow connection. Templated.
        deferrable: wait for a job in the triggerer; False runs it on the worker.

    Raises:
        AirflowFailException: a retry of the task cannot help (bad input, no access, unknown model).
        AirflowException: a retry of the task may help; a job pays only for what is missing.
    """

    template_fields: Sequence[str] = (
        "texts",
        "source",
        "output_uri",
        "work_dir",
        "model",
        "regions",
        "bedrock_conn_id",
    )

    def __init__(
        self,
        *,
        texts: Sequence[str] | None = None,
        source: str | None = None,
        text: str | None = None,
        model: str | Mapping[str, Any] | None = None,
        regions: Sequence[str] | None = None,
        dimensions: int | None = None,
        normalize: bool | None = None,
        input_type: str | None = None,
        truncate: str | None = None,
        id_column: str | Sequence[str] | None = None,
        keep_columns: str | Sequence[str] = (),
        output_uri: str | None = None,
        source_format: str | None = None,
        on_bad_record: str = "fail",
        dedupe: bool = False,
        parallel_config: ParallelProcessingConfig | None = None,
        retry_config: RetryConfig | None = None,
        boto3_config: Boto3Config | None = None,
        work_dir: str | None = None,
        bedrock_conn_id: str = BedrockLLMHook.default_conn_name,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            source=source,
            prompt=text,
            id_column=id_column,
            keep_columns=keep_columns,
            output_uri=output_uri,
            source_format=source_format,
            on_bad_record=on_bad_record,
            dedupe=dedupe,
            regions=regions,
            parallel_config=parallel_config,
            retry_config=retry_config,
            boto3_config=boto3_config,
            work_dir=work_dir,
            bedrock_conn_id=bedrock_conn_id,
            deferrable=deferrable,
            **kwargs,
        )
        self.texts = texts
        self.text = text
        self.model = model
        self.dimensions = dimensions
        self.normalize = normalize
        self.input_type = input_type
        self.truncate = truncate

    def execute(self, context: Context) -> Any:
        """Embed the texts here, or write down the job and run it or wait for it."""
        self.models = None if self.model is None else [self.model]
        try:
            if (self.texts is None) == (self.source is None):
                raise ConfigurationError("Give either `texts` or `source`. The task has both or neither.")
            if self.texts is not None:
                return self._embed(context, self.texts)
            if not self.text:
                raise ConfigurationError("`source` needs `text`, a template over its columns. Give one.")
        except LLMManagerError as error:
            raise airflow_error(error) from error
        return super().execute(context)

    def _embed(self, context: Context, texts: Sequence[str]) -> list[list[float]]:
        response = self._hook().embed(texts, **self._settings.to_dict(), request_metadata=tags_of(context))
        self.log.info(
            "%s in %s embedded %d texts after %d call(s): %d dimensions, %d tokens, %s.",
            response.model_used,
            response.region_used,
            len(response.vectors),
            len(response.attempts),
            response.dimensions,
            response.input_tokens,
            "cost unknown" if response.cost_usd is None else f"{response.cost_usd:.6f} USD",
        )
        task_instance = context["ti"]
        task_instance.xcom_push("dimensions", response.dimensions)
        task_instance.xcom_push("usage", {"inputTokens": response.input_tokens})
        task_instance.xcom_push("model", response.model_used)
        task_instance.xcom_push("region", response.region_used)
        task_instance.xcom_push("cost_usd", response.cost_usd)
        return response.vectors

    def _spec(self, context: Context) -> JobSpec:
        hook = self._hook()
        family = hook.embedding_family(hook.embedding_choice())
        family.check(self._settings)
        spec = super()._spec(context)
        rows_at_once = _CALLS_AT_ONCE * family.max_texts
        return replace(
            spec,
            operation="embed",
            request={"additional_model_request_fields": self._settings.to_dict()},
            parallel=self.parallel_config or ParallelProcessingConfig(max_concurrent_requests=rows_at_once),
        )

    @property
    def _settings(self) -> EmbeddingSettings:
        return EmbeddingSettings(self.dimensions, self.normalize, self.input_type, self.truncate)

    def _hook(self) -> BedrockLLMHook:
        return BedrockLLMHook(
            bedrock_conn_id=self.bedrock_conn_id,
            models=self.models,
            regions=self.regions,
            boto3_config=self.boto3_config,
            retry_config=self.retry_config,
        )
