"""Typed clients of Nightshift's predict server."""

from nightshift_client.answers import (
    Health,
    Prediction,
    Predictions,
    Ranked,
    Ranking,
    Recommendations,
    Recommended,
    Tensors,
)
from nightshift_client.clients import AsyncClient, Client
from nightshift_client.errors import (
    InvalidRequest,
    NightshiftClientError,
    Problem,
    ServerFault,
    Unavailable,
)

__all__ = [
    "AsyncClient",
    "Client",
    "Health",
    "InvalidRequest",
    "NightshiftClientError",
    "Prediction",
    "Predictions",
    "Problem",
    "Ranked",
    "Ranking",
    "Recommendations",
    "Recommended",
    "ServerFault",
    "Tensors",
    "Unavailable",
]
