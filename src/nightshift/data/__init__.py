"""The source tables' files: reading, laying out and checking them."""
