/* Attention for one instruction set. The file that includes this has included the header of that instruction set, for
 * floats (isa.h lists its operations), and defines
 *
 *   ROWS, VECTORS      size of the part of a product that stays in registers; ROWS divides AT_STEP and AT_BLOCK
 *   power_of_bits(v)   the float whose exponent's bits are the low 9 bits of v's, plus 127
 *   KERNEL             name of the kernel, as an identifier
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "attention.h"

#define UNROLL 8
#include "inline.h"

/* Queries of a tile. */
#define TILE (VECTORS * LANES)

/* A power of 2^-100 does not change a sum that contains 2^0. */
#define LEAST_POWER -100.0f
#include "power_of_two.h"

/* The product of ROWS rows, which are laid out [count][ROWS], and the columns of a tile, [count][TILE]. */
INLINE void product(const float *rows, const float *columns, int64_t count, vec sum[ROWS][VECTORS])
{
    UNROLLED for (int i = 0; i < ROWS; i++)
        UNROLLED for (int v = 0; v < VECTORS; v++)
            sum[i][v] = spread(0.0f);
    for (int64_t n = 0; n < count; n++, rows += ROWS, columns += TILE) {
        vec operand[VECTORS];
        UNROLLED for (int v = 0; v < VECTORS; v++)
            operand[v] = load(columns + v * LANES);
        UNROLLED for (int i = 0; i < ROWS; i++) {
            const vec factor = spread(rows[i]);
            UNROLLED for (int v = 0; v < VECTORS; v++)
                sum[i][v] = multiply_add(factor, operand[v], sum[i][v]);
        }
    }
}

/* What is kept of a tile of queries from block to block. */
typedef struct {
    /* [width][TILE], multiplied by the scale of the scores */
    float *q;
    /* [width][TILE]: the sums of the values, times 2^(score - largest) */
    float *out;
    /* Of each query: the largest score, and the sum of 2^(score - largest) */
    vec largest[VECTORS];
    vec sum[VECTORS];
} tile;

/* Compute the scores of a block of keys, [keys][TILE], and their maximum. `k` is [keys / ROWS][width][ROWS]. */
static void set_scores(tile *t, int64_t width, const float *k, int64_t keys, float *scores)
{
    vec most[VECTORS];
    UNROLLED for (int v = 0; v < VECTORS; v++)
        most[v] = t->largest[v];
    for (int64_t n = 0; n < keys; n += ROWS, k += ROWS * width, scores += ROWS * TILE) {
        vec sum[ROWS][VECTORS];
        product(k, t->q, width, sum);
        UNROLLED for (int i = 0; i < ROWS; i++)
            UNROLLED for (int v = 0; v < VECTORS; v++) {
                store(scores + i * TILE + v * LANES, sum[i][v]);
                most[v] = larger(sum[i][v], most[v]);
            }
    }
    UNROLLED for (int v = 0; v < VECTORS; v++)
        t->largest[v] = most[v];
}

/* Replace scores by 2^(score - largest), and update their sum, which the factor rescales. */
static void exponentiate(tile *t, int64_t keys, float *scores, const vec factor[VECTORS])
{
    vec sum[VECTORS], most[VECTORS];
    UNROLLED for (int v = 0; v < VECTORS; v++) {
        sum[v] = spread(0.0f);
        most[v] = t->largest[v];
    }
    for (int64_t n = 0; n < keys; n++, scores += TILE)
        UNROLLED for (int v = 0; v < VECTORS; v++) {
            const vec power = power_of_two(subtract(load(scores + v * LANES), most[v]));
            sum[v] = add(sum[v], power);
            store(scores + v * LANES, power);
        }
    UNROLLED for (int v = 0; v < VECTORS; v++)
        t->sum[v] = multiply_add(t->sum[v], factor[v], sum[v]);
}

/* Rescale the sums of the values, and add those of a block of keys. `values` is [width / ROWS][keys][ROWS]. */
static void add_values(tile *t, int64_t width, const float *values, int64_t keys, const float *powers,
                       const vec factor[VECTORS])
{
    float *out = t->out;
    for (int64_t c = 0; c < width; c += ROWS, values += ROWS * keys, out += ROWS * TILE) {
        vec sum[ROWS][VECTORS];
        product(values, powers, keys, sum);
        UNROLLED for (int i = 0; i < ROWS; i++)
            UNROLLED for (int v = 0; v < VECTORS; v++) {
                float *target = out + i * TILE + v * LANES;
                store(target, multiply_add(load(target), factor[v], sum[i][v]));
            }
    }
}

