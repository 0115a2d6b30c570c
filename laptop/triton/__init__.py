"""The real Triton server on a laptop, from its PyPI wheel."""
