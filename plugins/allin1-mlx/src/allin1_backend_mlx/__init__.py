"""The stages of allin1 in MLX, for Apple silicon. The plugin itself is :mod:`.hooks`."""
