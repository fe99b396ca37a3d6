from harness.endpoint import bedrock, clients_of_session, endpoint, endpoint_of_session, runtime

__all__ = ["bedrock", "clients_of_session", "endpoint", "endpoint_of_session", "runtime"]
