"""`./nightshift check`: all that can be known of a pipeline before a night, at once, in seconds."""

from nightshift.check.checker import check_pipeline

__all__ = ["check_pipeline"]
