# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
# cython: freethreading_compatible=True
"""The compiled recursion. What it computes is explained in ``kernel/bar_pointer.h``."""

from libc.stdint cimport int32_t, int64_t


cdef extern from "kernel/bar_pointer.h" nogil:
    ctypedef struct bp_lattice:
        int32_t beats
        int32_t intervals
        int32_t block
        int32_t width
        int32_t ring
        int32_t ring_row
        const int32_t *interval
        const int32_t *zone
        const double *log_transition
        const int32_t *first_source
        const int32_t *end_source
        const double *no_beat
        const double *beat
        const double *downbeat
        const double *height
        double *entries
        double one

    ctypedef struct bp_visit:
        int32_t frame
        int32_t beat
        int32_t interval

    ctypedef struct bp_kernel:
        const char *name
        int (*supported)() nogil
        void (*advance)(const bp_lattice *, int64_t, int64_t, double *) nogil
        void (*finish)(const bp_lattice *, int64_t, int64_t, double *) nogil

    const bp_kernel *const *bp_kernels
    double bp_best_end(
        const bp_lattice *, int64_t, int64_t, const double *, bp_visit *, double *)
    bp_visit bp_likely_visit(const bp_lattice *, const double *, int32_t, int64_t)
    int64_t bp_trace(
        const bp_lattice *, const double *, int64_t, bp_visit, int64_t, bp_visit *, double *,
        int64_t)


def instruction_sets():
    """Names of the instruction sets that this processor runs, fastest first."""
    names = []
    cdef int n = 0
    while bp_kernels[n] != NULL:
        if bp_kernels[n].supported():
            names.append((<bytes>bp_kernels[n].name).decode("ascii"))
        n += 1
    return names


