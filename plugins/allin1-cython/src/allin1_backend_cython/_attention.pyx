# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
# cython: freethreading_compatible=True
"""The compiled attention. How it is computed is explained in ``kernel/attention.h``."""

from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc


cdef extern from "kernel/attention.h" nogil:
    enum:
        AT_STEP

    ctypedef struct at_head:
        const float *q
        const float *k
        const float *v
        float *out
        int64_t q_row
        int64_t k_row
        int64_t v_row
        int64_t out_row
        int64_t queries
        int64_t keys
        int64_t width

    ctypedef struct at_kernel:
        const char *name
        int64_t tile
        size_t (*scratch)(const at_head *) nogil
        void (*attend)(const at_head *, int64_t, int64_t, float *) nogil

    const at_kernel *const *at_kernels


#: Number that the width of a head is a multiple of.
STEP = AT_STEP


cdef const at_kernel *_kernel(str instruction_set) except NULL:
    name = instruction_set.encode("ascii")
    cdef int n = 0
    while at_kernels[n] != NULL and <bytes>at_kernels[n].name != name:
        n += 1
    if at_kernels[n] == NULL:
        raise ValueError(f"This build has no kernel for {instruction_set}.")
    return at_kernels[n]


def instruction_sets():
    """Names of the instruction sets that this build has kernels for."""
    names = []
    cdef int n = 0
    while at_kernels[n] != NULL:
        names.append((<bytes>at_kernels[n].name).decode("ascii"))
        n += 1
    return names


cdef int _check(const float[:, :, :] x, str name, Py_ssize_t segments, Py_ssize_t channels) except -1:
    if x.shape[0] != segments or x.shape[2] != channels:
        raise ValueError(f"{name} must have as many segments and channels as q")
    if x.strides[0] % 4 or x.strides[1] % 4 or x.strides[2] != 4:
        raise ValueError(f"the channels of {name} must be contiguous")
    return 0


def attend(
    str instruction_set, const float[:, :, :] q, const float[:, :, :] k, const float[:, :, :] v,
    float[:, :, :] out, int64_t heads, int64_t parts, int64_t first, int64_t end
):
    """Attend from float32 `q` to `k` and `v`, and write to `out`: all ``[segments, tokens, channels]``.

    The queries of each head of each segment are divided into `parts`; computes those from `first` to before `end` of
    the ``segments * heads * parts``.
    """
    cdef const at_kernel *kernel = _kernel(instruction_set)
    cdef Py_ssize_t segments = q.shape[0], channels = q.shape[2]
    cdef at_head head
    cdef float *scratch
    cdef void *memory
    cdef int64_t n, segment, channel, size, start
    _check(q, "q", segments, channels)
    _check(k, "k", segments, channels)
    _check(v, "v", segments, channels)
    _check(out, "out", segments, channels)
    if out.shape[1] != q.shape[1] or v.shape[1] != k.shape[1]:
        raise ValueError("out must be as long as q, and v as long as k")
    if heads < 1 or channels < 1 or channels % heads or channels // heads % AT_STEP:
        raise ValueError(f"the number of channels of a head must be a multiple of {AT_STEP}")
    if parts < 1 or not 0 <= first <= end <= segments * heads * parts:
        raise ValueError("first and end must be a range of parts")
    if k.shape[1] < 1:
        raise ValueError("there must be keys")
    if q.shape[1] < 1:
        return
    head.queries, head.keys, head.width = q.shape[1], k.shape[1], channels // heads
    head.q_row, head.k_row = q.strides[1] // 4, k.strides[1] // 4
    head.v_row, head.out_row = v.strides[1] // 4, out.strides[1] // 4
    # Whole tiles, except for the last part.
    size = (head.queries + kernel.tile * parts - 1) // (kernel.tile * parts) * kernel.tile
    with nogil:
        memory = malloc(kernel.scratch(&head) * sizeof(float) + 63)
        if memory != NULL:
            scratch = <float *>(<char *>memory + (64 - <uintptr_t>memory % 64) % 64)
            for n in range(first, end):
                segment = n // (heads * parts)
                channel = n // parts % heads * head.width
                start = n % parts * size
                if start >= head.queries:
                    continue
                head.q, head.k = &q[segment, 0, channel], &k[segment, 0, channel]
                head.v, head.out = &v[segment, 0, channel], &out[segment, 0, channel]
                kernel.attend(&head, start, min(start + size, head.queries), scratch)
            free(memory)
    if memory == NULL:
        raise MemoryError
