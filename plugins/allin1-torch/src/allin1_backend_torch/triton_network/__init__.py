"""The network in Triton kernels, all members of an ensemble at once.

The network is that of :mod:`allin1_backend_torch.network`. 37 launches run it: three of the front end, three a block,
one of the heads. Each ends by writing what the next one reads, so that nothing is computed twice.

=====================  ===============================================================================
``layout``             where each parameter lies in the arrays that the kernels read
``packing``            a model's parameters, folded and laid out
``arithmetic``         products in halves, LayerNorm, GELU: what kernels share
``front_end``          three convolutions; the queries, keys and values of the first block
``time_attention``     attention of an instrument's frames to one another
``time_mlp``           the rest of the time layer; queries, keys and values of the instruments
``instruments``        the instrument layer; queries, keys and values of the next block
``heads``              logits
``launching``          a launch as data: to compile ahead, and to run
``workspace``          what a song needs in memory
``backend``            the stage
``check``              a small forward pass against PyTorch's operations
=====================  ===============================================================================

A program works on some consecutive frames of one instrument of one member, in the instrument layer on those of all
four. Importing this package imports neither Triton nor the kernels.
"""
