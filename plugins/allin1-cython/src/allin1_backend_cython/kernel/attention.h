/* Attention: softmax(q k' / sqrt(width)) v for one head, in single precision, without storing the scores.
 *
 * The lanes of a vector are queries. A tile of queries meets the keys block by block: the scores of a block are
 * exponentiated relative to the largest score so far, and what was summed up before is rescaled to it.
 */
#ifndef ALLIN1_ATTENTION_H
#define ALLIN1_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

/* The width of a head is a multiple of this. */
#define AT_STEP 8

/* Keys of a block. Their scores, for a tile of queries, stay in the cache; and only so many products are summed up
 * one after the other, which limits rounding errors. */
#define AT_BLOCK 128

typedef struct {
    /* Each row has `width` contiguous values; the distance between rows is in values. */
    const float *q, *k, *v;
    float *out;
    int64_t q_row, k_row, v_row, out_row;
    /* At least 1 */
    int64_t queries, keys, width;
} at_head;

typedef struct {
    const char *name;
    /* Number of queries in a tile. */
    int64_t tile;
    /* Number of floats of scratch space that a call needs. */
    size_t (*scratch)(const at_head *head);
    /* Compute the rows first <= n < end of `out`. `scratch` is aligned to 64 bytes. */
    void (*attend)(const at_head *head, int64_t first, int64_t end, float *scratch);
} at_kernel;

#define AT_JOIN_(a, b) a##b
#define AT_JOIN(a, b) AT_JOIN_(a, b)
#define AT_NAME_(name) #name
#define AT_NAME(name) AT_NAME_(name)

/* The kernels of this architecture; ends with NULL. */
extern const at_kernel *const at_kernels[];

#endif
