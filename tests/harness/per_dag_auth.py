"""An auth manager that knows more than roles: Airflow's simple one lets everybody who logs in read every DAG.

Below the role op, nobody reads a DAG whose id begins with `secret`, and nobody but op and admin reads task logs.
"""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

MAY_READ_ALL = frozenset({"op", "admin"})


class PerDagAuthManager(SimpleAuthManager):
    """The simple auth manager with secret DAGs, and logs for few."""

    def is_authorized_dag(
        self, *, method: Any, user: Any, access_entity: DagAccessEntity | None = None, details: Any = None
    ) -> bool:
        if (user.role or "").lower() not in MAY_READ_ALL:
            is_secret = bool(details and details.id and details.id.startswith("secret"))
            if is_secret or access_entity is DagAccessEntity.TASK_LOGS:
                return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)

    def is_authorized_view(self, *, access_view: Any, user: Any) -> bool:
        """A user without a role logs in and sees nothing."""
        return bool(user.role) and super().is_authorized_view(access_view=access_view, user=user)
