"""Decoders of audio files, with recovery of damaged files, one module per format."""
