"""The skew ledger: what was served against what training sees, value by value, with causes."""
