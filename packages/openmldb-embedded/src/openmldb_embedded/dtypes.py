"""What numpy and Arrow call the SQL types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from openmldb_sql.types import SqlType

NUMPY: dict[SqlType, np.dtype[Any]] = {
    SqlType.BOOL: np.dtype(np.bool_),
    SqlType.INT16: np.dtype(np.int16),
    SqlType.INT32: np.dtype(np.int32),
    SqlType.INT64: np.dtype(np.int64),
    SqlType.FLOAT: np.dtype(np.float32),
    SqlType.DOUBLE: np.dtype(np.float64),
    SqlType.STRING: np.dtype(np.int32),
    SqlType.DATE: np.dtype(np.int32),
    SqlType.TIMESTAMP: np.dtype(np.int64),
    SqlType.NULL: np.dtype(np.bool_),
    SqlType.LIST: np.dtype(np.object_),
    SqlType.ARRAY: np.dtype(np.object_),
    SqlType.MAP: np.dtype(np.object_),
    SqlType.FEATURE: np.dtype(np.object_),
}
"""The dtype of a column's values; strings are int32 dictionary codes, dates are days."""

ARROW: dict[SqlType, pa.DataType] = {
    SqlType.BOOL: pa.bool_(),
    SqlType.INT16: pa.int16(),
    SqlType.INT32: pa.int32(),
    SqlType.INT64: pa.int64(),
    SqlType.FLOAT: pa.float32(),
    SqlType.DOUBLE: pa.float64(),
    SqlType.STRING: pa.string(),
    SqlType.DATE: pa.date32(),
    SqlType.TIMESTAMP: pa.timestamp("ms"),
    SqlType.NULL: pa.bool_(),
    SqlType.LIST: pa.list_(pa.string()),
}
"""The Arrow type a column has when exported."""
