"""The NumPy implementation of each stage: the oracle that every backend is measured against, and the floor."""
