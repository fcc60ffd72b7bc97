/* The transform for one instruction set. The file that includes this has included the header of that instruction set, for
 * doubles (isa.h lists its operations), and defines
 *
 *   half_vec                   a vector of LANES floats, with half_load, half_store, half_spread,
 *                              half_madd, half_root
 *   narrow(v)                  v rounded to floats
 *   wide_vec                   a vector of WIDE floats, with wide_load, wide_store (at any address), wide_spread, wide_sub,
 *                              wide_min, wide_max
 *   wide_below(a, x, b, c)     b where a < x, else c
 *   COLUMNS                    number of pairs of samples that `take` reads
 *   take(p, out)               2 COLUMNS samples from p on of LANES frames, which are SP_HOP apart:
 *                              out[s] is sample s of all frames, as doubles
 *   KERNEL                     name of the kernel
 */
#include <math.h>
#include <string.h>

#include "spectrogram.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define INLINE static __forceinline
#else
#define INLINE static inline __attribute__((always_inline))
#endif

/* Number of samples that LANES frames span. */
#define SIGNAL (SP_WINDOW + (LANES - 1) * SP_HOP)

/* Vectors in a row of complex numbers: one number more than needed, so that the addresses of a column do not all
 * map to the same cache set. */
#define ROW (2 * SP_SIDE + 2)

typedef struct {
    vec rows[SP_SIDE * ROW];
    vec columns[SP_SIDE * 2 * COLUMNS];
    vec quarter[2 * SP_SIDE];
    float signal[SIGNAL];
} area;

typedef struct {
    vec re, im;
} number;

INLINE number get(const vec *p)
{
    return (number){load_aligned(p), load_aligned(p + 1)};
}

INLINE void put(vec *p, number x)
{
    store_aligned(p, x.re);
    store_aligned(p + 1, x.im);
}

INLINE number plus(number a, number b)
{
    return (number){add(a.re, b.re), add(a.im, b.im)};
}

INLINE number minus(number a, number b)
{
    return (number){subtract(a.re, b.re), subtract(a.im, b.im)};
}

INLINE number times(number x, const double *factor)
{
    const vec re = spread(factor[0]), im = spread(factor[1]);
    return (number){subtract_product(x.im, im, multiply(x.re, re)), multiply_add(x.re, im, multiply(x.im, re))};
}

/* Transform of four numbers, in place. */
INLINE void transform_4(number x[4])
{
    const number a = plus(x[0], x[2]), b = minus(x[0], x[2]);
    const number c = plus(x[1], x[3]), d = minus(x[1], x[3]);
    x[0] = plus(a, c);
    x[2] = minus(a, c);
    x[1] = (number){add(b.re, d.im), subtract(b.im, d.re)};
    x[3] = (number){subtract(b.re, d.im), add(b.im, d.re)};
}

/* e + f and e - f, where f is `re`, `im` times `factor`. */
INLINE void combine(number e, vec re, vec im, double factor, number *one, number *other)
{
    const vec f = spread(factor);
    *one = (number){multiply_add(re, f, e.re), multiply_add(im, f, e.im)};
    *other = (number){subtract_product(re, f, e.re), subtract_product(im, f, e.im)};
}

/* Transform of eight numbers, in place. */
INLINE void transform_8(number x[8])
{
    static const double root_half = 0.70710678118654752440;
    number e[4] = {x[0], x[2], x[4], x[6]}, o[4] = {x[1], x[3], x[5], x[7]};
    transform_4(e);
    transform_4(o);
    x[0] = plus(e[0], o[0]);
    x[4] = minus(e[0], o[0]);
    combine(e[1], add(o[1].re, o[1].im), subtract(o[1].im, o[1].re), root_half, &x[1], &x[5]);
    x[2] = (number){add(e[2].re, o[2].im), subtract(e[2].im, o[2].re)};
    x[6] = (number){subtract(e[2].re, o[2].im), add(e[2].im, o[2].re)};
    combine(e[3], subtract(o[3].im, o[3].re), add(o[3].re, o[3].im), root_half, &x[3], &x[7]);
    /* The imaginary part of the last one has the wrong sign. */
    const vec im = x[3].im;
    x[3].im = x[7].im;
    x[7].im = im;
}

/* Transform of 32 numbers that are `step` vectors apart, as 4 x 8; `quarter` is scratch space. Number k of the
 * result is stored at out + k * out_step, times factors[k] if `factors` is not NULL. */
