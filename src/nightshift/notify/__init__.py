"""Telling people: incidents that are kept, and the channels that carry their messages."""
