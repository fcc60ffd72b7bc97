# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
# cython: freethreading_compatible=True
"""The compiled residual branch. What it computes is explained in ``kernel/dconv.h``."""

from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc


cdef extern from "kernel/dconv.h" nogil:
    enum:
        DC_BLOCK
        DC_STEP

    ctypedef struct dc_layer:
        int32_t channels
        int32_t hidden
        int32_t dilation
        const float *narrow
        const float *narrow_bias
        const float *gain
        const float *shift
        double eps
        const float *widen
        const float *widen_bias
        const float *widen_gain
        const float *widen_shift
        double widen_eps
        const float *scale
        const double *gram
        const double *row_sum
        const double *biased_sum
        double bias_sum
        double bias_square

    ctypedef struct dc_signal:
        float *samples
        int64_t row
        int64_t length

    ctypedef struct dc_kernel:
        const char *name
        size_t (*scratch)(const dc_layer *, int64_t) nogil
        void (*narrow)(
            const dc_layer *, const dc_signal *, float *, int64_t, int64_t, int64_t, double *,
            float *) nogil
        void (*activate)(
            const dc_layer *, int64_t, float *, int64_t, int64_t, int64_t, const double *,
            double *) nogil
        void (*widen)(
            const dc_layer *, const dc_signal *, const float *, int64_t, int64_t, int64_t,
            const double *, float *) nogil
        void (*all_layers)(const dc_layer *, int32_t, const dc_signal *, float *) nogil

    const dc_kernel *const *dc_kernels


#: Number of samples in a block, and the number that the length of rows of the hidden signal is a multiple of.
BLOCK = DC_BLOCK
STEP = DC_STEP


cdef float *_new_scratch(size_t floats, void **to_free) noexcept nogil:
    """Allocate memory aligned to a cache line; `to_free` receives the pointer to free."""
    to_free[0] = malloc(floats * sizeof(float) + 63)
    if to_free[0] == NULL:
        return NULL
    return <float *>(<char *>to_free[0] + (64 - <uintptr_t>to_free[0] % 64) % 64)