INLINE void transform_32(const sp_tables *tables, const vec *in, size_t step, vec *quarter, vec *out,
                         size_t out_step, const double *factors)
{
    for (int b = 0; b < 8; b++) {
        number x[4];
        const double *factor = tables->within_side + 8 * b;
        for (int a = 0; a < 4; a++)
            x[a] = get(in + (8 * a + b) * step);
        transform_4(x);
        put(quarter + 2 * b, x[0]);
        for (int k = 1; k < 4; k++)
            put(quarter + 16 * k + 2 * b, times(x[k], factor + 2 * k));
    }
    for (int k = 0; k < 4; k++) {
        number x[8];
        for (int b = 0; b < 8; b++)
            x[b] = get(quarter + 16 * k + 2 * b);
        transform_8(x);
        for (int j = 0; j < 8; j++) {
            const int place = k + 4 * j;
            put(out + place * out_step, factors ? times(x[j], factors + 2 * place) : x[j]);
        }
    }
}

/* Transform along the columns: from the samples to rows[k][c], with the factors between the sides. */
static void columns_of_samples(const sp_tables *tables, area *at)
{
    for (int c = 0; c < SP_SIDE; c += COLUMNS) {
        for (int r = 0; r < SP_SIDE; r++) {
            const int sample = 2 * (SP_SIDE * r + c);
            vec *out = at->columns + r * 2 * COLUMNS;
            take(at->signal + sample, out);
            for (int s = 0; s < 2 * COLUMNS; s++)
                store_aligned(out + s, multiply(load_aligned(out + s), spread(tables->window[sample + s])));
        }
        for (int d = 0; d < COLUMNS; d++)
            transform_32(tables, at->columns + 2 * d, 2 * COLUMNS, at->quarter,
                         at->rows + 2 * (c + d), ROW, tables->between_sides + 2 * SP_SIDE * (c + d));
    }
}

INLINE half_vec magnitude(vec re, vec im)
{
    return half_root(narrow(multiply_add(re, re, multiply(im, im))));
}

/* Store the magnitude of bin k in magnitudes[k][lane]: doubles if `exact`, otherwise floats. */
INLINE void put_magnitude(void *magnitudes, int k, number x, int exact)
{
    if (exact)
        store_aligned((vec *)magnitudes + k, square_root(multiply_add(x.re, x.re, multiply(x.im, x.im))));
    else
        half_store((float *)magnitudes + (size_t)k * LANES, magnitude(x.re, x.im));
}

/* Magnitudes of the bins k and 1024 - k, from the numbers a and b of the complex transform there. */
INLINE void bins_of_pair(const sp_tables *tables, number a, number b, int k, void *magnitudes,
                         int exact)
{
    const int mirrored = SP_POINTS - k;
    const number even = {add(a.re, b.re), subtract(a.im, b.im)};
    const number odd = times((number){add(a.im, b.im), subtract(b.re, a.re)}, tables->halves + 2 * k);
    if (k <= tables->last_bin)
        put_magnitude(magnitudes, k, plus(even, odd), exact);
    if (mirrored <= tables->last_bin)
        put_magnitude(magnitudes, mirrored, minus(even, odd), exact);
}

static void row(const sp_tables *tables, area *at, int k)
{
    vec *numbers = at->rows + (size_t)k * ROW;
    transform_32(tables, numbers, 2, at->quarter, numbers, 2, NULL);
}

/* Transform along the rows, and store magnitudes[bin][lane]. */
INLINE void bins_of_rows(const sp_tables *tables, area *at, void *magnitudes, int exact)
{
    const vec *zero = at->rows, *middle = at->rows + (SP_SIDE / 2) * ROW;
    row(tables, at, 0);
    for (int i = 1; i <= SP_SIDE / 2; i++)
        bins_of_pair(tables, get(zero + 2 * i), get(zero + 2 * (SP_SIDE - i)), SP_SIDE * i,
                     magnitudes, exact);
    for (int k = 1; k < SP_SIDE / 2; k++) {
        const vec *one = at->rows + k * ROW, *other = at->rows + (SP_SIDE - k) * ROW;
        row(tables, at, k);
        row(tables, at, SP_SIDE - k);
        for (int i = 0; i < SP_SIDE; i++)
            bins_of_pair(tables, get(one + 2 * i), get(other + 2 * (SP_SIDE - 1 - i)),
                         k + SP_SIDE * i, magnitudes, exact);
    }
    row(tables, at, SP_SIDE / 2);
    for (int i = 0; i < SP_SIDE / 2; i++)
        bins_of_pair(tables, get(middle + 2 * i), get(middle + 2 * (SP_SIDE - 1 - i)),
                     SP_SIDE / 2 + SP_SIDE * i, magnitudes, exact);
}

