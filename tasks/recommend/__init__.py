"""Retrieval for `POST .../recommend`, fitted each night."""
