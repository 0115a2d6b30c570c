"""SIGKILL to one component while operators run: docs/kill_matrix.md."""
