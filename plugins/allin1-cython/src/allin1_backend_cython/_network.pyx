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


#: Number of passes over a song for each network: front end, first keys and values, two layers for each block.
PASSES = NN_PASSES

#: Number of floats in the parameters of a network.
NETWORK_SIZE = sizeof(nn_network) // sizeof(float)

#: Number of floats in the scratch space of a thread.
SCRATCH_SIZE = sizeof(nn_scratch) // sizeof(float)

#: Number of floats in a cache line, to which arrays are aligned.
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
    """The state of one song while the networks of an ensemble run on it.

    Parameters
    ----------
    spectrogram
        float32 ``[4, T, 81]``, T >= 1.
    members
        Number of networks. Their logits are summed, and their embeddings are stored side by side.
    embeddings
        Whether to store embeddings.
    instruction_set
        One of :func:`allin1_backend_cython._isa.instruction_sets`.

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
            raise ValueError(f"This build has no kernel for {instruction_set}.")
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
        """Select the network that runs next; no thread may be in :meth:`run`."""
        if not 0 <= member < self.song.members:
            raise ValueError("member is out of range")
        if self.embeddings is not None:
            self.song.embeddings = &self.kept[0, 0, 0, member]
        self.begin_pass()

    def begin_pass(self):
        """Start the next pass; no thread may be in :meth:`run`."""
        self.taken[0] = 0

    def run(self, const float[::1] network, int32_t number, float[::1] scratch):
        """Process units of a pass, shared with the other threads that call this, until none is left.

        Parameters
        ----------
        network
            float32 ``[NETWORK_SIZE]``, from :func:`~allin1_backend_cython.network_parameters.pack`.
        number
            Number of the pass. The passes run in order, from 0 to ``PASSES - 1``.
        scratch
            float32 ``[SCRATCH_SIZE]`` that only the calling thread uses; initially zeros.
        """
        if network.shape[0] != NETWORK_SIZE or scratch.shape[0] != SCRATCH_SIZE:
            raise ValueError("the network or the scratch space has the wrong size")
        if not 0 <= number < NN_PASSES:
            raise ValueError("number is out of range")
        with nogil:
            self.kernel.run(
                <const nn_network *>&network[0],
                &self.song,
                number,
                &self.taken[0],
                <nn_scratch *>&scratch[0],
            )


def aligned_zeros(size):
    """Return `size` zeros of float32, aligned to a cache line."""
    memory = np.zeros(size + LINE, np.float32)
    start = -(memory.ctypes.data // memory.itemsize) % LINE
    return memory[start : start + size]
