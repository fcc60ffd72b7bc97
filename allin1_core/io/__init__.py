"""Audio and stems in, results out."""
