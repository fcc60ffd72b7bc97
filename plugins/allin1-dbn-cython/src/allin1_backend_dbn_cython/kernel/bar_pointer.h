/* The Viterbi recursion of the bar-pointer model, in the form that README.md explains.
 *
 * A lane is one beat of the bar at one tempo: a chain of `interval` states through which the score only
 * moves on. Two time series are stored for each lane: its entries (score of the first state at each frame)
 * and its exits (score of the last state). Lanes are numbered beat-major: beat * intervals + interval.
 *
 * All arithmetic is IEEE double addition and comparison in a fixed order, so every instruction set
 * gives the same bits. NaN, like minus infinity, means that the state cannot be reached.
 */
#ifndef ALLIN1_BAR_POINTER_H
#define ALLIN1_BAR_POINTER_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "Doubles must be computed without excess precision (on 32-bit x86: -msse2 -mfpmath=sse)."
#endif

/* Rows of exits and entries are whole multiples of this many doubles, one cache line. */
#define BP_ROUND 8

typedef struct {
    int32_t beats;
    int32_t intervals;
    /* Frames advanced at once; at most the shortest interval. */
    int32_t block;
    /* The block rounded up to BP_ROUND: doubles in a row of exits. */
    int32_t width;
    /* Frames of entries stored for each lane, a multiple of the block, and the length of a row of them.
     * The first frames of a row are repeated after its end, so that no read wraps around. */
    int32_t ring;
    int32_t ring_row;
    /* [intervals], frames, rising */
    const int32_t *interval;
    /* [beats][intervals]: states at the start of a lane that observe a beat */
    const int32_t *zone;
    /* [intervals to][intervals from], and the range of `from` outside which it is minus infinity */
    const double *log_transition;
    const int32_t *first_source;
    const int32_t *end_source;
    /* Log densities; index 0 is frame 0. They are padded with zeros: a longest interval before, and a
     * longest interval plus a width after. */
    const double *no_beat;
    const double *beat;
    const double *downbeat;
    /* Height of each frame: a beat is reported at the first highest frame of its zone. */
    const double *height;
    /* [beats * intervals][ring_row], aligned to a cache line */
    double *entries;
    /* 1.0, hidden from the compiler; advance.h explains why. */
    double one;
} bp_lattice;

typedef struct {
    /* Frame at which the path enters the lane; below 1 if the path starts inside the lane. */
    int32_t frame;
    int32_t beat;
    int32_t interval;
} bp_visit;

/* One instruction set. */
typedef struct {
    const char *name;
    /* Whether the processor has it and the operating system saves its registers. */
    int (*supported)(void);
    /* Entries and exits of the frames begin <= t < end; `begin` is a multiple of the block.
     * exits: [blocks][beats * intervals][width], aligned; column f of block n holds the scores of the
     * last states one frame before begin + n * block + f. */
    void (*advance)(const bp_lattice *lattice, int64_t begin, int64_t end, double *exits);
    /* Scores at frame frames - 1 of the states of every lane, by frame of entry:
     * scores[lane][f] belongs to the entry at frames - interval + f. */
    void (*finish)(const bp_lattice *lattice, int64_t frames, int64_t row, double *scores);
} bp_kernel;

#define BP_JOIN_(a, b) a##b
#define BP_JOIN(a, b) BP_JOIN_(a, b)
#define BP_NAME_(name) #name
#define BP_NAME(name) BP_NAME_(name)

/* Ends with NULL; the first one that is supported is the fastest. */
extern const bp_kernel *const bp_kernels[];

/* First maximum of the `scores` of `finish`, in the order of beat, interval and position in the lane.
 * Returns its score, -infinity if no state can be reached. `margin` receives the distance to the best score of a state
 * with another beat number, or with a zone that does not contain the frame at which this beat is reported. */
double bp_best_end(const bp_lattice *lattice, int64_t frames, int64_t row, const double *scores,
                   bp_visit *visit, double *margin);

/* The lane with the best exit in column f of a block of exits: a likely path, not a certain one. */
bp_visit bp_likely_visit(const bp_lattice *lattice, const double *block, int32_t column, int64_t frame);

/* Follow a path back from `visit` while it is entered at frame `begin` (at least 1) or later. `exits` starts at
 * frame `begin`. Writes the visits before it, latest first, and the margin of each: the distance to the best
 * predecessor whose zone does not contain the frame at which this beat is reported. Returns their number;
 * `capacity` must allow one for each shortest interval, plus one. */
int64_t bp_trace(const bp_lattice *lattice, const double *exits, int64_t begin, bp_visit visit,
                 int64_t frames, bp_visit *visits, double *margins, int64_t capacity);

#endif
