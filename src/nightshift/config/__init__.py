"""Configuration files: their models, and readers that name file, key and fix."""
