"""The NumPy implementation of each stage: the reference for every backend, and the fallback if no other can run."""
