"""Feature specification, encoding, source tables, and what the query reads."""
