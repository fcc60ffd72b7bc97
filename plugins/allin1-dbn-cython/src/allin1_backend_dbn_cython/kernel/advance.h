/* The recursion for one instruction set. The file that includes this has included the header of that instruction set, for
 * doubles (isa.h lists its operations; LANES divides BP_ROUND), and defines
 *
 *   also_add(a, b)   a + b with one rounding, as add(a, b); if they differ, they run on different execution units
 *   CONSTANTS        constants that these need, declared at the start of a function
 *   TARGETS          number of transitions computed together
 *   KERNEL, SUPPORTED  name of the kernel as an identifier, and the function that says whether it is supported
 *
 * `also_add` is x * one + y on x86, which is exactly x + y: the product with 1.0 is exact and the sum is
 * rounded once, as a sum is. Processors with separate adders and multipliers run both at the same time.
 * The factor is read from memory, since a compiler that sees 1.0 would turn it back into an addition.
 */
#include <math.h>

#include "bar_pointer.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define INLINE static __forceinline
#define UNROLLED
#elif defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16")
#endif

/* Beats and vectors of a step of lanes: 4 x 3 sums and 3 densities fit into 16 registers. */
#define MOST_BEATS 4
#define MOST_VECTORS 3

/* Sum the densities along `beats` lanes of one interval, from the beat `first` on, for entries at the
 * frames from `entry` on: the last states' scores, in the order of additions that a chain of states has.
 * `beats` and `vectors` are constants once this is inlined, and the sums stay in registers. */
INLINE void lane_step(const int beats, const int vectors, const bp_lattice *L, int32_t first,
                      int32_t interval, const double *entries, int64_t entry, double *out,
                      size_t out_row)
{
    const int32_t length = L->interval[interval];
    const int32_t *zone = L->zone + (size_t)first * L->intervals + interval;
    const double *no_beat = L->no_beat + entry;
    const double *beat = L->beat + entry;
    const double *leading = (first ? L->beat : L->downbeat) + entry;
    int32_t shortest = length, longest = 0, k = 1;
    vec sum[MOST_BEATS][MOST_VECTORS];
    CONSTANTS

    for (int b = 0; b < beats; b++) {
        const int32_t z = zone[(size_t)b * L->intervals];
        shortest = z < shortest ? z : shortest;
        longest = z > longest ? z : longest;
    }
    UNROLLED for (int b = 0; b < beats; b++)
        UNROLLED for (int v = 0; v < vectors; v++)
            sum[b][v] = load(entries + (size_t)b * L->intervals * L->ring_row + v * LANES);
    for (; k < shortest; k++)
        UNROLLED for (int v = 0; v < vectors; v++) {
            const vec d = load(beat + k + v * LANES);
            sum[0][v] = add(sum[0][v], load(leading + k + v * LANES));
            UNROLLED for (int b = 1; b < beats; b++)
                sum[b][v] = add(sum[b][v], d);
        }
    /* Rounding of the positions may make the zone of one beat a state shorter than that of another. */
    for (; k < longest; k++)
        UNROLLED for (int b = 0; b < beats; b++) {
            const int inside = k < zone[(size_t)b * L->intervals];
            const double *density = (inside ? (b ? beat : leading) : no_beat) + k;
            UNROLLED for (int v = 0; v < vectors; v++)
                sum[b][v] = add(sum[b][v], load(density + v * LANES));
        }
    /* Most of the time is spent here. A density must be loaded once and stay in a register for all sums:
     * most loads cross a cache line and take two cycles. */
    for (; k < length; k++)
        UNROLLED for (int v = 0; v < vectors; v++) {
            const vec d = load(no_beat + k + v * LANES);
            UNROLLED for (int b = 0; b < beats; b++)
                sum[b][v] = (b * MOST_VECTORS + v) % 2 ? also_add(sum[b][v], d) : add(sum[b][v], d);
        }
    UNROLLED for (int b = 0; b < beats; b++)
        UNROLLED for (int v = 0; v < vectors; v++)
            store(out + (size_t)b * L->intervals * out_row + v * LANES, sum[b][v]);
}

#define STEP(beats, vectors) \
    lane_step(beats, vectors, L, first, interval, row + column, entry + column, \
              target + column, out_row)
#define STEP_BEATS(vectors) \
    switch (L->beats - first) { \
    case 1: STEP(1, vectors); break; \
    case 2: STEP(2, vectors); break; \
    case 3: STEP(3, vectors); break; \
    default: STEP(4, vectors); break; \
    }

