"""Releases: manifests, the live pointer, leases, history, retention."""
