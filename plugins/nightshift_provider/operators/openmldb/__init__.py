"""Operators for OpenMLDB: scripts, loads, exports, deployments, and waiting for a job.

All of them follow the jobs that their statements start to the end. What they do survives the
death of a worker, triggerer or scheduler.
"""

from nightshift_provider.operators.openmldb.built import render_options
from nightshift_provider.operators.openmldb.deploy import OpenMLDBDeployOperator
from nightshift_provider.operators.openmldb.load import OpenMLDBLoadDataOperator
from nightshift_provider.operators.openmldb.script import OpenMLDBSQLOperator
from nightshift_provider.operators.openmldb.select_into import OpenMLDBSelectIntoOperator
from nightshift_provider.operators.openmldb.sensor import OpenMLDBJobSensor

__all__ = [
    "OpenMLDBDeployOperator",
    "OpenMLDBJobSensor",
    "OpenMLDBLoadDataOperator",
    "OpenMLDBSQLOperator",
    "OpenMLDBSelectIntoOperator",
    "render_options",
]
