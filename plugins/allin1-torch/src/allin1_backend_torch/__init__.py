"""The stages of allin1 in PyTorch, for CPU, CUDA and MPS. The plugin itself is :mod:`.hooks`."""