INLINE int64_t fewer(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

INLINE int64_t whole_rows(int64_t keys)
{
    return (keys + ROWS - 1) / ROWS * ROWS;
}

/* Lay out all keys for set_scores; the last one is repeated up to a multiple of ROWS, which does not change the maximum. */
static void pack_keys(const at_head *h, float *k)
{
    for (int64_t n = 0; n < h->keys; n += ROWS, k += ROWS * h->width)
        for (int i = 0; i < ROWS; i++) {
            const float *row = h->k + fewer(n + i, h->keys - 1) * h->k_row;
            for (int64_t c = 0; c < h->width; c++)
                k[c * ROWS + i] = row[c];
        }
}

/* Lay out all values for add_values, block by block. */
static void pack_values(const at_head *h, float *values)
{
    for (int64_t block = 0; block < h->keys; block += AT_BLOCK) {
        const int64_t end = fewer(block + AT_BLOCK, h->keys);
        for (int64_t c = 0; c < h->width; c += ROWS)
            for (int64_t n = block; n < end; n++, values += ROWS)
                for (int i = 0; i < ROWS; i++)
                    values[i] = h->v[n * h->v_row + c + i];
    }
}

/* Set the queries of a tile; those after the end are zero. */
static void begin(tile *t, const at_head *h, int64_t first, int64_t count)
{
    const float scale = (float)(1.4426950408889634 / sqrt((double)h->width));
    memset(t->q, 0, h->width * TILE * sizeof *t->q);
    memset(t->out, 0, h->width * TILE * sizeof *t->out);
    for (int64_t n = 0; n < count; n++)
        for (int64_t c = 0; c < h->width; c++)
            t->q[c * TILE + n] = scale * h->q[(first + n) * h->q_row + c];
    for (int v = 0; v < VECTORS; v++) {
        t->largest[v] = spread(-FLT_MAX);
        t->sum[v] = spread(0.0f);
    }
}

/* Divide by the sums, and write the result. */
static void end_tile(tile *t, const at_head *h, int64_t first, int64_t count)
{
    for (int v = 0; v < VECTORS; v++) {
        const vec factor = divide(spread(1.0f), t->sum[v]);
        for (int64_t c = 0; c < h->width; c++) {
            float *values = t->out + c * TILE + v * LANES;
            store(values, multiply(load(values), factor));
        }
    }
    for (int64_t n = 0; n < count; n++)
        for (int64_t c = 0; c < h->width; c++)
            h->out[(first + n) * h->out_row + c] = t->out[c * TILE + n];
}

static size_t scratch(const at_head *h)
{
    /* Keys, values, the scores of a block, and a tile */
    return (size_t)(2 * whole_rows(h->keys) * h->width + AT_BLOCK * TILE + 2 * h->width * TILE);
}

static void attend(const at_head *h, int64_t first, int64_t end, float *space)
{
    const int64_t packed = whole_rows(h->keys) * h->width;
    float *k = space, *values = k + packed, *scores = values + packed;
    tile t;
    t.q = scores + AT_BLOCK * TILE;
    t.out = t.q + h->width * TILE;
    pack_keys(h, k);
    pack_values(h, values);
    for (; first < end; first += TILE) {
        const int64_t count = fewer(TILE, end - first);
        begin(&t, h, first, count);
        for (int64_t block = 0; block < h->keys; block += AT_BLOCK) {
            const int64_t keys = fewer(AT_BLOCK, h->keys - block);
            vec factor[VECTORS];
            for (int v = 0; v < VECTORS; v++)
                factor[v] = t.largest[v];
            set_scores(&t, h->width, k + block * h->width, keys, scores);
            for (int v = 0; v < VECTORS; v++)
                factor[v] = power_of_two(subtract(factor[v], t.largest[v]));
            exponentiate(&t, keys, scores, factor);
            add_values(&t, h->width, values + block * h->width, keys, scores, factor);
        }
        end_tile(&t, h, first, count);
    }
}

const at_kernel AT_JOIN(at_kernel_, KERNEL) = {AT_NAME(KERNEL), TILE, scratch, attend};
