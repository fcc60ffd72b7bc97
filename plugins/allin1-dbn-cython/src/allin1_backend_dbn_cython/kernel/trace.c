/* From scores to a path. No back-pointers are stored; the few decisions on the path are recomputed. */
#include <math.h>

#include "bar_pointer.h"

/* Whether a lane that is entered at frame `entry` observes a beat at `frame`. */
static int in_zone(const bp_lattice *lattice, int32_t beat, int32_t interval, int64_t entry,
                   int64_t frame)
{
    const int64_t zone = lattice->zone[(int64_t)beat * lattice->intervals + interval];
    return entry <= frame && frame < entry + zone;
}

/* Frame at which the beat of a visit is reported. */
static int64_t reported(const bp_lattice *lattice, bp_visit visit, int64_t frames)
{
    const int64_t zone = lattice->zone[(int64_t)visit.beat * lattice->intervals + visit.interval];
    const int64_t end = visit.frame + zone < frames ? visit.frame + zone : frames;
    int64_t highest = visit.frame > 0 ? visit.frame : 0;
    for (int64_t frame = highest + 1; frame < end; frame++)
        if (lattice->height[frame] > lattice->height[highest])
            highest = frame;
    return highest;
}

double bp_best_end(const bp_lattice *lattice, int64_t frames, int64_t row, const double *scores,
                   bp_visit *visit, double *margin)
{
    double best = -INFINITY, next = -INFINITY;
    int32_t position = 0;
    visit->beat = 0;
    visit->interval = 0;
    for (int32_t beat = 0; beat < lattice->beats; beat++)
        for (int32_t i = 0; i < lattice->intervals; i++) {
            const int32_t length = lattice->interval[i];
            const double *lane = scores + ((int64_t)beat * lattice->intervals + i) * row;
            for (int32_t k = 0; k < length; k++)
                if (lane[length - 1 - k] > best) {
                    best = lane[length - 1 - k];
                    visit->beat = beat;
                    visit->interval = i;
                    position = k;
                }
        }
    visit->frame = (int32_t)(frames - 1 - position);
    const int64_t frame = reported(lattice, *visit, frames);
    for (int32_t beat = 0; beat < lattice->beats; beat++)
        for (int32_t i = 0; i < lattice->intervals; i++) {
            const int32_t length = lattice->interval[i];
            const double *lane = scores + ((int64_t)beat * lattice->intervals + i) * row;
            for (int32_t k = 0; k < length; k++)
                if (lane[length - 1 - k] > next
                    && (beat != visit->beat || !in_zone(lattice, beat, i, frames - 1 - k, frame)))
                    next = lane[length - 1 - k];
        }
    *margin = best - next;
    return best;
}

bp_visit bp_likely_visit(const bp_lattice *lattice, const double *block, int32_t column, int64_t frame)
{
    bp_visit visit = {0, 0, 0};
    double best = -INFINITY;
    for (int32_t beat = 0; beat < lattice->beats; beat++)
        for (int32_t i = 0; i < lattice->intervals; i++) {
            const double score =
                block[((int64_t)beat * lattice->intervals + i) * lattice->width + column];
            if (score > best) {
                best = score;
                visit.beat = beat;
                visit.interval = i;
            }
        }
    visit.frame = (int32_t)(frame - lattice->interval[visit.interval]);
    return visit;
}

int64_t bp_trace(const bp_lattice *lattice, const double *exits, int64_t begin, bp_visit visit,
                 int64_t frames, bp_visit *visits, double *margins, int64_t capacity)
{
    const int64_t lanes = (int64_t)lattice->beats * lattice->intervals;
    int64_t count = 0;
    while (visit.frame >= begin && visit.frame >= 1 && count < capacity) {
        const int32_t before = (visit.beat ? visit.beat : lattice->beats) - 1;
        const int64_t block = (visit.frame - begin) / lattice->block;
        const int64_t column = (visit.frame - begin) % lattice->block;
        const double *exit = exits
            + (block * lanes + (int64_t)before * lattice->intervals) * lattice->width + column;
        const double *log_transition =
            lattice->log_transition + (int64_t)visit.interval * lattice->intervals;
        const int32_t first = lattice->first_source[visit.interval];
        const int32_t end = lattice->end_source[visit.interval];
        const double density = (visit.beat ? lattice->beat : lattice->downbeat)[visit.frame];
        double best = -INFINITY, next = -INFINITY;
        int32_t from = -1;
/* The density is included: adding it may round two different sums to the same score, and then the first of them
 * is the predecessor. */
#define SCORE(i) ((exit[(int64_t)(i) * lattice->width] + log_transition[i]) + density)
        for (int32_t i = first; i < end; i++)
            if (SCORE(i) > best) {
                best = SCORE(i);
                from = i;
            }
        if (from < 0)
            break;
        const int64_t entry = visit.frame;
        visit.beat = before;
        visit.interval = from;
        visit.frame -= lattice->interval[from];
        const int64_t frame = reported(lattice, visit, frames);
        for (int32_t i = first; i < end; i++)
            if (SCORE(i) > next && !in_zone(lattice, before, i, entry - lattice->interval[i], frame))
                next = SCORE(i);
#undef SCORE
        visits[count] = visit;
        margins[count] = best - next;
        count++;
    }
    return count;
}
