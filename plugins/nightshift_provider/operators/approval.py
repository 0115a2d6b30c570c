"""Asking a person, in such a way that later tasks know the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

ANSWER = "answer"
"""Key of the XCom: `{"approved": bool, "by": str | None}`, `by` None where the time ran out."""


class NightshiftApprovalOperator(ApprovalOperator):
    """Airflow's ApprovalOperator, whose "no" leaves no XCom; here each answer leaves one."""

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Keep the answer, then go on or skip what follows."""
        if "error" not in event:
            user = event.get("responded_by_user") or {}
            context["ti"].xcom_push(
                key=ANSWER,
                value={
                    "approved": event["chosen_options"] == [self.APPROVE],
                    "by": user.get("name") or user.get("id"),
                },
            )
        return super().execute_complete(context, event)


__all__ = ["ANSWER", "NightshiftApprovalOperator"]
