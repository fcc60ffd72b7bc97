/* The layer for one instruction set. The file that includes this has included the header of that instruction set, for
 * floats (isa.h lists its operations; 2 LANES divide DC_STEP), and defines KERNEL, the name of the kernel. */
#include <math.h>
#include <string.h>

#include "dconv.h"

#define UNROLL 8
#include "inline.h"

/* Samples of a step. */
#define STEP (2 * LANES)

/* A step reads from many rows that are far apart, more than a hardware prefetcher follows. Samples of the same row, this
 * many floats ahead, are therefore prefetched, whether they exist or not. */
#define AHEAD 64
#define LINE 16
#if defined(__GNUC__)
#define ASK_FOR(address) __builtin_prefetch((const void *)(address))
#else
#define ASK_FOR(address) (void)(address)
#endif

INLINE void ask_for_later(const float *row)
{
    for (int i = 0; i < STEP; i += LINE)
        ASK_FOR((uintptr_t)row + (AHEAD + i) * sizeof *row);
}

INLINE int64_t fewer(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

INLINE int64_t whole_steps(int64_t samples)
{
    return (samples + STEP - 1) / STEP * STEP;
}

INLINE vec between(vec x, float bound)
{
    return smaller(larger(x, spread(-bound)), spread(bound));
}

/* x (1 + erf(x / sqrt 2)) / 2. Half the error function is x p(x^2) / q(x^2), a minimax fit on [0, 5.5] with an error of
 * 7e-9; above that it is 1/2 in single precision. */
INLINE vec gelu(vec x)
{
    const vec t = between(x, 5.5f), u = multiply(t, t);
    vec p = spread(2.274902829e-08f), q = spread(1.197465898e-06f);
    p = multiply_add(p, u, spread(6.351741071e-06f));
    p = multiply_add(p, u, spread(1.688076264e-04f));
    p = multiply_add(p, u, spread(4.677148935e-03f));
    p = multiply_add(p, u, spread(3.385115655e-02f));
    p = multiply_add(p, u, spread(3.989422348e-01f));
    q = multiply_add(q, u, spread(7.364036361e-05f));
    q = multiply_add(q, u, spread(1.884344456e-03f));
    q = multiply_add(q, u, spread(2.864496599e-02f));
    q = multiply_add(q, u, spread(2.515181867e-01f));
    q = multiply_add(q, u, spread(1.0f));
    return multiply(x, multiply_add(t, divide(p, q), spread(0.5f)));
}

/* 1 / (1 + exp(-x)), as 1/2 + x p(x^2) / q(x^2), fitted on [0, 17.5] within 7e-9. */
INLINE vec sigmoid(vec x)
{
    const vec t = between(x, 17.5f), u = multiply(t, t);
    vec p = spread(1.331585116e-11f), q = spread(3.080787310e-09f);
    p = multiply_add(p, u, spread(8.123485016e-08f));
    p = multiply_add(p, u, spread(5.478589867e-05f));
    p = multiply_add(p, u, spread(8.368637063e-03f));
    p = multiply_add(p, u, spread(2.499999821e-01f));
    q = multiply_add(q, u, spread(5.161890417e-06f));
    q = multiply_add(q, u, spread(1.619815027e-03f));
    q = multiply_add(q, u, spread(1.168078106e-01f));
    q = multiply_add(q, u, spread(1.0f));
    return multiply_add(t, divide(p, q), spread(0.5f));
}

/* A step of `rows` rows of the convolution; x points to the step's first sample. */
INLINE void narrow_rows(const int rows, const dc_layer *L, const float *x, int64_t x_row, int32_t first,
                        float *h, int64_t h_row)
{
    const float *weight = L->narrow + (size_t)first * 3 * L->channels;
    vec sum[DC_ROWS][2];
    UNROLLED for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = spread(L->narrow_bias[first + r]);
    for (int32_t c = 0; c < L->channels; c++, x += x_row) {
        if (first == 0)
            ask_for_later(x);
        UNROLLED for (int tap = -1; tap <= 1; tap++, weight += rows) {
            const vec a = load(x + tap * L->dilation), b = load(x + tap * L->dilation + LANES);
            UNROLLED for (int r = 0; r < rows; r++) {
                const vec w = spread(weight[r]);
                sum[r][0] = multiply_add(w, a, sum[r][0]);
                sum[r][1] = multiply_add(w, b, sum[r][1]);
            }
        }
    }
    UNROLLED for (int r = 0; r < rows; r++) {
        store(h + (first + r) * h_row, sum[r][0]);
        store(h + (first + r) * h_row + LANES, sum[r][1]);
    }
}

static void narrow_step(const dc_layer *L, const float *x, int64_t x_row, float *h, int64_t h_row)
{
    int32_t row = 0;
    for (; row + DC_ROWS <= L->hidden; row += DC_ROWS)
        narrow_rows(DC_ROWS, L, x, x_row, row, h, h_row);
    switch (L->hidden - row) {
    case 1: narrow_rows(1, L, x, x_row, row, h, h_row); break;
    case 2: narrow_rows(2, L, x, x_row, row, h, h_row); break;
    case 3: narrow_rows(3, L, x, x_row, row, h, h_row); break;
    case 4: narrow_rows(4, L, x, x_row, row, h, h_row); break;
    case 5: narrow_rows(5, L, x, x_row, row, h, h_row); break;
    default: break;
    }
}

/* The samples that a step at an end of the signal reads, with zeros outside of it: edge[channels][STEP + 2 dilation] */
static void fill_edge(const dc_layer *L, const dc_signal *x, int64_t start, float *edge)
{
    const int64_t width = STEP + 2 * L->dilation, from = start - L->dilation;
    const int64_t low = from < 0 ? -from : 0, high = fewer(width, x->length - from);
    for (int32_t c = 0; c < L->channels; c++, edge += width) {
        memset(edge, 0, width * sizeof *edge);
        if (low < high)
            memcpy(edge + low, x->samples + c * x->row + from + low, (high - low) * sizeof *edge);
    }
}

/* Sum and sum of squares of h, in double precision, to avoid cancellation in their difference. */
static void add_up(const dc_layer *L, const float *h, int64_t h_row, int64_t begin, int64_t end,
                   double *sums)
{
    double sum[8] = {0}, square[8] = {0};
    for (int32_t row = 0; row < L->hidden; row++, h += h_row) {
        int64_t t = begin;
        for (; t + 8 <= end; t += 8)
            for (int i = 0; i < 8; i++) {
                const double value = h[t + i];
                sum[i] += value;
                square[i] += value * value;
            }
        for (int i = 0; t + i < end; i++) {
            const double value = h[t + i];
            sum[i] += value;
            square[i] += value * value;
        }
    }
    sums[0] = sums[1] = 0;
    for (int i = 0; i < 8; i++) {
        sums[0] += sum[i];
        sums[1] += square[i];
    }
}

static void narrow(const dc_layer *L, const dc_signal *x, float *h, int64_t h_row, int64_t first,
                   int64_t end, double *sums, float *edge)
{
    for (int64_t block = first; block < end; block++) {
        const int64_t start = block * DC_BLOCK, stop = fewer(start + DC_BLOCK, x->length);
        for (int64_t t = start; t < stop; t += STEP)
            if (t >= L->dilation && t + STEP + L->dilation <= x->length)
                narrow_step(L, x->samples + t, x->row, h + t, h_row);
            else {
                fill_edge(L, x, t, edge);
                narrow_step(L, edge + L->dilation, STEP + 2 * L->dilation, h + t, h_row);
            }
        add_up(L, h, h_row, start, stop, sums + 2 * block);
    }
}

/* Sums of products of two rows with two others. */
INLINE void products(const float *one, const float *other, int64_t row, int64_t begin, int64_t end,
                     float out[4])
{
    vec a = spread(0.0f), b = a, c = a, d = a;
    for (int64_t t = begin; t < end; t += LANES) {
        const vec p = load(one + t), q = load(one + row + t);
        const vec r = load(other + t), s = load(other + row + t);
        a = multiply_add(p, r, a);
        b = multiply_add(p, s, b);
        c = multiply_add(q, r, c);
        d = multiply_add(q, s, d);
    }
    out[0] = total(a);
    out[1] = total(b);
    out[2] = total(c);
    out[3] = total(d);
}

static void activate(const dc_layer *L, int64_t length, float *h, int64_t h_row, int64_t first,
                     int64_t end, const double *sums, double *moments)
{
    const double count = (double)length * L->hidden, mean = sums[0] / count;
    const double variance = sums[1] / count - mean * mean;
    const double factor = 1 / sqrt((variance > 0 ? variance : 0 * variance) + L->eps);
    const int32_t even = L->hidden + L->hidden % 2;
    for (int64_t block = first; block < end; block++) {
        const int64_t start = block * DC_BLOCK, stop = fewer(start + DC_BLOCK, length);
        const int64_t padded = start + whole_steps(stop - start);
        double *out = moments + 3 * block;
        out[0] = out[1] = out[2] = 0;
        for (int32_t row = 0; row < L->hidden; row++) {
            float *values = h + row * h_row;
            const double gain = L->gain[row] * factor;
            const vec scale = spread((float)gain), offset = spread((float)(L->shift[row] - mean * gain));
            vec sum = spread(0.0f);
            for (int64_t t = start; t < padded; t += LANES)
                store(values + t, gelu(multiply_add(load(values + t), scale, offset)));
            /* Zeros after the end do not change the sums. */
            for (int64_t t = stop; t < padded; t++)
                values[t] = 0.0f;
            for (int64_t t = start; t < padded; t += LANES)
                sum = add(sum, load(values + t));
            const double of_row = total(sum);
            out[0] += L->row_sum[row] * of_row;
            out[1] += L->biased_sum[row] * of_row;
        }
        if (even > L->hidden)
            for (int64_t t = start; t < padded; t++)
                h[L->hidden * h_row + t] = 0.0f;
        for (int32_t i = 0; i < even; i += 2)
            for (int32_t j = 0; j <= i; j += 2) {
                float square[4];
                const double *gram = L->gram + (size_t)i * even + j;
                products(h + i * h_row, h + j * h_row, h_row, start, padded, square);
                out[2] += gram[0] * square[0] + gram[1] * square[1] + gram[even] * square[2]
                          + gram[even + 1] * square[3];
            }
    }
}

/* A step of `pairs` channels: x += a' sigmoid(g'), where a' and g' are rows of the product times their
 * factors plus their offsets. `x` is [pairs][x_row]. */
INLINE void widen_pairs(const int pairs, const dc_layer *L, int32_t first, const float *h,
                        int64_t h_row, const float *factor, const float *offset, float *x,
                        int64_t x_row)
{
    const float *weight = L->widen + (size_t)first * 2 * L->hidden;
    vec sum[2 * DC_PAIRS][2];
    UNROLLED for (int r = 0; r < 2 * pairs; r++)
        sum[r][0] = sum[r][1] = spread(0.0f);
    UNROLLED for (int r = 0; r < pairs; r++)
        ask_for_later(x + r * x_row);
    for (int32_t j = 0; j < L->hidden; j++, h += h_row, weight += 2 * pairs) {
        const vec a = load(h), b = load(h + LANES);
        UNROLLED for (int r = 0; r < 2 * pairs; r++) {
            const vec w = spread(weight[r]);
            sum[r][0] = multiply_add(w, a, sum[r][0]);
            sum[r][1] = multiply_add(w, b, sum[r][1]);
        }
    }
    UNROLLED for (int r = 0; r < pairs; r++)
        UNROLLED for (int v = 0; v < 2; v++) {
            const int32_t a = first + r, g = L->channels + first + r;
            const vec value = multiply_add(sum[r][v], spread(factor[a]), spread(offset[a]));
            const vec gate = multiply_add(sum[pairs + r][v], spread(factor[g]), spread(offset[g]));
            float *target = x + r * x_row + v * LANES;
            store(target, multiply_add(value, sigmoid(gate), load(target)));
        }
}

INLINE void widen_step(const int pairs, const dc_layer *L, int32_t first, const float *h, int64_t h_row,
                       const float *factor, const float *offset, float *x, int64_t x_row, int64_t left)
{
    if (left >= STEP) {
        widen_pairs(pairs, L, first, h, h_row, factor, offset, x, x_row);
        return;
    }
    float rest[DC_PAIRS * STEP] = {0};
    for (int r = 0; r < pairs; r++)
        memcpy(rest + r * STEP, x + r * x_row, left * sizeof *x);
    widen_pairs(pairs, L, first, h, h_row, factor, offset, rest, STEP);
    for (int r = 0; r < pairs; r++)
        memcpy(x + r * x_row, rest + r * STEP, left * sizeof *x);
}

static void widen(const dc_layer *L, const dc_signal *x, const float *h, int64_t h_row, int64_t first,
                  int64_t end, const double *moments, float *scratch)
{
    const int32_t rows = 2 * L->channels;
    const double mean = (moments[0] / x->length + L->bias_sum) / rows;
    const double square =
        ((moments[2] + 2 * moments[1]) / x->length + L->bias_square) / rows;
    const double variance = square - mean * mean;
    const double deviation = 1 / sqrt((variance > 0 ? variance : 0 * variance) + L->widen_eps);
    float *factor = scratch, *offset = scratch + rows;
    for (int32_t r = 0; r < rows; r++) {
        /* Only the linear half is scaled. */
        const double scale = r < L->channels ? L->scale[r] : 1;
        const double gain = L->widen_gain[r] * deviation;
        factor[r] = (float)(scale * gain);
        offset[r] = (float)(scale * ((L->widen_bias[r] - mean) * gain + L->widen_shift[r]));
    }
    const int64_t stop = fewer(end * DC_BLOCK, x->length);
    for (int64_t t = first * DC_BLOCK; t < stop; t += STEP) {
        float *target = x->samples + t;
        int32_t c = 0;
        for (; c + DC_PAIRS <= L->channels; c += DC_PAIRS)
            widen_step(DC_PAIRS, L, c, h + t, h_row, factor, offset, target + c * x->row, x->row,
                       x->length - t);
        if (c < L->channels)
            widen_step(1, L, c, h + t, h_row, factor, offset, target + c * x->row, x->row,
                       x->length - t);
    }
}

static size_t edge_size(const dc_layer *L)
{
    const size_t edge = (size_t)L->channels * (STEP + 2 * (size_t)L->dilation);
    const size_t factors = 4 * (size_t)L->channels;
    return ((edge > factors ? edge : factors) + 15) / 16 * 16;
}

static size_t blocks_of(int64_t length)
{
    return (size_t)((length + DC_BLOCK - 1) / DC_BLOCK);
}

static size_t scratch(const dc_layer *L, int64_t length)
{
    const size_t h = (size_t)(L->hidden + L->hidden % 2) * whole_steps(length);
    /* Space for the edge or the factors, for h, and for sums and moments in double precision, which `all_layers` needs */
    return edge_size(L) + (h + 15) / 16 * 16 + 2 * 5 * blocks_of(length);
}

static void all_layers(const dc_layer *layers, int32_t count, const dc_signal *x, float *space)
{
    const int64_t h_row = whole_steps(x->length), blocks = (int64_t)blocks_of(x->length);
    for (int32_t n = 0; n < count; n++) {
        const dc_layer *L = layers + n;
        const size_t h_size = ((size_t)(L->hidden + L->hidden % 2) * h_row + 15) / 16 * 16;
        float *h = space + edge_size(L);
        double *sums = (double *)(h + h_size), *moments = sums + 2 * blocks;
        narrow(L, x, h, h_row, 0, blocks, sums, space);
        for (int64_t block = 1; block < blocks; block++)
            for (int i = 0; i < 2; i++)
                sums[i] += sums[2 * block + i];
        activate(L, x->length, h, h_row, 0, blocks, sums, moments);
        for (int64_t block = 1; block < blocks; block++)
            for (int i = 0; i < 3; i++)
                moments[i] += moments[3 * block + i];
        widen(L, x, h, h_row, 0, blocks, moments, space);
    }
}

const dc_kernel DC_JOIN(dc_kernel_, KERNEL) = {DC_NAME(KERNEL), scratch, narrow,
                                               activate, widen, all_layers};
