/* The front end: three convolutions over frames and bands that leave 24 channels of each instrument.
 *
 * Rows are ordered by band, and by channel within a band, so that the inputs of a convolution around one band are
 * consecutive rows.
 */
#include <string.h>

#include "network_product.h"

#define BAND_COLUMNS (NN_COLUMNS + 2 * NN_INSTRUMENTS)
/* Columns of two frames that the previous step leaves for the third convolution. */
#define LEFT (2 * NN_INSTRUMENTS)
#define SECOND_COLUMNS (LEFT + NN_COLUMNS)

/* The frames from `first` - 1 to `first` + 16, as planes; zeros outside the song. */
static void read_bands(const nn_song *song, int64_t first, float (*bands)[BAND_COLUMNS])
{
    for (int f = 0; f < NN_FRAMES + 2; f++)
        for (int i = 0; i < NN_INSTRUMENTS; i++) {
            const int64_t frame = first - 1 + f;
            const int column = NN_INSTRUMENTS * f + i;
            if (frame < 0 || frame >= song->frames) {
                for (int b = 0; b < NN_BANDS; b++)
                    bands[b][column] = 0.0f;
            } else {
                const float *source = song->spectrogram + (i * song->frames + frame) * NN_BANDS;
                for (int b = 0; b < NN_BANDS; b++)
                    bands[b][column] = source[b];
            }
        }
}

/* LayerNorm, then subtraction of the mean that its gain and bias leave. */
static void normalise_front(const nn_network *network, float *x)
{
    for (int column = 0; column < NN_COLUMNS; column += LANES) {
        float *own = x + column;
        vec sum = spread(0.0f);
        centre(own, NN_CHANNELS);
        for (int c = 0; c < NN_CHANNELS; c++) {
            const vec value = load(own + c * NN_COLUMNS);
            sum = multiply_add(value, value, sum);
        }
        sum = multiply_add(sum, spread(1.0f / NN_CHANNELS), spread(NORM_EPSILON));
        const vec scale = divide(spread(1.0f), square_root(sum));
        for (int c = 0; c < NN_CHANNELS; c++) {
            float *value = own + c * NN_COLUMNS;
            store(value, multiply_add(multiply(load(value), scale), spread(network->gain[c]),
                                      spread(network->bias[c])));
        }
        centre(own, NN_CHANNELS);
    }
}

/* Copy the columns of the frames from `first` on to the state, except those before `begin` and from `end` on. */
static void write_state(const nn_song *song, const float *x, int64_t first, int64_t begin, int64_t end)
{
    int64_t frame = first > begin ? first : begin;
    end = end < first + NN_FRAMES ? end : first + NN_FRAMES;
    while (frame < end) {
        const int64_t tile = frame / NN_FRAMES;
        const int64_t until = (tile + 1) * NN_FRAMES < end ? (tile + 1) * NN_FRAMES : end;
        const size_t size = (size_t)(until - frame) * NN_INSTRUMENTS * sizeof *x;
        float *target = song->state + tile * NN_STATE + (frame % NN_FRAMES) * NN_INSTRUMENTS;
        const float *source = x + (frame - first) * NN_INSTRUMENTS;
        for (int c = 0; c < NN_CHANNELS; c++)
            memcpy(target + c * NN_COLUMNS, source + c * NN_COLUMNS, size);
        frame = until;
    }
}

/* One unit: NN_FRONT_FRAMES frames of the state. */
static void front_end(const nn_network *network, const nn_song *song, int64_t unit, nn_scratch *scratch)
{
    const int64_t begin = unit * NN_FRONT_FRAMES;
    const int64_t end =
        begin + NN_FRONT_FRAMES < song->frames ? begin + NN_FRONT_FRAMES : song->frames;
    float (*bands)[BAND_COLUMNS] = scratch->front.bands;
    float (*x)[NN_COLUMNS] = scratch->front.first;
    float (*second)[SECOND_COLUMNS] = scratch->front.second;
    float *third = &scratch->front.third[0][0];

    /* The first two convolutions start at `first`. The third, which reads both sides, starts one frame earlier,
     * with the frames that the previous step left. The first two frames of the first step belong to no unit. */
    for (int64_t first = begin - 1; first <= end; first += NN_FRAMES) {
        read_bands(song, first, bands);
        for (int b = 0; b < 26; b++)
            pooled_product(12, 3, 3, network->first.weight, network->first.bias, bands[3 * b],
                           BAND_COLUMNS, NN_INSTRUMENTS, BAND_COLUMNS, x[12 * b], NN_COLUMNS);
        for (int r = 0; r < 5 * NN_CHANNELS; r++)
            memmove(second[r], second[r] + NN_COLUMNS, LEFT * sizeof **second);
        for (int b = 0; b < 5; b++)
            pooled_product(NN_CHANNELS, 1, 144, network->second.weight, network->second.bias,
                           x[36 * b], NN_COLUMNS, 0, 12 * NN_COLUMNS,
                           second[NN_CHANNELS * b] + LEFT, SECOND_COLUMNS);
        /* Outside the song the third convolution reads zeros, not the response of the biases to silence. */
        for (int f = 0; f < NN_FRAMES; f++)
            if (first + f < 0 || first + f >= song->frames)
                for (int r = 0; r < 5 * NN_CHANNELS; r++)
                    memset(second[r] + LEFT + NN_INSTRUMENTS * f, 0,
                           NN_INSTRUMENTS * sizeof **second);
        pooled_product(NN_CHANNELS, 3, 3 * NN_CHANNELS, network->third.weight, network->third.bias,
                       second[0], SECOND_COLUMNS, NN_INSTRUMENTS,
                       (ptrdiff_t)NN_CHANNELS * SECOND_COLUMNS, third, NN_COLUMNS);
        normalise_front(network, third);
        write_state(song, third, first - 1, begin, end);
    }
}
