/* The residual branch of Demucs over time (DConv), in place, in single precision. A layer of it is
 *
 *   h = gelu(norm(narrow * x))      a convolution of three taps, `dilation` apart, from C to H channels
 *   (a, g) = norm(widen h)          a product from H to 2 C channels
 *   x += scale a sigmoid(g)
 *
 * with norms over all channels and samples of x (GroupNorm of one group). Nothing of the 2 C channels is stored:
 * their mean and mean square follow from those of the H channels, sum(h) and <widen' widen, h h'>, so that the
 * second norm is a factor and an offset for each row of the product.
 *
 * A layer is three passes over the samples, `narrow`, `activate` and `widen`. Threads can share each of them.
 */
#ifndef ALLIN1_DCONV_H
#define ALLIN1_DCONV_H

#include <stddef.h>
#include <stdint.h>

/* Rows of `narrow` and pairs of rows of `widen` that are computed together, and packed together. */
#define DC_ROWS 6
#define DC_PAIRS 2

/* Samples of a block, a multiple of the step of every kernel. The sums of a norm are computed block by block. */
#define DC_BLOCK 512

/* The number of samples in a step divides this; the length of rows of h is a multiple of it. */
#define DC_STEP 32

typedef struct {
    int32_t channels;
    int32_t hidden;
    int32_t dilation;
    /* Rows in groups of DC_ROWS, the last one possibly smaller: [channels][3][rows of the group] */
    const float *narrow;
    const float *narrow_bias;
    const float *gain;
    const float *shift;
    double eps;
    /* Channels in groups of DC_PAIRS, the last one possibly smaller: [hidden][a rows, then g rows] */
    const float *widen;
    const float *widen_bias;
    const float *widen_gain;
    const float *widen_shift;
    double widen_eps;
    const float *scale;
    /* [even][even], even = hidden rounded up to even: widen' widen in squares of 2 x 2; those left of the diagonal
     * doubled, those right of it not used */
    const double *gram;
    /* [hidden]: sum of the rows of widen, and sum of its rows times widen_bias */
    const double *row_sum;
    const double *biased_sum;
    /* Sum of widen_bias, and of its squares */
    double bias_sum;
    double bias_square;
} dc_layer;

typedef struct {
    /* [channels][row]: the first `length` of a row are samples */
    float *samples;
    int64_t row;
    int64_t length;
} dc_signal;

typedef struct {
    const char *name;
    /* Number of floats of scratch space that a call needs. */
    size_t (*scratch)(const dc_layer *layer, int64_t length);
    /* Blocks first <= n < end. h: [even][h_row], aligned to 64 bytes; sums[block][2] */
    void (*narrow)(const dc_layer *layer, const dc_signal *x, float *h, int64_t h_row, int64_t first,
                   int64_t end, double *sums, float *scratch);
    /* `sums` are totals over all blocks; moments[block][3] */
    void (*activate)(const dc_layer *layer, int64_t length, float *h, int64_t h_row, int64_t first,
                     int64_t end, const double *sums, double *moments);
    /* `moments` are totals over all blocks. */
    void (*widen)(const dc_layer *layer, const dc_signal *x, const float *h, int64_t h_row,
                  int64_t first, int64_t end, const double *moments, float *scratch);
    /* All layers of a signal, one after the other; `scratch` has the size that the largest layer needs. */
    void (*all_layers)(const dc_layer *layers, int32_t count, const dc_signal *x, float *scratch);
} dc_kernel;

#define DC_JOIN_(a, b) a##b
#define DC_JOIN(a, b) DC_JOIN_(a, b)
#define DC_NAME_(name) #name
#define DC_NAME(name) DC_NAME_(name)

/* The kernels of this architecture; ends with NULL. */
extern const dc_kernel *const dc_kernels[];

#endif
