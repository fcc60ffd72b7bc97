"""Tools for a collection of analysed songs: an example of a plugin without a backend."""
