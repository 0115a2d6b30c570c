"""Which files are data, and what their columns are in OpenMLDB's SQL."""

from openmldb_files.compare import Difference, differences
from openmldb_files.disk import NO_ROOM, why_not_written
from openmldb_files.errors import FileError
from openmldb_files.listing import Listing, PassedOver, data_files, expand, list_files
from openmldb_files.names import is_data_name
from openmldb_files.normalise import normal
from openmldb_files.parquet import (
    FileColumn,
    SparkFault,
    columns_of,
    normal_schema,
    nulls_of,
    open_parquet,
    read_parquet,
    rows_of,
    spark_faults,
)
from openmldb_files.types import ARROW_OF, SQL_TYPES, describe, sql_type_of

__all__ = [
    "ARROW_OF",
    "NO_ROOM",
    "SQL_TYPES",
    "Difference",
    "FileColumn",
    "FileError",
    "Listing",
    "PassedOver",
    "SparkFault",
    "columns_of",
    "data_files",
    "describe",
    "differences",
    "expand",
    "is_data_name",
    "list_files",
    "normal",
    "normal_schema",
    "nulls_of",
    "open_parquet",
    "read_parquet",
    "rows_of",
    "spark_faults",
    "sql_type_of",
    "why_not_written",
]
