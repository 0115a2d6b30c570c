"""The pipeline's module in, a model folder out."""
