"""What ListFoundationModels and ListInferenceProfiles answer, in botocore's shape."""

from airflow_provider_bedrock_llm.core.learned import RegionAnswer

__all__ = ["answer", "application_profile", "model", "profile"]


def model(model_id, *, on_demand=True, **told):
    return {
        "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model_id}",
        "modelId": model_id,
        "responseStreamingSupported": True,
        "inferenceTypesSupported": ["ON_DEMAND"] if on_demand else ["INFERENCE_PROFILE"],
    } | told


def profile(profile_id, *destinations):
    base_id = profile_id.partition(".")[2]
    return {
        "inferenceProfileId": profile_id,
        "inferenceProfileName": profile_id,
        "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{profile_id}",
        "models": [{"modelArn": f"arn:aws:bedrock:{where}::foundation-model/{base_id}"} for where in destinations],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def application_profile(region, profile_id, base_id, *destinations):
    return profile(f"x.{base_id}", *destinations) | {
        "inferenceProfileId": profile_id,
        "inferenceProfileName": f"team {profile_id}",
        "inferenceProfileArn": f"arn:aws:bedrock:{region}:123456789012:application-inference-profile/{profile_id}",
        "type": "APPLICATION",
    }


def answer(models=(), profiles=()):
    return RegionAnswer(list(models), list(profiles))
