"""A collection of songs, analysed: an example of a plugin without a backend."""