/* All lanes of one interval, for `width` entries at the frames from `entry` on. */
static void lanes_of_interval(const bp_lattice *L, int32_t interval, int64_t entry, double *out,
                              size_t out_row)
{
    int64_t place = entry % L->ring;
    place += place < 0 ? L->ring : 0;
    for (int32_t first = 0; first < L->beats; first += MOST_BEATS) {
        const size_t lane = (size_t)first * L->intervals + interval;
        const double *row = L->entries + lane * L->ring_row + place;
        double *target = out + lane * out_row;
        int32_t column = 0;
        for (; column + 3 * LANES <= L->width; column += 3 * LANES)
            STEP_BEATS(3)
        if (column + 2 * LANES <= L->width) {
            STEP_BEATS(2)
            column += 2 * LANES;
        }
        if (column < L->width)
            STEP_BEATS(1)
    }
}

/* The best way into TARGETS lanes of one beat, from the interval `to` on: maximum over the lanes of
 * the beat before, then the density of the first state. Adding it after the maximum gives the same value
 * as adding it to each candidate, because rounding keeps the order. */
INLINE void transition_step(const int vectors, const bp_lattice *L, int32_t to, const double *exits,
                            const double *density, double *entries, int repeat)
{
    const double *log_transition[TARGETS];
    double *target[TARGETS];
    vec best[TARGETS][MOST_VECTORS];
    int32_t begin = L->intervals, end = 0;
    CONSTANTS

    UNROLLED for (int g = 0; g < TARGETS; g++) {
        /* After the last interval it is computed again, with the same result. */
        const int32_t j = to + g < L->intervals ? to + g : L->intervals - 1;
        log_transition[g] = L->log_transition + (size_t)j * L->intervals;
        target[g] = entries + (size_t)j * L->ring_row;
        begin = L->first_source[j] < begin ? L->first_source[j] : begin;
        end = L->end_source[j] > end ? L->end_source[j] : end;
        UNROLLED for (int v = 0; v < vectors; v++)
            best[g][v] = spread(-INFINITY);
    }
    for (int32_t i = begin; i < end; i++) {
        vec score[MOST_VECTORS];
        UNROLLED for (int v = 0; v < vectors; v++)
            score[v] = load(exits + (size_t)i * L->width + v * LANES);
        UNROLLED for (int g = 0; g < TARGETS; g++) {
            const vec a = spread(log_transition[g][i]);
            UNROLLED for (int v = 0; v < vectors; v++)
                best[g][v] = larger_number(also_add(a, score[v]), best[g][v]);
        }
    }
    UNROLLED for (int v = 0; v < vectors; v++) {
        const vec d = load(density + v * LANES);
        UNROLLED for (int g = 0; g < TARGETS; g++) {
            const vec score = add(best[g][v], d);
            store(target[g] + v * LANES, score);
            if (repeat)
                store(target[g] + L->ring + v * LANES, score);
        }
    }
}

static void transitions(const bp_lattice *L, int64_t frame, const double *exits)
{
    const size_t lanes_of_beat = (size_t)L->intervals;
    const int32_t place = (int32_t)(frame % L->ring);
    for (int32_t beat = 0; beat < L->beats; beat++) {
        const int32_t before = (beat ? beat : L->beats) - 1;
        const double *source = exits + before * lanes_of_beat * L->width;
        const double *density = (beat ? L->beat : L->downbeat) + frame;
        double *entries = L->entries + beat * lanes_of_beat * L->ring_row + place;
        for (int32_t to = 0; to < L->intervals; to += TARGETS) {
            int32_t column = 0;
#define TRANSITION(vectors) \
    transition_step(vectors, L, to, source + column, density + column, entries + column, !place)
            for (; column + 3 * LANES <= L->width; column += 3 * LANES)
                TRANSITION(3);
            if (column + 2 * LANES <= L->width) {
                TRANSITION(2);
                column += 2 * LANES;
            }
            if (column < L->width)
                TRANSITION(1);
#undef TRANSITION
        }
    }
}

static void advance(const bp_lattice *L, int64_t begin, int64_t end, double *exits)
{
    const size_t lanes = (size_t)L->beats * L->intervals;
    for (int64_t frame = begin; frame < end; frame += L->block) {
        for (int32_t interval = 0; interval < L->intervals; interval++)
            lanes_of_interval(L, interval, frame - L->interval[interval], exits, L->width);
        transitions(L, frame, exits);
        exits += lanes * L->width;
    }
}

/* The densities after the last frame are zero, so a chain that is run to the end of its lane keeps the
 * score that it had at the last frame. The steps are as long as a block, since the ring repeats no more than
 * that after its end; values that a step writes past its block are overwritten by the next one. */
static void finish(const bp_lattice *L, int64_t frames, int64_t row, double *scores)
{
    for (int32_t interval = 0; interval < L->intervals; interval++)
        for (int32_t f = 0; f < L->interval[interval]; f += L->block)
            lanes_of_interval(L, interval, frames - L->interval[interval] + f, scores + f, (size_t)row);
}

const bp_kernel BP_JOIN(bp_kernel_, KERNEL) = {BP_NAME(KERNEL), SUPPORTED, advance, finish};
