"""What crosses a border between training, publication and serving."""
