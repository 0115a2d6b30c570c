"""Held-out rows scored by the challenger and the champion, for the quality gate."""
