# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
# cython: freethreading_compatible=True
"""The compiled network. What it computes is explained in ``kernel/network.h``."""

from libc.stdint cimport int32_t, int64_t

import numpy as np


cdef extern from "kernel/network.h" nogil:
    int NN_BLOCKS, NN_CHANNELS, NN_BANDS, NN_OUTPUTS, NN_INSTRUMENTS, NN_FRAMES, NN_GROUP
    int NN_PASSES, NN_STATE, NN_KEYS_VALUES, NN_EDGES

    ctypedef struct nn_network:
        pass

    ctypedef union nn_scratch:
        pass

    ctypedef struct nn_song:
        int64_t frames
        const float *spectrogram
        float *state
        float *keys_values
        float *edges
        float *logits
        float *embeddings
        int64_t members

    ctypedef struct nn_kernel:
        const char *name
        void (*run)(
            const nn_network *, const nn_song *, int32_t, int64_t *, nn_scratch *) nogil

    const nn_kernel *const *nn_kernels


#: Passes over a song for each network: front end, first keys and values, two layers for each block.
PASSES = NN_PASSES

#: Floats that describe a network.
NETWORK_SIZE = sizeof(nn_network) // sizeof(float)

#: Floats that a thread needs for itself.
SCRATCH_SIZE = sizeof(nn_scratch) // sizeof(float)

#: Floats in a cache line, to which arrays are best aligned.
LINE = 16


def kernels():
    """Names of the instruction sets that are compiled in."""
    names = []
    cdef int n = 0
    while nn_kernels[n] != NULL:
        names.append((<bytes>nn_kernels[n].name).decode("ascii"))
        n += 1
    return names


cdef class Song:
    """One song on its way through the networks of an ensemble.

    Parameters
    ----------
    spectrogram
        float32 ``[4, T, 81]``, T >= 1.
    members
        Networks whose logits are added, and whose embeddings are kept side by side.
    embeddings
        Whether to keep them.
    instruction_set
        One that the processor has.

    Attributes
    ----------
    logits
        float32 ``[13, T]``: the sum over the networks that have run.
    embeddings
        float32 ``[4, T, 24, members]``, or None.
    """

    cdef nn_song song
    cdef const nn_kernel *kernel
    cdef int64_t[::1] taken
    cdef const float[:, :, ::1] spectrogram
    cdef float[::1] state, keys_values, edges
    cdef float[:, ::1] sums
    cdef float[:, :, :, ::1] kept
    cdef readonly object logits
    cdef readonly object embeddings

    def __init__(
        self,
        const float[:, :, ::1] spectrogram,
        int64_t members,
        bint embeddings,
        str instruction_set,
    ):
        cdef int64_t frames = spectrogram.shape[1]
        cdef int64_t tiles = -(-frames // NN_FRAMES)
        # The widest window reaches over ten times the last block's dilation.
        cdef int64_t padded = -(-max(frames, 10 << (NN_BLOCKS - 1)) // NN_FRAMES) + 1
        cdef int n = 0
        if (
            spectrogram.shape[0] != NN_INSTRUMENTS
            or spectrogram.shape[2] != NN_BANDS
            or frames < 1
            or members < 1
        ):
            raise ValueError("the spectrogram must be [4, T, 81] with T >= 1")
        name = instruction_set.encode("ascii")
        while nn_kernels[n] != NULL and <bytes>nn_kernels[n].name != name:
            n += 1
        if nn_kernels[n] == NULL:
            raise ValueError(f"{instruction_set} is not compiled in")
        self.kernel = nn_kernels[n]
        self.taken = np.zeros(1, np.int64)
        self.spectrogram = spectrogram
        self.state = aligned_zeros(tiles * NN_STATE)
        self.keys_values = aligned_zeros(padded * NN_KEYS_VALUES)
        self.edges = aligned_zeros(-(-tiles // NN_GROUP) * NN_EDGES)
        self.logits = np.zeros((NN_OUTPUTS, frames), np.float32)
        self.sums = self.logits
        self.embeddings = None
        if embeddings:
            shape = (NN_INSTRUMENTS, frames, NN_CHANNELS, members)
            self.embeddings = np.empty(shape, np.float32)
            self.kept = self.embeddings
        self.song.frames = frames
        self.song.members = members
        self.song.spectrogram = &self.spectrogram[0, 0, 0]
        self.song.state = &self.state[0]
        self.song.keys_values = &self.keys_values[0]
        self.song.edges = &self.edges[0]
        self.song.logits = &self.sums[0, 0]
        self.song.embeddings = NULL

    def begin(self, int64_t member):
        """Say which network is run next; no thread may be in :meth:`run`."""
        if not 0 <= member < self.song.members:
            raise ValueError("there is no such member")
        if self.embeddings is not None:
            self.song.embeddings = &self.kept[0, 0, 0, member]
        self.begin_pass()

    def begin_pass(self):
        """Say that the next pass is due; no thread may be in :meth:`run`."""
        self.taken[0] = 0

    def run(self, const float[::1] network, int32_t number, float[::1] scratch):
        """Take a share in a pass, until nothing of it is left to take.

        Parameters
        ----------
        network
            float32 ``[NETWORK_SIZE]``, from :func:`~allin1_backend_cython.network_parameters.pack`.
        number
            Of the pass, from 0 to ``PASSES - 1``, in this order.
        scratch
            float32 ``[SCRATCH_SIZE]`` of the calling thread's own; starts as zeros.
        """
        if network.shape[0] != NETWORK_SIZE or scratch.shape[0] != SCRATCH_SIZE:
            raise ValueError("the network or the scratch space has the wrong size")
        if not 0 <= number < NN_PASSES:
            raise ValueError("there is no such pass")
        with nogil:
            self.kernel.run(
                <const nn_network *>&network[0],
                &self.song,
                number,
                &self.taken[0],
                <nn_scratch *>&scratch[0],
            )


def aligned_zeros(size):
    """float32 zeros that begin at a cache line."""
    memory = np.zeros(size + LINE, np.float32)
    start = -(memory.ctypes.data // memory.itemsize) % LINE
    return memory[start : start + size]
