"""The pair of SQL deployment and model version, and how it is asked."""
