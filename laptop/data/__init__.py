"""Source tables on a laptop: made by a generator, or the tutorial's own files laid out."""