/* values[band][lane] of magnitudes[bin][lane] */
static void bands_of_bins(const sp_tables *tables, const float *magnitudes, float *values)
{
    const float *weight = tables->weights;
    for (int32_t band = 0; band < tables->bands; band++) {
        const float *bin = magnitudes + (size_t)tables->starts[band] * LANES;
        const int32_t length = tables->lengths[band];
        /* Four independent sums hide the latency of the additions. */
        half_vec sum[4] = {half_spread(0.0f), half_spread(0.0f), half_spread(0.0f),
                           half_spread(0.0f)};
        int32_t i = 0;
        for (; i + 4 <= length; i += 4)
            for (int j = 0; j < 4; j++)
                sum[j] = half_madd(half_load(bin + (size_t)(i + j) * LANES),
                                   half_spread(weight[i + j]), sum[j]);
        for (; i < length; i++)
            sum[0] = half_madd(half_load(bin + (size_t)i * LANES), half_spread(weight[i]), sum[0]);
        const half_vec one = half_spread(1.0f);
        sum[0] = half_madd(sum[0], one, sum[1]);
        sum[2] = half_madd(sum[2], one, sum[3]);
        half_store(values + (size_t)band * LANES, half_madd(sum[0], one, sum[2]));
        weight += length;
    }
}

/* The same for magnitudes in double precision; only the sums are rounded. */
static void bands_exactly(const sp_tables *tables, const vec *magnitudes, float *values)
{
    const float *weight = tables->weights;
    for (int32_t band = 0; band < tables->bands; band++) {
        const vec *bin = magnitudes + tables->starts[band];
        const int32_t length = tables->lengths[band];
        vec sum[4] = {spread(0.0), spread(0.0), spread(0.0), spread(0.0)};
        int32_t i = 0;
        for (; i + 4 <= length; i += 4)
            for (int j = 0; j < 4; j++)
                sum[j] = multiply_add(load_aligned(bin + i + j), spread((double)weight[i + j]), sum[j]);
        for (; i < length; i++)
            sum[0] = multiply_add(load_aligned(bin + i), spread((double)weight[i]), sum[0]);
        half_store(values + (size_t)band * LANES,
                   narrow(add(add(sum[0], sum[1]), add(sum[2], sum[3]))));
        weight += length;
    }
}

/* log10(1 + x), x >= 0, in place: 1 + x rounded to float, its logarithm by the series of artanh, in double.
 * The terms left out are below 1e-10. NaN stays NaN. */
static void logarithms(float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const float y = 1.0f + values[i];
        int32_t bits, exponent;
        float mantissa;
        memcpy(&bits, &y, sizeof bits);
        /* Mantissas from the root of a half to that of two. */
        exponent = (bits - 0x3f3504f3) >> 23;
        bits -= (int32_t)((uint32_t)exponent << 23);
        memcpy(&mantissa, &bits, sizeof mantissa);
        const double m = mantissa, s = (m - 1.0) / (m + 1.0), q = s * s;
        const double series =
            1.0 + q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7 + q * (1.0 / 9 + q * (1.0 / 11)))));
        values[i] = (float)(exponent * 0.30102999566398119521 + s * series * 0.86858896380650365530)
                    + (y - y);
    }
}

/* Mean, or half the difference, of the channels of `count` samples from `start` on, with zeros outside the signal. */
static void average(const sp_signal *signal, int64_t start, int64_t count, float *out)
{
    const int64_t first = start < 0 ? -start : 0;
    const int64_t left = signal->length - start;
    const int64_t end = left < count ? left : count;
    int64_t i = 0;
    for (; i < first && i < count; i++)
        out[i] = 0.0f;
    const float *one = signal->samples + start, *other = one + signal->channel_stride;
    if (signal->channels == 1)
        for (; i < end; i++)
            out[i] = one[i];
    else if (signal->difference)
        for (; i < end; i++)
            out[i] = (one[i] - other[i]) * 0.5f;
    else
        for (; i < end; i++)
            out[i] = (one[i] + other[i]) * 0.5f;
    for (; i < count; i++)
        out[i] = 0.0f;
}

