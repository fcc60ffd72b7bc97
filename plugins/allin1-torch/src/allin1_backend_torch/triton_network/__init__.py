"""The network in Triton kernels, all members of an ensemble at once.

The network is that of :mod:`allin1_backend_torch.network`. 37 launches run it: three of the front end, three a block,
one of the heads. Each writes the input of the next one, so that nothing is computed twice.

=====================  ===============================================================================
``layout``             position of each parameter in the arrays that the kernels read
``packing``            a model's parameters, folded and laid out
``arithmetic``         shared parts of the kernels: split products, LayerNorm, GELU
``front_end``          three convolutions; the queries, keys and values of the first block
``time_attention``     attention of an instrument's frames to one another
``time_mlp``           the rest of the time layer; queries, keys and values of the instruments
``instruments``        the instrument layer; queries, keys and values of the next block
``heads``              logits
``hopper``             faster kernels for NVIDIA's Hopper GPUs, in place of some of the above
``launching``          a launch as data, to be compiled ahead or run
``workspace``          memory for a song
``backend``            the stage
``check``              a small forward pass against PyTorch's operations
=====================  ===============================================================================

A program processes some consecutive frames of one instrument of one member, or of all four instruments in the instrument
layer. Importing this package imports neither Triton nor the kernels.
"""
