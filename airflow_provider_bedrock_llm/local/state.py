"""Everything that a running endpoint knows, in one place: what the data plane reads and the control address changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .batch_jobs import BatchBook
from .credentials import CredentialBook
from .default_models import default_models
from .faults import FaultBook
from .guardrails import GuardrailBook
from .latency import LatencyClock
from .limits import Limits
from .models import ModelBook
from .prompt_cache import PromptCache
from .rule_answers import answer_by_rule
from .stats import Stats

if TYPE_CHECKING:
    from .settings import EndpointSettings

__all__ = ["EndpointState"]


class EndpointState:
    """The parts of one endpoint. Only its event loop touches them."""

    def __init__(self, settings: EndpointSettings) -> None:
        self.settings = settings
        self.now = time.monotonic
        self.models = ModelBook(())
        self.credentials = CredentialBook(settings.default_region)
        self.stats = Stats()
        self.cache = PromptCache()
        self.guardrails = GuardrailBook()
        self.batch = BatchBook()
        self.reset()

    def reset(self) -> None:
        """Back to how it was started; calls in flight go on."""
        settings = self.settings
        self.models = ModelBook(default_models() if settings.models is None else settings.models)
        self.credentials.reset()
        self.faults = FaultBook()
        self.limits = Limits()
        self.latency = LatencyClock(settings.latency)
        self.answerer = settings.answerer or answer_by_rule
        self.cache.reset()
        self.guardrails.reset()
        self.batch.reset()
        self.stats.keep_bodies = settings.keep_bodies
        self.stats.reset()
