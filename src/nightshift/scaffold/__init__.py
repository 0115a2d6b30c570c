"""A pipeline's folder proposed from source files: look at them, decide roles, write the files."""
