"""Messages whose files lie in any object storage that Airflow reaches."""

from __future__ import annotations

from airflow.sdk import ObjectStoragePath

from airflow_provider_bedrock_llm.core.messages import MessageBuilder, RolesEnum, create_message

__all__ = ["MessageVerbs", "read_object"]


class MessageVerbs:
    """The hook's share of the message builder: `add_local_image("s3://conn@bucket/photo.png")` and the like work."""

    def create_message(self, role: str) -> MessageBuilder:
        """Begin a message of a role."""
        return create_message(role, read_object)

    def create_user_message(self) -> MessageBuilder:
        """Begin what the user says."""
        return create_message(RolesEnum.USER, read_object)

    def create_assistant_message(self) -> MessageBuilder:
        """Begin what the model said, or is to go on from."""
        return create_message(RolesEnum.ASSISTANT, read_object)


def read_object(uri: str) -> bytes:
    """Read a file from object storage, with the Airflow connection that the URI names (`s3://conn@bucket/key`)."""
    content: bytes = ObjectStoragePath(uri).read_bytes()
    return content
