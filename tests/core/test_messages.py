"""The message builder of seeds 002 and 003: their examples, and the limits of the API at the line that breaks them."""

import re
from pathlib import Path

import pytest
from harness.media_files import DOCX, EXAMPLES, PDF, XLSX, make_iso, make_jpeg, make_png, make_webp, png_header
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.errors import ContentError, LLMManagerError, RequestValidationError
from airflow_provider_bedrock_llm.core.media_table import DocumentFormatEnum, ImageFormatEnum
from airflow_provider_bedrock_llm.core.messages import (
    MessageBuilder,
    RolesEnum,
    create_assistant_message,
    create_message,
    create_user_message,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest


@pytest.fixture
def folder(tmp_path):
    """The files of the seeds' examples."""
    for name, content in {
        "photo.jpg": make_jpeg(),
        "diagram.png": make_png(),
        "charts/sales_chart.png": make_png(),
        "data/sales_data.xlsx": XLSX,
        "report.pdf": PDF,
        "document.pdf": PDF,
        "data.csv": b"a,b\n1,2\n",
        "building1.jpg": make_jpeg(),
        "building2.jpg": make_jpeg(7, 7),
        "documents/annual_report.pdf": PDF,
        "documents/minutes.pdf": PDF,
        "very_large_file.pdf": PDF + b"\n" * 5_000_000,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return tmp_path


class TestExamplesOfSeed003:
    """Adapted in nothing but where the files lie, except where a docstring says what differs."""

    def test_simple_text(self):
        message = create_user_message().add_text("Hello, how are you?").build()
        assert message == {"role": "user", "content": [{"text": "Hello, how are you?"}]}

    def test_several_paragraphs_stay_several_blocks_as_they_were_written(self):
        """0.9.0 strips white space from every text; indented code and Markdown need it."""
        message = create_user_message().add_text("First paragraph.\n").add_text("    indented").build()
        assert message["content"] == [{"text": "First paragraph.\n"}, {"text": "    indented"}]

    def test_text_images_and_documents_in_one_chain(self, folder):
        message = (
            create_user_message()
            .add_text("Please analyze this data visualization and the underlying data:")
            .add_local_image(str(folder / "charts/sales_chart.png"))
            .add_local_document(str(folder / "data/sales_data.xlsx"))
            .add_text("What trends do you notice and what recommendations do you have?")
            .build()
        )
        assert message["content"][1] == {"image": {"format": "png", "source": {"bytes": make_png()}}}
        assert message["content"][2] == {
            "document": {"name": "sales-data", "format": "xlsx", "source": {"bytes": XLSX}}
        }

    def test_formats_are_detected(self, folder):
        """The seed's message has documents and no text, which Bedrock refuses; ours has a question."""
        message = (
            create_user_message()
            .add_text("What is in these?")
            .add_local_image(str(folder / "photo.jpg"))
            .add_local_image(str(folder / "diagram.png"))
            .add_local_document(str(folder / "report.pdf"))
            .add_local_document(str(folder / "data.csv"))
            .build()
        )
        found = [next(iter(block.values())).get("format") for block in message["content"][1:]]
        assert found == ["jpeg", "png", "pdf", "csv"]

    def test_formats_are_named(self):
        message = (
            create_user_message()
            .add_text("Compare.")
            .add_image_bytes(make_webp(), format=ImageFormatEnum.WEBP)
            .add_document_bytes(DOCX, format=DocumentFormatEnum.DOCX, name="Proposal")
            .build()
        )
        assert message["content"][1]["image"]["format"] == "webp"
        assert message["content"][2]["document"] == {"name": "Proposal", "format": "docx", "source": {"bytes": DOCX}}

    def test_a_document_is_not_named_after_its_file_with_its_suffix(self, folder):
        """The headline example gives the name "document.pdf" in 0.9.0, which Bedrock refuses for its dot."""
        message = (
            create_user_message()
            .add_text("Analyze this document:")
            .add_local_document(str(folder / "document.pdf"))
            .build()
        )
        assert message["content"][1]["document"]["name"] == "document"

    def test_cache_point_between_what_repeats_and_what_does_not(self, folder):
        message = (
            create_user_message()
            .add_text("Analyze these architectural images...")
            .add_local_image(str(folder / "building1.jpg"))
            .add_local_image(str(folder / "building2.jpg"))
            .add_cache_point()
            .add_text("Focus on the Gothic elements")
            .build()
        )
        kinds = [next(iter(block)) for block in message["content"]]
        assert kinds == ["text", "image", "image", "cachePoint", "text"]
        assert message["content"][3] == {"cachePoint": {"type": "default"}}

    def test_conversation_of_several_turns(self, folder):
        conversation = [
            create_user_message().add_text("What's in this image?").add_local_image(str(folder / "photo.jpg")).build(),
            create_assistant_message().add_text("I can see a beautiful landscape with mountains and a lake.").build(),
            create_user_message().add_text("What time of day do you think this photo was taken?").build(),
        ]
        assert [message["role"] for message in conversation] == ["user", "assistant", "user"]
        assert BedrockConverseRequest(conversation).converse_params("m")["messages"] == conversation

    def test_many_documents_as_requests(self, folder):
        """The seed names a document by its file's stem; a stem with an underscore is refused, with a name that does."""
        requests = [
            BedrockConverseRequest(
                request_id=f"doc-analysis-{path.stem}",
                messages=[create_user_message().add_text("1. Main topics and themes").add_local_document(path).build()],
            )
            for path in sorted((folder / "documents").glob("*.pdf"))
        ]
        names = [request.messages[0]["content"][1]["document"]["name"] for request in requests]
        assert names == ["annual-report", "minutes"]
        with pytest.raises(ContentError, match="'annual-report' would do"):
            create_user_message().add_local_document(
                folder / "documents/annual_report.pdf", name=Path("annual_report.pdf").stem
            )

    def test_a_raised_limit_is_the_limit(self, folder):
        """`max_size_mb=10.0` is refused at 4.5 MB in 0.9.0 all the same."""
        large = folder / "very_large_file.pdf"
        message = create_user_message().add_text("Read.").add_local_document(str(large), max_size_mb=10.0).build()
        assert len(message["content"][1]["document"]["source"]["bytes"]) > 4.5 * 1024 * 1024
        with pytest.raises(
            ContentError, match=re.escape("'very_large_file.pdf' has 4.77 MB and Converse's limit is 4.5")
        ):
            create_user_message().add_local_document(str(large))

    def test_errors_are_caught_as_the_seed_catches_them(self, folder):
        with pytest.raises(FileNotFoundError):
            create_user_message().add_local_document(str(folder / "missing.pdf"))
        with pytest.raises(RequestValidationError) as caught:
            create_user_message().add_text("  ")
        assert caught.value.validation_errors == (str(caught.value),)
        assert isinstance(caught.value, LLMManagerError)


class TestMessagesOfSeed002:
    """The raw messages of seed 002, made by the builder."""

    def test_an_image_beside_text(self):
        content = make_jpeg()
        assert create_user_message().add_text("What's in this image?").add_image_bytes(content).build() == {
            "role": "user",
            "content": [
                {"text": "What's in this image?"},
                {"image": {"format": "jpeg", "source": {"bytes": content}}},
            ],
        }

    def test_a_document_beside_text(self):
        """The seed calls it "document.pdf", which Bedrock refuses for its dot."""
        built = create_user_message().add_text("Analyze this document").add_document_bytes(PDF, filename="document.pdf")
        assert built.build()["content"][1] == {
            "document": {"name": "document", "format": "pdf", "source": {"bytes": PDF}}
        }

    def test_a_tool_call_and_its_result(self):
        called = create_assistant_message().add_tool_use("unique-id", "function_name", {"param1": "value1"}).build()
        assert called["content"] == [
            {"toolUse": {"toolUseId": "unique-id", "name": "function_name", "input": {"param1": "value1"}}}
        ]
        given = create_user_message().add_tool_result("unique-id", "Function result", status="success").build()
        assert given["content"] == [
            {"toolResult": {"toolUseId": "unique-id", "content": [{"text": "Function result"}], "status": "success"}}
        ]


class TestFiles:
    @pytest.mark.parametrize(("kind", "expected", "name", "content"), EXAMPLES)
    def test_every_format_goes_in_from_bytes_and_from_a_file(self, tmp_path, kind, expected, name, content):
        (tmp_path / name).write_bytes(content)
        builder = create_user_message().add_text("Look.")
        getattr(builder, f"add_{kind}_bytes")(content, filename=name)
        getattr(builder, f"add_local_{kind}")(tmp_path / name)
        first, second = (block[kind] for block in builder.build()["content"][1:])
        assert first["format"] == second["format"] == expected
        assert first["source"] == second["source"] == {"bytes": content}

    @pytest.mark.parametrize(("kind", "expected", "name", "content"), EXAMPLES)
    def test_every_format_goes_in_from_s3(self, kind, expected, name, content):
        builder = create_user_message().add_text("Look.")
        getattr(builder, f"add_{kind}_s3")(f"s3://bucket/folder/{name}", bucket_owner="111122223333")
        block = builder.build()["content"][1][kind]
        location = {"uri": f"s3://bucket/folder/{name}", "bucketOwner": "111122223333"}
        assert (block["format"], block["source"]) == (expected, {"s3Location": location})

    def test_an_s3_object_without_a_suffix_needs_a_format(self):
        with pytest.raises(ContentError, match="Give format="):
            create_user_message().add_video_s3("s3://bucket/clip")
        block = create_user_message().add_video_s3("s3://bucket/clip", "3gp").build()["content"][0]
        assert block["video"] == {"format": "three_gp", "source": {"s3Location": {"uri": "s3://bucket/clip"}}}

    @pytest.mark.parametrize("uri", ["https://bucket/a.png", "s3://bucket", "s3://B/a.png", "a.png"])
    def test_what_is_not_an_object_in_s3_is_refused(self, uri):
        with pytest.raises(ContentError, match="Give s3://bucket/key"):
            create_user_message().add_image_s3(uri, "png")

    def test_a_bucket_owner_is_an_account(self):
        with pytest.raises(ContentError, match="12 digits"):
            create_user_message().add_image_s3("s3://bucket/a.png", bucket_owner="me")

    def test_a_text_file_is_no_png_whatever_is_claimed(self):
        with pytest.raises(ContentError, match="is text"):
            create_user_message().add_local_image("/etc/passwd", format=ImageFormatEnum.PNG)

    def test_a_path_object_of_any_kind_is_read(self):
        class StoredPath:
            """Like Airflow's ObjectStoragePath."""

            name = "photo.png"

            def read_bytes(self):
                return make_png()

        block = create_user_message().add_local_image(StoredPath()).build()["content"][0]
        assert block["image"]["source"] == {"bytes": make_png()}

    def test_a_file_uri_is_a_path(self, tmp_path):
        (tmp_path / "a b.png").write_bytes(make_png())
        assert create_user_message().add_local_image((tmp_path / "a b.png").as_uri()).content_block_count == 1

    def test_another_uri_goes_to_the_reader(self):
        asked = []
        stored = {"s3://bucket/notes.md": b"# Notes"}

        def read(uri):
            asked.append(uri)
            return stored[uri]

        message = create_user_message(read).add_text("Read.").add_local_document("s3://bucket/notes.md").build()
        assert asked == ["s3://bucket/notes.md"]
        assert message["content"][1]["document"] == {"name": "notes", "format": "md", "source": {"bytes": b"# Notes"}}

    def test_another_uri_without_a_reader_is_refused(self):
        with pytest.raises(ContentError, match="Give a `reader`, or an ObjectStoragePath"):
            create_user_message().add_local_image("s3://bucket/photo.png")

    def test_a_file_over_the_limit_is_not_even_read(self):
        class HugeFile:
            name = "film.mp4"

            def stat(self):
                return type("Stat", (), {"st_size": 10**12})

            def read_bytes(self):
                raise AssertionError("read")

        with pytest.raises(ContentError, match="put it into S3"):
            create_user_message().add_local_video(HugeFile())

    def test_a_folder_is_refused(self, tmp_path):
        with pytest.raises(ContentError, match="is a folder"):
            create_user_message().add_local_image(tmp_path)

    def test_base64_text_is_refused_because_botocore_would_encode_it_again(self):
        with pytest.raises(ContentError, match="Decode base64 text first"):
            create_user_message().add_image_bytes("iVBORw0KGgo=")

    def test_a_refused_file_leaves_the_builder_as_it_was(self):
        builder = create_user_message().add_text("Look.")
        for content, said in ((png_header(9_000, 1), "9000 x 1"), (PDF, "PDF")):
            with pytest.raises(ContentError, match=said):
                builder.add_image_bytes(content)
        assert builder.content_block_count == 1


class TestLimits:
    def test_twenty_images_and_no_more(self):
        builder = create_user_message()
        for _ in range(20):
            builder.add_image_bytes(make_png())
        with pytest.raises(ContentError, match="at most 20 images in a message"):
            builder.add_image_s3("s3://bucket/a.png")

    def test_five_documents_and_no_more(self):
        builder = create_user_message().add_text("Read.")
        for _ in range(5):
            builder.add_document_text("text")
        with pytest.raises(ContentError, match="at most 5 documents in a message"):
            builder.add_document_bytes(PDF)
        names = [block["document"]["name"] for block in builder.build()["content"][1:]]
        assert names == ["document", "document (2)", "document (3)", "document (4)", "document (5)"]

    def test_four_cache_points_and_no_more(self):
        builder = create_user_message().add_text("a")
        for _ in range(4):
            builder.add_cache_point().add_text("a")
        with pytest.raises(ContentError, match="at most 4 cache points in a request"):
            builder.add_cache_point()

    def test_a_document_needs_text_beside_it(self):
        with pytest.raises(ContentError, match="needs text beside it"):
            create_user_message().add_document_bytes(PDF).build()

    def test_two_documents_cannot_have_the_same_given_name(self):
        builder = create_user_message().add_document_text("a", "Notes")
        with pytest.raises(ContentError, match="Two documents of the message are called 'Notes'"):
            builder.add_document_text("b", "Notes")

    @pytest.mark.parametrize(
        "add",
        [
            lambda builder: builder.add_image_bytes(make_png()),
            lambda builder: builder.add_image_s3("s3://bucket/a.png"),
            lambda builder: builder.add_document_text("a"),
        ],
    )
    def test_images_and_documents_are_the_users(self, add):
        with pytest.raises(ContentError, match="from the user only, and this message is of role 'assistant'"):
            add(create_assistant_message())

    def test_a_cache_point_cannot_come_first(self):
        with pytest.raises(ContentError, match="cannot come first"):
            create_user_message().add_cache_point()

    def test_a_cache_point_cannot_follow_thoughts(self):
        with pytest.raises(ContentError, match="cannot follow reasoning content"):
            create_assistant_message().add_reasoning_content("hm").add_cache_point()

    @pytest.mark.parametrize("ttl", ["5m", "1h"])
    def test_a_cache_point_has_its_time_to_live(self, ttl):
        block = create_user_message().add_text("a").add_cache_point(ttl).build()["content"][1]
        assert block == {"cachePoint": {"type": "default", "ttl": ttl}}

    def test_a_time_to_live_that_the_api_does_not_have_is_refused(self):
        with pytest.raises(RequestValidationError, match="ttl='2h'"):
            create_user_message().add_text("a").add_cache_point("2h")

    def test_an_empty_message_is_refused(self):
        with pytest.raises(RequestValidationError, match="The message is empty"):
            create_user_message().build()

    @pytest.mark.parametrize("text", ["", " \n", 7, None])
    def test_text_that_is_none_or_blank_is_refused(self, text):
        with pytest.raises(RequestValidationError, match="Give"):
            create_user_message().add_text(text)


class TestOtherBlocks:
    def test_a_tool_result_is_text_json_or_blocks(self):
        image = {"image": {"format": "png", "source": {"bytes": make_png()}}}
        message = (
            create_user_message()
            .add_tool_result("a", "text")
            .add_tool_result("b", {"rows": [1]}, "success")
            .add_tool_result("c", [{"text": "see"}, image], "error")
            .build()
        )
        assert [block["toolResult"]["content"] for block in message["content"]] == [
            [{"text": "text"}],
            [{"json": {"rows": [1]}}],
            [{"text": "see"}, image],
        ]
        assert [block["toolResult"].get("status") for block in message["content"]] == [None, "success", "error"]

    @pytest.mark.parametrize(
        ("add", "said"),
        [
            (lambda builder: builder.add_tool_use("", "f", {}), "tool_use_id=''"),
            (lambda builder: builder.add_tool_use("a", "f g", {}), "tool name 'f g'"),
            (lambda builder: builder.add_tool_result("a b", "x"), "tool_use_id='a b'"),
            (lambda builder: builder.add_tool_result("a", "x", "done"), "status='done'"),
            (lambda builder: builder.add_reasoning_content(), "either text or redacted"),
            (lambda builder: builder.add_reasoning_content("a", None, b"b"), "either text or redacted"),
            (lambda builder: builder.add_guard_content(), "either text or an image"),
            (lambda builder: builder.add_guard_content("a", ["q"]), "qualifiers='q'"),
            (lambda builder: builder.add_guard_content(image=make_webp()), "format='webp'"),
            (lambda builder: builder.add_search_result("s", "t", " "), "content is blank"),
            (lambda builder: builder.add_block({"text": "a", "image": {}}), "one member"),
        ],
    )
    def test_what_the_api_has_no_place_for_is_refused(self, add, said):
        with pytest.raises(RequestValidationError, match=re.escape(said)):
            add(create_user_message())

    def test_thoughts_go_back_signed_or_redacted(self):
        message = (
            create_assistant_message()
            .add_reasoning_content("First, ...", "c2lnbmVk")
            .add_reasoning_content(redacted_content=b"\x01\x02")
            .build()
        )
        assert message["content"] == [
            {"reasoningContent": {"reasoningText": {"text": "First, ...", "signature": "c2lnbmVk"}}},
            {"reasoningContent": {"redactedContent": b"\x01\x02"}},
        ]

    def test_guard_content_is_text_or_image(self):
        message = (
            create_user_message()
            .add_guard_content("What is it?", ["query", "grounding_source"])
            .add_guard_content(image=make_png())
            .build()
        )
        assert message["content"] == [
            {"guardContent": {"text": {"text": "What is it?", "qualifiers": ["query", "grounding_source"]}}},
            {"guardContent": {"image": {"format": "png", "source": {"bytes": make_png()}}}},
        ]

    def test_a_search_result_has_chunks_and_can_be_cited(self):
        message = create_user_message().add_search_result("https://a", "A", ["b", "c"], citations_enabled=True).build()
        assert message["content"] == [
            {
                "searchResult": {
                    "source": "https://a",
                    "title": "A",
                    "content": [{"text": "b"}, {"text": "c"}],
                    "citations": {"enabled": True},
                }
            }
        ]

    def test_a_document_of_text_can_be_cited_chunk_by_chunk(self):
        message = (
            create_user_message()
            .add_text("Cite.")
            .add_document_text("whole", "Whole", citations_enabled=True, context="a letter")
            .add_document_text(["one", "two"], "Chunks")
            .build()
        )
        assert message["content"][1:] == [
            {
                "document": {
                    "name": "Whole",
                    "source": {"text": "whole"},
                    "context": "a letter",
                    "citations": {"enabled": True},
                }
            },
            {"document": {"name": "Chunks", "source": {"content": [{"text": "one"}, {"text": "two"}]}}},
        ]

    def test_a_block_newer_than_this_package_goes_in_as_it_is(self):
        block = {"toolRemoval": {"tool": {"type": "tool", "name": "f"}}}
        assert create_message("system").add_block(block).build() == {"role": "system", "content": [block]}


class TestBuilder:
    @pytest.mark.parametrize("role", [*RolesEnum, "user", "assistant", "system"])
    def test_a_message_has_its_role(self, role):
        assert create_message(role).add_text("a").build()["role"] == str(role)
        assert MessageBuilder(role).role == str(role)

    def test_another_role_is_refused(self):
        with pytest.raises(RequestValidationError, match="role='tool' is not a role"):
            create_message("tool")

    def test_built_twice_it_gives_equal_and_independent_messages(self):
        given = {"rows": [1]}
        builder = create_user_message().add_text("a").add_tool_result("b", given)
        first, second = builder.build(), builder.build()
        assert first == second
        first["content"][1]["toolResult"]["content"][0]["json"]["rows"].append(2)
        given["rows"].append(3)
        assert second["content"][1]["toolResult"]["content"] == [{"json": {"rows": [1]}}]
        assert builder.build() == second

    def test_it_can_go_on_after_it_was_built(self):
        builder = create_user_message().add_text("a")
        first = builder.build()
        assert builder.add_text("b").build()["content"] == [*first["content"], {"text": "b"}]

    @given(texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=8))
    def test_texts_arrive_as_they_are_and_in_order(self, texts):
        builder = create_user_message()
        for text in texts:
            builder.add_text(text)
        assert [block["text"] for block in builder.build()["content"]] == texts

    def test_an_mp4_is_a_video_or_a_recording_as_it_is_added(self):
        message = create_user_message().add_video_bytes(make_iso("isom")).add_audio_bytes(make_iso("isom")).build()
        assert [next(iter(block)) for block in message["content"]] == ["video", "audio"]
