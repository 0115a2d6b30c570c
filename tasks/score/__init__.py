"""Score the held-out rows with the new model and with the live one."""
