"""Reading of audio and stems, writing of results."""
