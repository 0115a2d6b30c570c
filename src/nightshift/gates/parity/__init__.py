"""Online features replayed against the offline ones."""
