from harness.endpoint import bedrock, endpoint, endpoint_of_session, runtime

__all__ = ["bedrock", "endpoint", "endpoint_of_session", "runtime"]