cdef class Branch:
    """The layers of one residual branch.

    Parameters
    ----------
    layers
        :class:`~allin1_backend_cython.dconv_packing.Packed`, in the order in which they run.
    instruction_set
        One of :func:`allin1_backend_cython._isa.instruction_sets`.
    """

    cdef dc_layer *layers
    cdef readonly int32_t count
    cdef readonly int32_t channels
    cdef const dc_kernel *kernel
    cdef object kept

    def __cinit__(self, layers, str instruction_set):
        cdef int n = 0
        self.kept = tuple(layers)
        self.count = len(self.kept)
        self.layers = <dc_layer *>calloc(max(self.count, 1), sizeof(dc_layer))
        if self.layers == NULL:
            raise MemoryError
        name = instruction_set.encode("ascii")
        while dc_kernels[n] != NULL and <bytes>dc_kernels[n].name != name:
            n += 1
        if dc_kernels[n] == NULL:
            raise ValueError(f"This build has no kernel for {instruction_set}.")
        self.kernel = dc_kernels[n]
        for n in range(self.count):
            self._set(&self.layers[n], self.kept[n])
            if self.layers[n].channels != self.layers[0].channels:
                raise ValueError("the layers do not fit together")
        self.channels = self.layers[0].channels

    def __dealloc__(self):
        free(self.layers)

    cdef int _set(self, dc_layer *own, layer) except -1:
        cdef const float[::1] narrow = layer.narrow, narrow_bias = layer.narrow_bias
        cdef const float[::1] gain = layer.gain, shift = layer.shift
        cdef const float[::1] widen = layer.widen, widen_bias = layer.widen_bias
        cdef const float[::1] widen_gain = layer.widen_gain, widen_shift = layer.widen_shift
        cdef const float[::1] scale = layer.scale
        cdef const double[:, ::1] gram = layer.gram
        cdef const double[::1] row_sum = layer.row_sum, biased_sum = layer.biased_sum
        cdef Py_ssize_t channels = layer.channels, hidden = layer.hidden
        cdef Py_ssize_t even = hidden + hidden % 2
        if (
            channels < 1 or hidden < 1 or layer.dilation < 1
            or narrow.shape[0] != hidden * channels * 3 or narrow_bias.shape[0] != hidden
            or gain.shape[0] != hidden or shift.shape[0] != hidden
            or widen.shape[0] != 2 * channels * hidden or widen_bias.shape[0] != 2 * channels
            or widen_gain.shape[0] != 2 * channels or widen_shift.shape[0] != 2 * channels
            or scale.shape[0] != channels or gram.shape[0] != even or gram.shape[1] != even
            or row_sum.shape[0] != hidden or biased_sum.shape[0] != hidden
        ):
            raise ValueError("the arrays of a layer do not fit together")
        own.channels = <int32_t>channels
        own.hidden = <int32_t>hidden
        own.dilation = layer.dilation
        own.narrow = &narrow[0]
        own.narrow_bias = &narrow_bias[0]
        own.gain = &gain[0]
        own.shift = &shift[0]
        own.eps = layer.eps
        own.widen = &widen[0]
        own.widen_bias = &widen_bias[0]
        own.widen_gain = &widen_gain[0]
        own.widen_shift = &widen_shift[0]
        own.widen_eps = layer.widen_eps
        own.scale = &scale[0]
        own.gram = &gram[0, 0]
        own.row_sum = &row_sum[0]
        own.biased_sum = &biased_sum[0]
        own.bias_sum = layer.bias_sum
        own.bias_square = layer.bias_square
        return 0

    def hidden(self, int32_t layer):
        """Return the number of rows of a layer's hidden signal, rounded up to an even number."""
        self._check_layer(layer)
        return self.layers[layer].hidden + self.layers[layer].hidden % 2

    def slices(self, float[:, :, :] x, int64_t first, int64_t end):
        """Run all layers in place on each of the slices ``x[:, first:end]`` of float32 ``[C, F, T]`` independently."""
        cdef dc_signal signal
        cdef size_t floats = 0
        cdef float *scratch
        cdef void *memory
        cdef int64_t n
        if x.shape[0] != self.channels or x.shape[2] < 1:
            raise ValueError("x must be [C, F, T]")
        if x.strides[0] % 4 or x.strides[1] % 4 or x.strides[2] != 4:
            raise ValueError("the samples of x must be contiguous")
        if not 0 <= first <= end <= x.shape[1]:
            raise ValueError("first and end must be a range of slices of x")
        signal.row = x.strides[0] // 4
        signal.length = x.shape[2]
        with nogil:
            for n in range(self.count):
                floats = max(floats, self.kernel.scratch(&self.layers[n], signal.length))
            scratch = _new_scratch(floats, &memory)
            if scratch != NULL:
                for n in range(first, end):
                    signal.samples = &x[0, n, 0]
                    self.kernel.all_layers(self.layers, self.count, &signal, scratch)
                free(memory)
        if scratch == NULL:
            raise MemoryError

    def narrow(
        self, int32_t layer, float[:, :] x, float[:, ::1] h, double[:, ::1] sums, int64_t first,
        int64_t end
    ):
        """Compute the blocks ``first:end`` of the hidden signal `h`, and store their sums in `sums`."""
        cdef dc_signal signal
        cdef float *scratch
        cdef void *memory
        self._check(layer, x, h, sums, 2, first, end, &signal)
        with nogil:
            scratch = _new_scratch(self.kernel.scratch(&self.layers[layer], 1), &memory)
            if scratch != NULL:
                self.kernel.narrow(
                    &self.layers[layer], &signal, &h[0, 0], h.shape[1], first, end, &sums[0, 0],
                    scratch)
                free(memory)
        if scratch == NULL:
            raise MemoryError

    def activate(
        self, int32_t layer, float[:, :] x, float[:, ::1] h, const double[::1] sums,
        double[:, ::1] moments, int64_t first, int64_t end
    ):
        """Normalise and activate blocks of `h`, and store their `moments`; `sums` are totals over all blocks."""
        cdef dc_signal signal
        self._check(layer, x, h, moments, 3, first, end, &signal)
        if sums.shape[0] != 2:
            raise ValueError("sums must have 2 values")
        with nogil:
            self.kernel.activate(
                &self.layers[layer], signal.length, &h[0, 0], h.shape[1], first, end, &sums[0],
                &moments[0, 0])

    def widen(
        self, int32_t layer, float[:, :] x, float[:, ::1] h, const double[::1] moments,
        int64_t first, int64_t end
    ):
        """Add the output of the branch for blocks of `h` to `x`; `moments` are totals over all blocks."""
        cdef dc_signal signal
        cdef float *scratch
        cdef void *memory
        self._check(layer, x, h, None, 0, first, end, &signal)
        if moments.shape[0] != 3:
            raise ValueError("moments must have 3 values")
        with nogil:
            scratch = _new_scratch(self.kernel.scratch(&self.layers[layer], 1), &memory)
            if scratch != NULL:
                self.kernel.widen(
                    &self.layers[layer], &signal, &h[0, 0], h.shape[1], first, end, &moments[0],
                    scratch)
                free(memory)
        if scratch == NULL:
            raise MemoryError

    cdef int _check_layer(self, int32_t layer) except -1:
        if not 0 <= layer < self.count:
            raise ValueError("layer is out of range")
        return 0

    cdef int _check(
        self, int32_t layer, float[:, :] x, float[:, ::1] h, double[:, ::1] sums,
        Py_ssize_t width, int64_t first, int64_t end, dc_signal *signal
    ) except -1:
        cdef int64_t blocks = (x.shape[1] + DC_BLOCK - 1) // DC_BLOCK
        self._check_layer(layer)
        if x.shape[0] != self.channels or x.shape[1] < 1:
            raise ValueError("x must be [C, T]")
        if x.strides[0] % 4 or x.strides[1] != 4:
            raise ValueError("the samples of x must be contiguous")
        if not 0 <= first < end <= blocks:
            raise ValueError("first and end must be a range of blocks of x")
        if (
            h.shape[0] != self.layers[layer].hidden + self.layers[layer].hidden % 2
            or h.shape[1] < (x.shape[1] + DC_STEP - 1) // DC_STEP * DC_STEP
        ):
            raise ValueError("h must be [hidden rounded up to even, T rounded up to whole steps]")
        if sums is not None and (sums.shape[0] != blocks or sums.shape[1] != width):
            raise ValueError("sums must have one row for each block")
        signal.samples = &x[0, 0]
        signal.row = x.strides[0] // 4
        signal.length = x.shape[1]
        return 0
