"""What kinds of pipelines the server answers for; a kind is a module here and a line below."""

from __future__ import annotations

from predict_server.families import ctr, tensor
from predict_server.families.base import Family

FAMILIES: dict[str, Family] = {"ctr": ctr.FAMILY, "tensor": tensor.FAMILY}
"""By the name that a pipeline's folder gives."""