cdef class Lattice:
    """The recursion of one metre over one song.

    Parameters
    ----------
    tables
        A :class:`~allin1_backend_dbn_cython.tables.MetreTables`.
    series
        float64 ``[4, padding + frames + padding]``: log densities of no beat, beat and downbeat, and heights,
        with ``tables.padding`` zeros on either side. A beat is reported at the first highest frame of its zone.
    entries
        float64 ``[tables.lanes, tables.ring_row]``, aligned to 64 bytes; its values are overwritten.
    instruction_set
        One of :func:`instruction_sets`.
    """

    cdef bp_lattice lattice
    cdef const bp_kernel *kernel
    cdef object tables
    cdef const double[:, ::1] series
    cdef double[:, ::1] entries

    def __init__(
        self, tables, const double[:, ::1] series, double[:, ::1] entries, str instruction_set
    ):
        cdef const int32_t[::1] interval = tables.intervals
        cdef const int32_t[:, ::1] zone = tables.zones
        cdef const double[:, ::1] log_transition = tables.log_transition
        cdef const int32_t[::1] first_source = tables.first_source
        cdef const int32_t[::1] end_source = tables.end_source
        cdef Py_ssize_t padding = tables.padding
        cdef int n = 0
        if series.shape[0] != 4 or series.shape[1] < 2 * padding:
            raise ValueError("series must be [4, padding + frames + padding]")
        if entries.shape[0] != tables.lanes or entries.shape[1] != tables.ring_row:
            raise ValueError("entries must be [lanes, ring_row]")
        name = instruction_set.encode("ascii")
        while bp_kernels[n] != NULL and <bytes>bp_kernels[n].name != name:
            n += 1
        if bp_kernels[n] == NULL or not bp_kernels[n].supported():
            raise ValueError(f"This processor does not support {instruction_set}.")
        self.kernel = bp_kernels[n]
        self.tables = tables
        self.series = series
        self.entries = entries
        self.lattice.beats = tables.beats
        self.lattice.intervals = interval.shape[0]
        self.lattice.block = tables.block
        self.lattice.width = tables.width
        self.lattice.ring = tables.ring
        self.lattice.ring_row = tables.ring_row
        self.lattice.interval = &interval[0]
        self.lattice.zone = &zone[0, 0]
        self.lattice.log_transition = &log_transition[0, 0]
        self.lattice.first_source = &first_source[0]
        self.lattice.end_source = &end_source[0]
        self.lattice.no_beat = &series[0, 0] + padding
        self.lattice.beat = &series[1, 0] + padding
        self.lattice.downbeat = &series[2, 0] + padding
        self.lattice.height = &series[3, 0] + padding
        self.lattice.entries = &entries[0, 0]
        self.lattice.one = 1.0
        entries[:, :] = tables.log_initial

    @property
    def frames(self):
        """Frames of the song."""
        return self.series.shape[1] - 2 * self.tables.padding

    @property
    def shortest(self):
        """Frames of the shortest interval."""
        return self.lattice.interval[0]

    def advance(self, int64_t begin, int64_t end, double[:, :, ::1] exits):
        """Compute the frames ``begin:end``; `begin` is a multiple of the block.

        `exits`, float64 ``[blocks, lanes, width]``, receives the scores at the ends of the lanes.
        """
        if begin % self.lattice.block or not 0 <= begin < end <= self.frames:
            raise ValueError("begin must be a multiple of the block, and end must be after it and within the song")
        self._check(exits, end - begin)
        with nogil:
            self.kernel.advance(&self.lattice, begin, end, &exits[0, 0, 0])

    def finish(self, double[:, ::1] scores):
        """Compute the scores of all states at the last frame, after every frame was advanced.

        `scores`, float64 ``[lanes, tables.end_row]``: column f receives the score of the state from which a lane
        has f more frames left.
        """
        cdef int64_t frames = self.frames, row = scores.shape[1]
        self._check_scores(scores)
        with nogil:
            self.kernel.finish(&self.lattice, frames, row, &scores[0, 0])

    def best_end(self, double[:, ::1] scores):
        """Return score, visit and margin of the end of the best path, from the `scores` of :meth:`finish`."""
        cdef bp_visit visit
        cdef double score, margin
        cdef int64_t frames = self.frames, row = scores.shape[1]
        self._check_scores(scores)
        with nogil:
            score = bp_best_end(&self.lattice, frames, row, &scores[0, 0], &visit, &margin)
        return score, (visit.frame, visit.beat, visit.interval), margin

    def likely_visit(self, double[:, :, ::1] exits, int64_t begin, int64_t frame):
        """Return a likely visit of the path just before `frame`; `exits` starts at frame `begin`."""
        cdef int64_t offset = frame - begin
        self._check(exits, offset + 1)
        visit = bp_likely_visit(
            &self.lattice,
            &exits[offset // self.lattice.block, 0, 0],
            offset % self.lattice.block,
            frame,
        )
        return visit.frame, visit.beat, visit.interval

    def trace(
        self,
        double[:, :, ::1] exits,
        int64_t begin,
        int64_t end,
        visit,
        int32_t[:, ::1] visits,
        double[::1] margins,
    ):
        """Follow the path back from `visit` until a visit begins before `begin`.

        `exits` holds the frames ``begin:end``. The visits found are written to `visits`,
        int32 ``[capacity, 3]`` as frame, beat, interval, latest first, and their margins to `margins`. Returns
        their number.
        """
        cdef bp_visit start
        cdef int64_t count, capacity = visits.shape[0], frames = self.frames
        start.frame, start.beat, start.interval = visit
        self._check(exits, end - begin)
        if begin % self.lattice.block or start.frame >= end:
            raise ValueError("begin must be a multiple of the block, and the visit before the end of the exits")
        if not (0 <= start.beat < self.lattice.beats and 0 <= start.interval < self.lattice.intervals):
            raise ValueError("the visit's beat or interval is out of range")
        if visits.shape[1] != 3 or margins.shape[0] != capacity or capacity < 1:
            raise ValueError("visits must be [capacity, 3] and margins [capacity]")
        with nogil:
            count = bp_trace(
                &self.lattice,
                &exits[0, 0, 0],
                begin,
                start,
                frames,
                <bp_visit *>&visits[0, 0],
                &margins[0],
                capacity,
            )
        return count

    cdef int _check_scores(self, double[:, ::1] scores) except -1:
        if scores.shape[0] != self.tables.lanes or scores.shape[1] < self.tables.end_row:
            raise ValueError("scores must be [lanes, end_row]")
        return 0

    cdef int _check(self, double[:, :, ::1] exits, int64_t frames) except -1:
        if (
            frames < 1
            or exits.shape[0] * self.lattice.block < frames
            or exits.shape[1] != self.lattice.beats * self.lattice.intervals
            or exits.shape[2] != self.lattice.width
        ):
            raise ValueError("exits must be [blocks, lanes, width], and hold the requested frames")
        return 0
