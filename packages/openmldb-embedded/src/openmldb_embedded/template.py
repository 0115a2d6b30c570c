"""What the template of all worker processes loads; see ``jobs.Workers``."""

from openmldb_embedded.lean import keep_pandas_out

keep_pandas_out()

from openmldb_embedded import worker  # noqa: E402, F401 - after the line above
