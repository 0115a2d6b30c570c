"""Who may see a pipeline's pages: who may read the runs of its retrain DAG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nightshift.pipeline import Pipeline


def may_read(pipeline: str, user: Any) -> bool:
    """Whether a user may read what the pipeline's nights made."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import (
        DagAccessEntity,
        DagDetails,
    )

    from nightshift_provider.dags import retrain_id

    return bool(
        get_auth_manager().is_authorized_dag(
            method="GET",
            access_entity=DagAccessEntity.RUN,
            details=DagDetails(id=retrain_id(pipeline)),
            user=user,
        )
    )


def readable(pipeline: str, user: Any) -> Pipeline:
    """The pipeline, for a user who may read it.

    Raises:
        HTTPException: 403, the user may not.
        ConfigurationError: there is none of that name, or its folder is broken.
    """
    from fastapi import HTTPException

    from nightshift.pipeline import Pipeline
    from nightshift.settings import Settings

    if not may_read(pipeline, user):
        raise HTTPException(403, "Forbidden")
    return Pipeline.load(Settings.from_env(), pipeline)
