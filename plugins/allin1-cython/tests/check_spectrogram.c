/* Runs every kernel of the spectrogram on one signal, once for its spectrogram and once for the views of a mix, in memory that is exactly as large as it has to be, so that a
 * sanitizer or valgrind sees each byte too many. Reads a problem as test_sanitizers.py writes it; writes the frames
 * of each kernel with its name before them.
 */
#define _POSIX_C_SOURCE 200112L
#include "checking.h"
#include "spectrogram.h"

int main(int argc, char **argv)
{
    FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL;
    FILE *out = in ? fopen(argv[2], "wb") : NULL;
    if (!out)
        return 2;
    /* channels, samples, frames, bands, weights */
    const int64_t *n = take(in, 5, sizeof *n);
    sp_tables tables = {.last_bin = 0, .bands = (int32_t)n[3]};
    tables.window = take(in, SP_WINDOW, sizeof(double));
    tables.within_side = take(in, 64, sizeof(double));
    tables.between_sides = take(in, 2 * SP_POINTS, sizeof(double));
    tables.halves = take(in, 2 * SP_POINTS, sizeof(double));
    tables.starts = take(in, n[3], sizeof(int32_t));
    tables.lengths = take(in, n[3], sizeof(int32_t));
    tables.weights = take(in, n[4], sizeof(float));
    for (int64_t band = 0; band < n[3]; band++) {
        const int32_t last = tables.starts[band] + tables.lengths[band] - 1;
        tables.last_bin = last > tables.last_bin ? last : tables.last_bin;
    }
    const sp_signal signal = {take(in, n[0] * n[1], sizeof(float)), n[0], n[1], n[1], 0};
    sp_signal difference = signal;
    difference.difference = 1;
    const int64_t frames = n[2], count = frames * n[3];
    for (int k = 0; sp_kernels[k]; k++) {
        const sp_kernel *kernel = sp_kernels[k];
        if (!runs_here(kernel->name))
            continue;
        float *values[5];
        for (int i = 0; i < 5; i++)
            values[i] = memory_of(count * sizeof **values);
        void *workspace = memory_of(kernel->workspace(&tables));
        kernel->transform(&tables, &signal, 0, frames, values[0], workspace);
        kernel->magnitudes(&tables, &signal, 0, frames, values[1], workspace);
        kernel->magnitudes(&tables, &difference, 0, frames, values[2], workspace);
        kernel->separate(values[1], frames, tables.bands, 0, frames, values[3], values[4]);
        kernel->logarithms(values[1], count);
        kernel->logarithms(values[2], count);
        for (int i = 0; i < 5; i++) {
            answer(out, kernel->name, values[i], count);
            free(values[i]);
        }
        free(workspace);
    }
    return fclose(out);
}
