"""The predict server under load."""
