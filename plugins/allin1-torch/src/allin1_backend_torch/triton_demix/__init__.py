"""What the separation's network does between products and convolutions, in Triton kernels.

On a GPU in half precision most of the network's time goes into reading and writing activations: norms, GELU, gates and
sums each go through all of them. The kernels here join what lies between two products, and in residual layers, whose
hidden channels are few, the products too.

================  ====================================================================================
``arithmetic``    what kernels share: GELU, moments from partial sums
``residuals``     residual layers: three launches each
``activations``   GELU and gate, each with the bias of the convolution before
``lengthening``   the sum of a transposed convolution's taps, with GELU and skip
``ends``          spectra to channels; the last layers to spectra, and to waves with overlapping frames
``norms``         sums with LayerNorm, and with a norm over tokens and channels
``operations``    these as :class:`~allin1_backend_torch.demix_operations.Operations`
``check``         a small forward pass against PyTorch's operations
``backend``       the stage
================  ====================================================================================

Sizes of a segment's activations are left for Triton to specialise kernels by, since only where they are multiples of 16
does it load several values at once; no size depends on how many segments there are, so nothing is compiled again.

Importing this package imports neither Triton nor the kernels.
"""
