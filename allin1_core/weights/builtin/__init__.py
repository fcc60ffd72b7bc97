"""The parameters of the model ``builtin``, one file per member; written by ``scripts/builtin_weights.py``."""
