# cython: language_level=3, embedsignature=True
# cython: freethreading_compatible=True
"""The instruction sets of this processor."""


cdef extern from "kernel/isa.h" nogil:
    ctypedef struct isa:
        const char *name
        int (*supported)() nogil

    const isa *isas


def instruction_sets():
    """Names of the instruction sets that this processor runs, fastest first."""
    names = []
    cdef int n = 0
    while isas[n].name != NULL:
        if isas[n].supported():
            names.append((<bytes>isas[n].name).decode("ascii"))
        n += 1
    return names
