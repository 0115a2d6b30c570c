"""Syntax tree to checked plan: names, types, windows and joins, before anything runs.

``queries`` plans relations and asks ``select``, ``windows`` and ``joins`` for their parts;
these ask ``expressions``, which hands calls to ``calls`` and operators to ``operators``.
"""

from openmldb_embedded.check.queries import Catalog, plan_query

__all__ = ["Catalog", "plan_query"]
