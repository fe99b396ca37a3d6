"""Section 2.7 of the peer's defects, but for the catalog's own cases 34, 35 and 40, which are beside its tests."""

from __future__ import annotations

import inspect
import json
import logging

import pytest
from harness.media_files import make_iso, make_jpeg
from harness.task import connect

from airflow_provider_bedrock_llm import (
    BedrockConverseRequest,
    BedrockLLMHook,
    BedrockResponse,
    ContentError,
    create_user_message,
    text_message,
)
from airflow_provider_bedrock_llm.core.errors import RequestTimeoutError
from airflow_provider_bedrock_llm.core.media import detect_media
from airflow_provider_bedrock_llm.core.media_table import MediaKind


def test_case_36_no_repr_shows_a_secret(endpoint, monkeypatch):
    extra = {"endpoint_url": endpoint.url, "region_name": "us-east-1", "aws_session_token": "TOKENCANARY"}
    connect(monkeypatch, login="AKIDCANARY", password="SECRETCANARY", extra=extra)
    hook = BedrockLLMHook(models=["Nova Lite"])
    shown = [repr(thing) for thing in (hook, hook.connection, hook.client_settings, hook.policy(), hook.plan())]
    assert not [text for text in shown if "CANARY" in text]


def test_case_36_a_file_that_is_no_image_is_refused_whatever_it_is_called(tmp_path):
    path = tmp_path / "passwd"
    path.write_text("root:x:0:0:root:/root:/bin/bash\n")
    with pytest.raises(ContentError):
        create_user_message().add_local_image(str(path), format="png")


def test_case_36_making_a_hook_sets_no_log_level(connected):
    logger = logging.getLogger("airflow_provider_bedrock_llm")
    before = logger.level
    BedrockLLMHook(models=["Nova Lite"]).converse([text_message("Hello.")])
    assert logger.level == before


def test_case_37_bytes_survive_json(connected):
    response = BedrockLLMHook(models=["Nova Lite"]).converse([text_message("Hello.")])
    data = response.to_dict()
    data["response_data"]["output"]["message"]["content"].append(
        {"image": {"source": {"bytes": {"__bytes__": "iVA="}}}}
    )
    again = BedrockResponse.from_dict(json.loads(json.dumps(data)))
    assert again.get_content_blocks()[-1]["image"]["source"]["bytes"] == b"\x89P"
    assert BedrockResponse.from_dict(json.loads(again.to_json())).to_dict() == again.to_dict()


def test_case_37_errors_come_back_as_what_they_were(connected):
    error = RequestTimeoutError("Too slow. Wait longer.", aws_code="ModelTimeoutException")
    again = BedrockResponse.from_dict(json.loads(BedrockResponse(success=False, error=error).to_json()))
    assert type(again.error) is RequestTimeoutError
    assert again.error.aws_code == "ModelTimeoutException"


def test_case_37_a_request_keeps_every_field_through_a_dict():
    request = BedrockConverseRequest([text_message("Hello.")], priority=3, service_tier={"type": "flex"})
    assert BedrockConverseRequest.from_dict(request.to_dict()) == request


@pytest.mark.parametrize(
    ("data", "name", "kind", "found"),
    [
        (make_iso("isom"), "", MediaKind.VIDEO, "mp4"),
        (b"\xff\xd8\xff\xe2" + make_jpeg()[4:], "", MediaKind.IMAGE, "jpeg"),
        (b"\xff\xd8\xff\xee" + make_jpeg()[4:], "", MediaKind.IMAGE, "jpeg"),
        (b"a,b\n1,2\n", "table.csv", MediaKind.DOCUMENT, "csv"),
        (b"# Title\n", "notes.md", MediaKind.DOCUMENT, "md"),
    ],
)
def test_case_38_files_are_known_by_what_they_hold(data, name, kind, found):
    media = detect_media(data, name)
    assert (media.kind, media.format) == (kind, found)


def test_case_38_text_is_sent_as_it_was_written():
    assert create_user_message().add_text("  indented\n").build()["content"] == [{"text": "  indented\n"}]


def test_case_39_there_is_async_cost_embeddings_and_counting(connected):
    hook = BedrockLLMHook(models=["Nova Lite"])
    assert inspect.iscoroutinefunction(hook.converse_parallel_async)
    assert hook.converse([text_message("Hello.")]).cost_usd > 0
    assert len(hook.embed(["Hello."], model="amazon.titan-embed-text-v2:0").vectors[0]) == 1024


def test_case_41_warnings_are_errors_and_markers_are_strict_in_this_very_run(pytestconfig):
    assert pytestconfig.getini("filterwarnings") == ["error"]
    assert pytestconfig.getoption("strict_markers")
    assert pytestconfig.inipath.name == "pyproject.toml"
