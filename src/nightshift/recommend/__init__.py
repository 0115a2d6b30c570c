"""Retrieval: which items of all are worth ranking for a user.

A night fits the retrievers that the pipeline names (`fit`), measures them on held-out days
(`heldout`) and writes one folder (`artefact`), which becomes part of the release. The predict
server loads that folder (`recommender`) and asks it for candidates. NumPy and Arrow alone, so that
the same code runs in the tasks and in the server.
"""
