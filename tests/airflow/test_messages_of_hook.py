"""The hook's message builder reads what Airflow's object storage reaches."""

import fsspec
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from harness.media_files import make_png

from airflow_provider_bedrock_llm.core.errors import ContentError
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

NOVA = "amazon.nova-lite-v1:0"


@pytest.fixture
def stored():
    attach("memory", fs=fsspec.filesystem("memory"))
    path = ObjectStoragePath("memory://pictures/photo.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_png())
    yield path
    path.unlink()


def test_a_uri_is_read_and_asked_about(connected, stored):
    hook = BedrockLLMHook(models=[NOVA])
    message = hook.create_user_message().add_local_image(str(stored)).add_text("What is it?").build()
    assert message["content"][0] == {"image": {"format": "png", "source": {"bytes": make_png()}}}
    assert hook.converse([message]).get_content()


def test_a_path_object_goes_in_as_it_is(stored):
    message = BedrockLLMHook(models=[NOVA]).create_message("user").add_local_image(stored).build()
    assert message["content"][0]["image"]["source"] == {"bytes": make_png()}


def test_a_path_object_that_is_too_large_is_not_read(stored):
    with pytest.raises(ContentError, match="max_size_mb is 1e-06 MB"):
        BedrockLLMHook(models=[NOVA]).create_user_message().add_local_image(stored, max_size_mb=0.000001)


def test_a_missing_object_is_a_missing_file(stored):
    with pytest.raises(FileNotFoundError):
        BedrockLLMHook(models=[NOVA]).create_user_message().add_local_image("memory://pictures/none.png")


def test_what_the_assistant_said_goes_back(connected):
    hook = BedrockLLMHook(models=[NOVA])
    turns = [
        hook.create_user_message().add_text("Hello.").build(),
        hook.create_assistant_message().add_text("Hello. How can I help?").build(),
        hook.create_user_message().add_text("Say it again.").build(),
    ]
    assert hook.converse(turns).success
