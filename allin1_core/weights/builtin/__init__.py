"""The parameters of the model ``builtin``, one file a member; ``scripts/builtin_weights.py`` writes them."""
