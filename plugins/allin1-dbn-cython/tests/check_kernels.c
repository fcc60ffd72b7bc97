/* Runs every kernel on one problem, in memory that is exactly as large as the Python side makes it, so that a
 * sanitizer or valgrind sees each byte too many. Reads a problem as test_sanitizers.py writes it; prints
 * the score and the path, and fails unless all instruction sets gave the same bits.
 *
 *     cc -std=c11 -g -O1 -fsanitize=address,undefined -I<kernel> check_kernels.c <kernel>/[a-z]*.c
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bar_pointer.h"

static FILE *problem;

static void *take(size_t count, size_t size)
{
    void *memory = malloc(count * size);
    if (!memory || fread(memory, size, count, problem) != count) {
        fprintf(stderr, "the problem is too short\n");
        exit(2);
    }
    return memory;
}

static double *scratch(size_t count)
{
    /* Filled with NaN, which a result would show if it were read before it is written. */
    double *memory = malloc(count * sizeof *memory);
    if (!memory)
        exit(2);
    memset(memory, 0xff, count * sizeof *memory);
    return memory;
}

int main(int argc, char **argv)
{
    if (argc != 2 || !(problem = fopen(argv[1], "rb")))
        return 2;
    int32_t *n = take(9, sizeof *n);
    const int32_t frames = n[6], padding = n[7], end_row = n[8];
    bp_lattice lattice = {.beats = n[0], .intervals = n[1], .block = n[2], .width = n[3],
                          .ring = n[4], .ring_row = n[5], .one = 1.0};
    const size_t lanes = (size_t)lattice.beats * lattice.intervals;
    const size_t columns = (size_t)frames + 2 * (size_t)padding;
    int32_t *interval = take(lattice.intervals, sizeof *interval);
    int32_t *zone = take(lanes, sizeof *zone);
    double *transition = take((size_t)lattice.intervals * lattice.intervals, sizeof *transition);
    int32_t *first = take(lattice.intervals, sizeof *first);
    int32_t *end = take(lattice.intervals, sizeof *end);
    double *log_initial = take(1, sizeof *log_initial);
    double *series[4];
    for (int row = 0; row < 4; row++)
        series[row] = take(columns, sizeof *series[row]);
    fclose(problem);
    lattice.interval = interval;
    lattice.zone = zone;
    lattice.log_transition = transition;
    lattice.first_source = first;
    lattice.end_source = end;
    lattice.no_beat = series[0] + padding;
    lattice.beat = series[1] + padding;
    lattice.downbeat = series[2] + padding;
    lattice.height = series[3] + padding;

    const size_t blocks = ((size_t)frames + lattice.block - 1) / lattice.block;
    const int64_t capacity = frames / interval[0] + 2;
    double *exits = scratch(blocks * lanes * lattice.width);
    double *scores = scratch(lanes * end_row);
    double *margins = scratch(capacity);
    bp_visit *visits = malloc(capacity * sizeof *visits);
    bp_visit *reference = NULL;
    double reference_score = 0;
    for (int k = 0; bp_kernels[k]; k++) {
        if (!bp_kernels[k]->supported())
            continue;
        lattice.entries = scratch(lanes * lattice.ring_row);
        for (size_t i = 0; i < lanes * (size_t)lattice.ring_row; i++)
            lattice.entries[i] = *log_initial;
        /* Two calls, as for a song of two segments. */
        const int64_t middle = (int64_t)(blocks / 2) * lattice.block;
        if (middle)
            bp_kernels[k]->advance(&lattice, 0, middle, exits);
        bp_kernels[k]->advance(&lattice, middle, frames,
                               exits + blocks / 2 * lanes * lattice.width);
        bp_kernels[k]->finish(&lattice, frames, end_row, scores);
        bp_visit last;
        double margin;
        const double score = bp_best_end(&lattice, frames, end_row, scores, &last, &margin);
        const int64_t count = bp_trace(&lattice, exits, 0, last, frames, visits, margins, capacity);
        const bp_visit likely =
            bp_likely_visit(&lattice, exits + (blocks - 1) * lanes * lattice.width,
                            (frames - 1) % lattice.block, frames - 1);
        bp_trace(&lattice, exits, 0, likely, frames, visits, margins, capacity);
        bp_trace(&lattice, exits, 0, last, frames, visits, margins, capacity);
        if (!reference) {
            reference = malloc(capacity * sizeof *reference);
            memcpy(reference, visits, count * sizeof *visits);
            reference_score = score;
            printf("%.17g\n%" PRId32 " %" PRId32 " %" PRId32 "\n", score, last.frame, last.beat,
                   last.interval);
            for (int64_t i = 0; i < count; i++)
                printf("%" PRId32 " %" PRId32 " %" PRId32 "\n", visits[i].frame, visits[i].beat,
                       visits[i].interval);
        }
        if (memcmp(reference, visits, count * sizeof *visits) || score != reference_score) {
            fprintf(stderr, "%s differs\n", bp_kernels[k]->name);
            return 1;
        }
        fprintf(stderr, "%s ran\n", bp_kernels[k]->name);
        free(lattice.entries);
    }
    for (int row = 0; row < 4; row++)
        free(series[row]);
    free(reference), free(visits), free(margins), free(scores), free(exits), free(log_initial);
    free(end), free(first), free(transition), free(zone), free(interval), free(n);
    return 0;
}
