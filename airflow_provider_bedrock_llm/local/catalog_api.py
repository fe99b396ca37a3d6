"""The control-plane operations of Bedrock that tell what there is, and STS GetCallerIdentity."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from aiohttp import web

from .models import ApplicationProfile, LocalModel
from .service_model import Check, compile_shape, load_service, refuse
from .wire import json_response, read_json
from .wire_errors import ErrorReply, Refused, preset, validation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .credentials import Caller
    from .state import EndpointState
    from .stats import CallRecord

__all__ = ["CatalogApi", "page_of"]

_MADE_AT = "2025-10-15T00:00:00Z"
_PAGE = 100
Reply = tuple[dict[str, Any], int]


class CatalogApi:
    """Serves the `bedrock` service from an endpoint's models."""

    def __init__(self, state: EndpointState) -> None:
        self._state = state
        self._made = 0
        service = load_service("bedrock")
        names = (
            "ListFoundationModels",
            "GetFoundationModel",
            "GetFoundationModelAvailability",
            "ListInferenceProfiles",
            "GetInferenceProfile",
            "CreateInferenceProfile",
            "DeleteInferenceProfile",
        )
        self._checks: dict[str, Check] = {
            name: compile_shape(shape) for name in names if (shape := service.operation_model(name).input_shape)
        }

    def route(self, method: str, path: str) -> tuple[str, str] | None:
        """The operation that a method and raw path mean, and the identifier in the path."""
        head, _, tail = path.lstrip("/").partition("/")
        table = {
            ("GET", "foundation-models"): ("ListFoundationModels", "GetFoundationModel"),
            ("GET", "foundation-model-availability"): ("", "GetFoundationModelAvailability"),
            ("GET", "inference-profiles"): ("ListInferenceProfiles", "GetInferenceProfile"),
            ("POST", "inference-profiles"): ("CreateInferenceProfile", ""),
            ("DELETE", "inference-profiles"): ("", "DeleteInferenceProfile"),
        }
        names = table.get((method, head))
        operation = names[bool(tail)] if names else ""
        return (operation, unquote(tail)) if operation else None

    def serve(self, operation: str, identifier: str, query: str, raw: bytes, caller: Caller) -> Reply:
        """The reply's body and status; Refused for what AWS refuses."""
        arguments = self._arguments(operation, identifier, query, raw)
        handlers: Mapping[str, Callable[[Mapping[str, Any], Caller], dict[str, Any]]] = {
            "ListFoundationModels": self._list_models,
            "GetFoundationModel": self._get_model,
            "GetFoundationModelAvailability": self._availability,
            "ListInferenceProfiles": self._list_profiles,
            "GetInferenceProfile": self._get_profile,
            "CreateInferenceProfile": self._create_profile,
            "DeleteInferenceProfile": self._delete_profile,
        }
        return handlers[operation](arguments, caller), 201 if operation == "CreateInferenceProfile" else 200

    def _arguments(self, operation: str, identifier: str, query: str, raw: bytes) -> dict[str, Any]:
        shape: Any = load_service("bedrock").operation_model(operation).input_shape
        arguments = read_json(raw) if raw else {}
        asked = {key: values[-1] for key, values in parse_qs(query).items()}
        for name, member in shape.members.items():
            place = member.serialization.get("location")
            wire_name = member.serialization.get("name", name)
            if place == "uri":
                arguments[wire_name] = identifier
            elif place == "querystring" and wire_name in asked:
                value = asked[wire_name]
                whole = member.type_name == "integer" and value.isdigit()
                arguments[wire_name] = int(value) if whole else value
        wrong = self._checks[operation](arguments)
        if wrong:
            raise refuse(wrong)
        return dict(arguments)

    def _list_models(self, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        found = [_summary(model, caller.region) for model in self._state.models.in_region(caller.region)]
        for key, part in (("byOutputModality", "outputModalities"), ("byInferenceType", "inferenceTypesSupported")):
            if key in arguments:
                found = [one for one in found if arguments[key] in one[part]]
        if "byProvider" in arguments:
            found = [one for one in found if one["providerName"].lower() == arguments["byProvider"].lower()]
        if "byCustomizationType" in arguments:
            found = [one for one in found if arguments["byCustomizationType"] in one["customizationsSupported"]]
        return {"modelSummaries": found}

    def _get_model(self, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        return {"modelDetails": _summary(self._model(arguments["modelIdentifier"], caller.region), caller.region)}

    def _availability(self, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        model = self._model(arguments["modelId"], caller.region)
        granted = model.access == "granted"
        return {
            "modelId": model.model_id,
            "agreementAvailability": {"status": "AVAILABLE" if granted else "NOT_AVAILABLE"},
            "authorizationStatus": "AUTHORIZED" if granted else "NOT_AUTHORIZED",
            "entitlementAvailability": "AVAILABLE" if granted else "NOT_AVAILABLE",
            "regionAvailability": "AVAILABLE",
        }

    def _model(self, identifier: str, region: str) -> LocalModel:
        name = identifier.rpartition("foundation-model/")[2]
        found = next((one for one in self._state.models.in_region(region) if one.model_id == name), None)
        if found is None:
            raise Refused(preset("invalid_model"))
        return found

    def _list_profiles(self, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        wanted = arguments.get("type")
        found: list[dict[str, Any]] = []
        if wanted != "APPLICATION":
            found += [_profile(one, model, caller) for one, model in self._state.models.profiles_in(caller.region)]
        if wanted != "SYSTEM_DEFINED":
            found += [_own_profile(one, caller) for one in self._state.models.application_profiles_in(caller.region)]
        page, token = page_of(found, arguments)
        return {"inferenceProfileSummaries": page, **({"nextToken": token} if token else {})}

    def _get_profile(self, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        asked = arguments["inferenceProfileIdentifier"]
        name = asked.rpartition("/")[2]
        for profile_id, model in self._state.models.profiles_in(caller.region):
            if profile_id == name:
                return _profile(profile_id, model, caller)
        for own in self._state.models.application_profiles_in(caller.region):
            if own.profile_id == name:
                return _own_profile(own, caller)
        raise Refused(_not_found(asked))

    def _create_profile(self, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        source = arguments["modelSource"]["copyFrom"].rpartition("/")[2]
        models = self._state.models
        model = models.get(source) or dict(models.profiles_in(caller.region)).get(source)
        if model is None:
            raise validation("The provided model identifier is invalid.")
        self._made += 1
        own = ApplicationProfile(
            f"app{self._made:09}", arguments["inferenceProfileName"], caller.region, model.model_id
        )
        models.add_application_profile(own)
        return {"inferenceProfileArn": _own_profile(own, caller)["inferenceProfileArn"], "status": "ACTIVE"}

    def _delete_profile(self, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        asked = arguments["inferenceProfileIdentifier"]
        if not self._state.models.remove_application_profile(caller.region, asked.rpartition("/")[2]):
            raise Refused(_not_found(asked))
        return {}

    @staticmethod
    def caller_identity(caller: Caller, record: CallRecord) -> web.Response:
        """STS GetCallerIdentity, for clients that are pointed here as a whole."""
        text = (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            f"<Arn>arn:aws:iam::{caller.account}:user/local</Arn><UserId>{caller.access_key}</UserId>"
            f"<Account>{caller.account}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>"
            f"{record.request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
        )
        return web.Response(text=text, content_type="text/xml", headers={"x-amzn-RequestId": record.request_id})


def reply_to(body: dict[str, Any], status: int, record: CallRecord) -> web.Response:
    """The response for a control-plane reply."""
    return json_response(body, record.request_id, status=status)


def page_of(found: list[dict[str, Any]], arguments: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """The page that `maxResults` and `nextToken` ask for, and the token of the next one."""
    start = _page_start(arguments.get("nextToken"))
    end = start + arguments.get("maxResults", _PAGE)
    token = base64.urlsafe_b64encode(json.dumps({"start": end}).encode()).decode() if end < len(found) else None
    return found[start:end], token


def _page_start(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(token))["start"])
    except (ValueError, KeyError, TypeError):
        raise validation("The provided nextToken is invalid.") from None


def _not_found(asked: str) -> ErrorReply:
    return ErrorReply("ResourceNotFoundException", 404, f"The specified inference profile was not found: {asked}")


def _summary(model: LocalModel, region: str) -> dict[str, Any]:
    kinds = [*(["ON_DEMAND"] if model.is_on_demand(region) else []), *(["INFERENCE_PROFILE"] if model.profiles else [])]
    return {
        "modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model.model_id}",
        "modelId": model.model_id,
        "modelName": model.name or model.model_id,
        "providerName": model.provider,
        "inputModalities": list(model.input_modalities),
        "outputModalities": ["EMBEDDING" if model.embedding else "TEXT"],
        "responseStreamingSupported": model.streaming,
        "customizationsSupported": [],
        "inferenceTypesSupported": kinds,
        "modelLifecycle": {"status": model.lifecycle},
    }


def _profile(profile_id: str, model: LocalModel, caller: Caller) -> dict[str, Any]:
    prefix = profile_id.partition(".")[0]
    geo = "Global" if prefix == "global" else prefix.upper()
    return {
        "inferenceProfileName": f"{geo} {model.provider} {model.name or model.model_id}",
        "description": f"Routes requests to {model.name or model.model_id} in the regions of {geo}.",
        "createdAt": _MADE_AT,
        "updatedAt": _MADE_AT,
        "inferenceProfileArn": f"arn:aws:bedrock:{caller.region}:{caller.account}:inference-profile/{profile_id}",
        "models": [{"modelArn": arn} for arn in _destinations(profile_id, model, caller.region)],
        "inferenceProfileId": profile_id,
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def _destinations(profile_id: str, model: LocalModel, region: str) -> list[str]:
    sources = [one for one in model.profiles[profile_id] if "*" not in one] or [region]
    if profile_id.startswith("global."):
        sources = ["", *sources]
    return [f"arn:aws:bedrock:{source}::foundation-model/{model.model_id}" for source in sources]


def _own_profile(own: ApplicationProfile, caller: Caller) -> dict[str, Any]:
    arn = f"arn:aws:bedrock:{own.region}:{caller.account}:application-inference-profile/{own.profile_id}"
    return {
        "inferenceProfileName": own.name,
        "createdAt": _MADE_AT,
        "updatedAt": _MADE_AT,
        "inferenceProfileArn": arn,
        "models": [{"modelArn": f"arn:aws:bedrock:{own.region}::foundation-model/{own.model_id}"}],
        "inferenceProfileId": own.profile_id,
        "status": "ACTIVE",
        "type": "APPLICATION",
    }
