"""Lists: users by items, scored by the live release and written as a folder of files."""
