"""OpenMLDB's own batch engine on Apache Spark as an offline engine: an application a job."""

from __future__ import annotations

from openmldb_embedded.offline.spark.engine import SparkEngine

__all__ = ["SparkEngine"]
