# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
# cython: freethreading_compatible=True
"""The compiled transform. What it computes is explained in ``kernel/spectrogram.h``."""

from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.stdlib cimport free, malloc


cdef extern from "kernel/spectrogram.h" nogil:
    enum:
        SP_POINTS
        SP_SIDE
        SP_WIDEST
        SP_WINDOW

    ctypedef struct sp_tables:
        const double *window
        const double *within_side
        const double *between_sides
        const double *halves
        int32_t last_bin
        int32_t bands
        const int32_t *starts
        const int32_t *lengths
        const float *weights

    ctypedef struct sp_signal:
        const float *samples
        int64_t channels
        int64_t channel_stride
        int64_t length
        int32_t difference

    ctypedef struct sp_kernel:
        const char *name
        size_t (*workspace)(const sp_tables *) nogil
        void (*transform)(
            const sp_tables *, const sp_signal *, int64_t, int64_t, float *, void *) nogil
        void (*magnitudes)(
            const sp_tables *, const sp_signal *, int64_t, int64_t, float *, void *) nogil
        void (*separate)(
            const float *, int64_t, int32_t, int64_t, int64_t, float *, float *) nogil
        void (*logarithms)(float *, int64_t) nogil

    const sp_kernel *const *sp_kernels


cdef class Transform:
    """Transforms parts of signals; several threads may use it at the same time.

    Parameters
    ----------
    tables
        A :class:`~allin1_backend_cython.spectrogram_tables.Tables`.
    instruction_set
        One of :func:`allin1_backend_cython._isa.instruction_sets`.
    """

    cdef sp_tables tables
    cdef const sp_kernel *kernel
    cdef object kept

    def __init__(self, tables, str instruction_set):
        cdef const double[::1] window = tables.window
        cdef const double[:, :, ::1] within_side = tables.within_side
        cdef const double[:, :, ::1] between_sides = tables.between_sides
        cdef const double[:, ::1] halves = tables.halves
        cdef const int32_t[::1] starts = tables.starts
        cdef const int32_t[::1] lengths = tables.lengths
        cdef const float[::1] weights = tables.weights
        cdef Py_ssize_t bands = starts.shape[0], band, total = 0
        cdef int n = 0
        if (
            window.shape[0] != SP_WINDOW
            or within_side.shape[0] != 8 or within_side.shape[1] != 4 or within_side.shape[2] != 2
            or between_sides.shape[0] != SP_SIDE or between_sides.shape[1] != SP_SIDE
            or between_sides.shape[2] != 2
            or halves.shape[0] != SP_POINTS or halves.shape[1] != 2
            or bands < 1 or lengths.shape[0] != bands
        ):
            raise ValueError("the sizes of the tables differ from the kernel's")
        self.tables.last_bin = 0
        for band in range(bands):
            if starts[band] < 1 or lengths[band] < 1 or starts[band] + lengths[band] > SP_POINTS:
                raise ValueError("bands must lie in the bins 1 to 1023")
            self.tables.last_bin = max(self.tables.last_bin, starts[band] + lengths[band] - 1)
            total += lengths[band]
        if weights.shape[0] != total:
            raise ValueError("there must be one weight for each bin of each band")
        name = instruction_set.encode("ascii")
        while sp_kernels[n] != NULL and <bytes>sp_kernels[n].name != name:
            n += 1
        if sp_kernels[n] == NULL:
            raise ValueError(f"This build has no kernel for {instruction_set}.")
        self.kernel = sp_kernels[n]
        self.kept = tables
        self.tables.window = &window[0]
        self.tables.within_side = &within_side[0, 0, 0]
        self.tables.between_sides = &between_sides[0, 0, 0]
        self.tables.halves = &halves[0, 0]
        self.tables.bands = <int32_t>bands
        self.tables.starts = &starts[0]
        self.tables.lengths = &lengths[0]
        self.tables.weights = &weights[0]

    def frames(self, const float[:, :] samples, int64_t first, float[:, ::1] out):
        """Write the frames of a signal from `first` on to `out`, float32 ``[frames, bands]``.

        `samples` is float32 ``[1 or 2, n]``, the samples of a channel contiguous. Two channels are averaged.
        """
        self._compute(samples, first, out, False, False)

    def magnitudes(self, const float[:, :] samples, int64_t first, float[:, ::1] out, bint difference):
        """Write the filtered magnitudes of the frames from `first` on to `out`, without logarithms, rounded once.

        Two channels are reduced to half their difference if `difference`, otherwise to their mean.
        """
        self._compute(samples, first, out, True, difference)

    def separate(
        self, const float[:, ::1] mid, int64_t first, float[:, ::1] percussive, float[:, ::1] harmonic
    ):
        """Write log-magnitudes of frames from `first` on to `percussive` and `harmonic`, both ``[frames, bands]``.

        `mid` has the magnitudes of all frames of the signal.
        """
        cdef int64_t total = mid.shape[0], count = harmonic.shape[0]
        cdef int32_t bands = self.tables.bands
        if bands < SP_WIDEST or mid.shape[1] != bands:
            raise ValueError(f"mid must be [frames, bands], with {SP_WIDEST} bands or more")
        if percussive.shape[0] != count or percussive.shape[1] != bands or harmonic.shape[1] != bands:
            raise ValueError("percussive and harmonic must be [frames, bands]")
        if count < 1 or first < 0 or first + count > total:
            raise ValueError("the frames must lie within those of mid")
        with nogil:
            self.kernel.separate(
                &mid[0, 0], total, bands, first, count, &percussive[0, 0], &harmonic[0, 0])

    def logarithms(self, float[:, ::1] values):
        """Replace every value x by log10(1 + x), in place."""
        if values.shape[0] and values.shape[1]:
            with nogil:
                self.kernel.logarithms(&values[0, 0], values.shape[0] * values.shape[1])

    cdef int _compute(
        self, const float[:, :] samples, int64_t first, float[:, ::1] out, bint exact, bint difference
    ) except -1:
        cdef sp_signal signal
        cdef int64_t count = out.shape[0]
        cdef size_t size
        cdef char *memory
        cdef char *aligned
        signal.channels = samples.shape[0]
        signal.length = samples.shape[1]
        if signal.channels not in (1, 2) or signal.length < 1 or samples.strides[1] != 4:
            raise ValueError("samples must be [1 or 2, n], each channel contiguous")
        if samples.strides[0] % 4 or out.shape[1] != self.tables.bands or count < 1 or first < 0:
            raise ValueError("out must be [frames, bands]")
        signal.samples = &samples[0, 0]
        signal.channel_stride = samples.strides[0] // 4
        signal.difference = difference
        with nogil:
            size = self.kernel.workspace(&self.tables)
            memory = <char *>malloc(size + 63)
            if memory != NULL:
                aligned = memory + (64 - <uintptr_t>memory % 64) % 64
                if exact:
                    self.kernel.magnitudes(&self.tables, &signal, first, count, &out[0, 0], aligned)
                else:
                    self.kernel.transform(&self.tables, &signal, first, count, &out[0, 0], aligned)
                free(memory)
        if memory == NULL:
            raise MemoryError
        return 0
