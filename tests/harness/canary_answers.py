"""Answers that carry a canary, for the test that looks for leaks."""

ANSWER_CANARY = "canary-in-an-answer-5f0c"
UNFIT_ANSWER_CANARY = "canary-in-an-unfit-answer-77aa"


def answer(call):
    """An answer that fits the schema of the test's DAG, but for prompts that ask for another."""
    if "unfit" in call.prompt:
        return f'{{"note": 17, "extra": "{UNFIT_ANSWER_CANARY}"}}'
    return f'{{"note": "{ANSWER_CANARY}"}}'
