"""The aggregate functions: how each is resolved for given types, and what it does.

Importing the package fills the registry. A new function goes into the module of its kind.
"""

from openmldb_embedded.aggregates import (  # noqa: F401 - they enter their functions
    basic,
    categories,
    positions,
    statistics,
)
from openmldb_embedded.aggregates.registry import (
    AGGREGATES,
    NOT_CONSTANT,
    AggregateImpl,
    resolve_aggregate,
)

__all__ = ["AGGREGATES", "NOT_CONSTANT", "AggregateImpl", "resolve_aggregate"]
