"""Request mode: a checked plan answers request rows from the online tables' indexes.

The leftmost table of the plan is the request table: its scan stands for the request row, in the
main path and in every subquery over it that is joined to it (``plan``). Windows add the stored rows
of the same relation, and the united tables' (``frames``), found by index (``access``, ``paths``).
Expressions and folds are those of batch mode. The rows of one call are answered together where each
has one answer (``columnwise``, ``settled``): what a row alone would be answered, column by column.
"""

from openmldb_embedded.request.needed import Needed
from openmldb_embedded.request.plan import RequestPlan, request_scan

__all__ = ["Needed", "RequestPlan", "request_scan"]
