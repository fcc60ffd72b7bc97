/* Runs a layer of the residual branch with every kernel, at once and in passes, in memory that is exactly as large as
 * it has to be, so that a sanitizer or valgrind sees each byte too many. Reads a problem as test_sanitizers.py
 * writes it; writes both results of each kernel with its name before them.
 */
#define _POSIX_C_SOURCE 200112L
#include "checking.h"
#include "dconv.h"

static dc_layer layer;
static int64_t length;

/* In passes, each block by itself, as threads share them out. */
static void in_passes(const dc_kernel *kernel, const dc_signal *x)
{
    const int64_t even = layer.hidden + layer.hidden % 2;
    const int64_t h_row = (length + DC_STEP - 1) / DC_STEP * DC_STEP;
    const int64_t blocks = (length + DC_BLOCK - 1) / DC_BLOCK;
    float *h = memory_of(even * h_row * sizeof *h);
    float *scratch = memory_of(kernel->scratch(&layer, 1) * sizeof *scratch);
    double *sums = memory_of(2 * blocks * sizeof *sums);
    double *moments = memory_of(3 * blocks * sizeof *moments);
    double sum[2] = {0}, moment[3] = {0};
    for (int64_t block = blocks; block-- > 0;)
        kernel->narrow(&layer, x, h, h_row, block, block + 1, sums, scratch);
    for (int64_t i = 0; i < 2 * blocks; i++)
        sum[i % 2] += sums[i];
    for (int64_t block = blocks; block-- > 0;)
        kernel->activate(&layer, length, h, h_row, block, block + 1, sum, moments);
    for (int64_t i = 0; i < 3 * blocks; i++)
        moment[i % 3] += moments[i];
    for (int64_t block = blocks; block-- > 0;)
        kernel->widen(&layer, x, h, h_row, block, block + 1, moment, scratch);
    free(h);
    free(scratch);
    free(sums);
    free(moments);
}

int main(int argc, char **argv)
{
    FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL;
    FILE *out = in ? fopen(argv[2], "wb") : NULL;
    if (!out)
        return 2;
    /* channels, hidden, dilation, samples */
    const int64_t *n = take(in, 4, sizeof *n);
    const size_t channels = n[0], hidden = n[1], even = hidden + hidden % 2;
    length = n[3];
    layer.channels = (int32_t)n[0];
    layer.hidden = (int32_t)n[1];
    layer.dilation = (int32_t)n[2];
    layer.narrow = take(in, 3 * channels * hidden, sizeof(float));
    layer.narrow_bias = take(in, hidden, sizeof(float));
    layer.gain = take(in, hidden, sizeof(float));
    layer.shift = take(in, hidden, sizeof(float));
    layer.widen = take(in, 2 * channels * hidden, sizeof(float));
    layer.widen_bias = take(in, 2 * channels, sizeof(float));
    layer.widen_gain = take(in, 2 * channels, sizeof(float));
    layer.widen_shift = take(in, 2 * channels, sizeof(float));
    layer.scale = take(in, channels, sizeof(float));
    layer.gram = take(in, even * even, sizeof(double));
    layer.row_sum = take(in, hidden, sizeof(double));
    layer.biased_sum = take(in, hidden, sizeof(double));
    const double *numbers = take(in, 4, sizeof(double));
    layer.eps = numbers[0];
    layer.widen_eps = numbers[1];
    layer.bias_sum = numbers[2];
    layer.bias_square = numbers[3];
    const size_t size = channels * length;
    const float *samples = take(in, size, sizeof(float));
    for (int k = 0; dc_kernels[k]; k++) {
        if (!runs_here(dc_kernels[k]->name))
            continue;
        for (int passes = 0; passes < 2; passes++) {
            const dc_signal x = {memory_of(size * sizeof(float)), length, length};
            memcpy(x.samples, samples, size * sizeof(float));
            if (passes)
                in_passes(dc_kernels[k], &x);
            else {
                float *scratch = memory_of(dc_kernels[k]->scratch(&layer, length) * sizeof *scratch);
                dc_kernels[k]->all_layers(&layer, 1, &x, scratch);
                free(scratch);
            }
            answer(out, dc_kernels[k]->name, x.samples, size);
            free(x.samples);
        }
    }
    return fclose(out);
}
