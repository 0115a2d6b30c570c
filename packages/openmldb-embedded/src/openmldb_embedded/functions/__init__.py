"""The scalar functions and operators: how each is resolved for given types, and what it does.

Importing the package fills the registry. A new function goes into the module of its kind.
"""

from openmldb_embedded.functions import (  # noqa: F401 - they enter their functions
    composites,
    conditional,
    conversion,
    dates,
    hashing,
    json_text,
    lists,
    numbers,
    patterns,
    text,
)
from openmldb_embedded.functions.registry import SCALARS, resolve_scalar

__all__ = ["SCALARS", "resolve_scalar"]