/* Whether all values are zero, of either sign. */
INLINE int is_silent(const float *signal)
{
    uint32_t any = 0;
    for (int i = 0; i < SIGNAL; i++) {
        uint32_t bits;
        memcpy(&bits, signal + i, sizeof bits);
        any |= bits << 1;
    }
    return !any;
}

static size_t workspace(const sp_tables *tables)
{
    return sizeof(area) + ((size_t)tables->last_bin + 1) * sizeof(vec)
           + (size_t)tables->bands * LANES * sizeof(float);
}

INLINE void frames_of(const sp_tables *tables, const sp_signal *signal, int64_t first,
                      int64_t count, float *out, void *space, int exact)
{
    area *at = space;
    vec *magnitudes = (vec *)(at + 1);
    float *values = (float *)(magnitudes + tables->last_bin + 1);
    for (int64_t frame = 0; frame < count; frame += LANES) {
        const int64_t lanes = count - frame < LANES ? count - frame : LANES;
        average(signal, (first + frame) * SP_HOP - SP_WINDOW / 2, SIGNAL, at->signal);
        if (is_silent(at->signal)) {
            memset(out + frame * tables->bands, 0, (size_t)(lanes * tables->bands) * sizeof *out);
            continue;
        }
        columns_of_samples(tables, at);
        bins_of_rows(tables, at, magnitudes, exact);
        if (exact) {
            bands_exactly(tables, magnitudes, values);
        } else {
            bands_of_bins(tables, (float *)magnitudes, values);
            logarithms(values, (int64_t)tables->bands * LANES);
        }
        for (int32_t band = 0; band < tables->bands; band++)
            for (int64_t lane = 0; lane < lanes; lane++)
                out[(frame + lane) * tables->bands + band] = values[band * LANES + lane];
    }
}

static void transform(const sp_tables *tables, const sp_signal *signal, int64_t first,
                      int64_t count, float *out, void *space)
{
    frames_of(tables, signal, first, count, out, space, 0);
}

static void magnitudes(const sp_tables *tables, const sp_signal *signal, int64_t first,
                       int64_t count, float *out, void *space)
{
    frames_of(tables, signal, first, count, out, space, 1);
}

/* Number of values in the window of the median. */
#define MEDIAN (2 * SP_REACH + 1)

/* The index of frame t in a signal that is mirrored at its ends, with the end frames repeated. */
static int64_t mirrored(int64_t t, int64_t total)
{
    const int64_t turn = 2 * total;
    t = (t % turn + turn) % turn;
    return t < total ? t : turn - 1 - t;
}

/* Replace `last` by `next` among sorted values. */
INLINE void replace(wide_vec sorted[MEDIAN], wide_vec last, wide_vec next)
{
    wide_vec before = wide_below(sorted[0], last, sorted[0], sorted[1]);
    sorted[0] = wide_min(before, next);
    for (int i = 1; i < MEDIAN - 1; i++) {
        const wide_vec kept = wide_below(sorted[i], last, sorted[i], sorted[i + 1]);
        sorted[i] = wide_max(before, wide_min(kept, next));
        before = kept;
    }
    sorted[MEDIAN - 1] = wide_max(before, next);
}

static void separate(const float *mid, int64_t total, int32_t bands, int64_t first, int64_t count,
                     float *percussive, float *harmonic)
{
    for (int32_t band = 0; band < bands; band += WIDE) {
        /* The last vector overlaps with the previous one. */
        const int32_t at = band < bands - WIDE ? band : bands - WIDE;
        wide_vec sorted[MEDIAN];
        for (int i = 0; i < MEDIAN; i++)
            sorted[i] = wide_spread(INFINITY);
        for (int64_t t = -2 * SP_REACH; t < count; t++) {
            wide_vec last = wide_spread(INFINITY);
            if (t > 0)
                last = wide_load(mid + mirrored(first + t - SP_REACH - 1, total) * bands + at);
            replace(sorted, last,
                    wide_load(mid + mirrored(first + t + SP_REACH, total) * bands + at));
            if (t < 0)
                continue;
            const wide_vec median = sorted[SP_REACH];
            const wide_vec above = wide_sub(wide_load(mid + (first + t) * bands + at), median);
            wide_store(percussive + t * bands + at, wide_max(above, wide_spread(0.0f)));
            wide_store(harmonic + t * bands + at, median);
        }
    }
    logarithms(percussive, count * bands);
    logarithms(harmonic, count * bands);
}

const sp_kernel SP_JOIN(sp_kernel_, KERNEL) = {SP_NAME(KERNEL), workspace,  transform,
                                               magnitudes,      separate,   logarithms};
