/* The time layer: each instrument's frames attend to five of their neighbours, at two dilations.
 *
 * The window of five is centred on its query and shifted, not padded, at the ends of the song; with a
 * dilation of d it takes every d-th frame. So a query's keys begin 0, 1, 2, 3 or 4 steps of d before it, and
 * which it is depends only on where the query lies: in [0, d), [d, 2d), the middle, [T-2d, T-d) or [T-d, T),
 * T being the length with padding.
 */
#include "network_front_end.h"

#define AROUND_COLUMNS (NN_HALO + NN_COLUMNS + NN_HALO)

/* Number of frames that the original network pads a song to, for a layer with this first dilation. */
INLINE int64_t padded_frames(int64_t frames, int64_t dilation)
{
    return frames < 10 * dilation ? 10 * dilation : frames;
}

/* Steps between the first key of a window and its query. */
INLINE int steps_before(int64_t frame, int64_t dilation, int64_t padded)
{
    return (frame >= dilation) + (frame >= 2 * dilation) + (frame >= padded - 2 * dilation) +
           (frame >= padded - dilation);
}

/* Attention of the queries of one vector: 24 rows of queries and of results, a tile's row apart; keys[n]
 * points to the keys at position n of the window, in rows `row` apart; the values follow 24 rows later. */
INLINE void attend_to_five(const float *query, const float *const keys[NN_WINDOW], ptrdiff_t row,
                           const vec position[NN_HEADS][NN_WINDOW], float *context)
{
    for (int head = 0; head < NN_HEADS; head++) {
        ptrdiff_t r = (ptrdiff_t)head * NN_HEAD_CHANNELS;
        vec weight[NN_WINDOW], sum;
        UNROLLED for (int n = 0; n < NN_WINDOW; n++)
            weight[n] = position[head][n];
        for (int c = 0; c < NN_HEAD_CHANNELS; c++) {
            const vec q = load(query + (r + c) * NN_COLUMNS);
            UNROLLED for (int n = 0; n < NN_WINDOW; n++)
                weight[n] = multiply_add(q, load(keys[n] + (r + c) * row), weight[n]);
        }
        vec most = weight[0];
        UNROLLED for (int n = 1; n < NN_WINDOW; n++)
            most = larger(most, weight[n]);
        UNROLLED for (int n = 0; n < NN_WINDOW; n++)
            weight[n] = power_of_two(subtract(weight[n], most));
        sum = add(add(add(weight[0], weight[1]), add(weight[2], weight[3])), weight[4]);
        const vec scale = divide(spread(1.0f), sum);
        UNROLLED for (int n = 0; n < NN_WINDOW; n++)
            weight[n] = multiply(weight[n], scale);
        for (int c = 0; c < NN_HEAD_CHANNELS; c++) {
            vec value = multiply(weight[0], load(keys[0] + (NN_CHANNELS + r + c) * row));
            UNROLLED for (int n = 1; n < NN_WINDOW; n++)
                value = multiply_add(weight[n], load(keys[n] + (NN_CHANNELS + r + c) * row), value);
            store(context + (r + c) * NN_COLUMNS, value);
        }
    }
}

/* Copy the keys and values of each lane, for vectors whose lanes have different windows. */
static void gather_in_time(const float *keys_values, const float *bias, int64_t dilation,
                           int64_t padded, int64_t frame, nn_scratch *scratch,
                           vec position[NN_HEADS][NN_WINDOW])
{
    float biases[NN_HEADS][NN_WINDOW][LANES];
    for (int lane = 0; lane < LANES; lane++) {
        const int64_t own = frame + lane / NN_INSTRUMENTS;
        const int before = steps_before(own, dilation, padded);
        for (int n = 0; n < NN_WINDOW; n++) {
            const int64_t key = own + (n - before) * dilation;
            const float *source = keys_values + key / NN_FRAMES * NN_KEYS_VALUES +
                                  key % NN_FRAMES * NN_INSTRUMENTS + lane % NN_INSTRUMENTS;
            for (int r = 0; r < 2 * NN_CHANNELS; r++)
                scratch->layer.gathered[r][n][lane] = source[r * NN_COLUMNS];
            for (int head = 0; head < NN_HEADS; head++)
                biases[head][n][lane] = bias[head * (2 * NN_WINDOW - 1) + 4 + n - before];
        }
    }
    for (int head = 0; head < NN_HEADS; head++)
        for (int n = 0; n < NN_WINDOW; n++)
            position[head][n] = load(biases[head][n]);
}

/* Attention at one dilation for a tile's queries; `keys_values` are those of tile 0. */
static void attend_in_time(const nn_song *song, const float *query, const float *keys_values,
                           const float *bias, int64_t dilation, int64_t padded, int64_t tile,
                           nn_scratch *scratch)
{
    const int whole = dilation % VECTOR_FRAMES == 0;
    const float *own = keys_values + tile * NN_KEYS_VALUES;
    float (*around)[AROUND_COLUMNS] = scratch->layer.around[0];
    float *context = &scratch->layer.context[0][0];
    if (!whole)
        /* The shifts are not multiples of the vector: copy the tile between the ends of its neighbours. */
        for (int r = 0; r < 2 * NN_CHANNELS; r++) {
            const float *row = own + r * NN_COLUMNS;
            if (tile > 0)
                memcpy(around[r], row - NN_KEYS_VALUES + NN_COLUMNS - NN_HALO,
                       NN_HALO * sizeof *row);
            memcpy(around[r] + NN_HALO, row, NN_COLUMNS * sizeof *row);
            memcpy(around[r] + NN_HALO + NN_COLUMNS, row + NN_KEYS_VALUES, NN_HALO * sizeof *row);
        }
    for (int column = 0; column < NN_COLUMNS; column += LANES) {
        const int64_t frame = tile * NN_FRAMES + column / NN_INSTRUMENTS;
        const int before = steps_before(frame, dilation, padded);
        const float *keys[NN_WINDOW];
        vec position[NN_HEADS][NN_WINDOW];
        ptrdiff_t row = NN_COLUMNS;
        if (frame >= song->frames) {
            for (int c = 0; c < NN_CHANNELS; c++)
                store(context + c * NN_COLUMNS + column, spread(0.0f));
            continue;
        }
        if (before != steps_before(frame + VECTOR_FRAMES - 1, dilation, padded) ||
            (!whole && before != NN_WINDOW / 2)) {
            gather_in_time(keys_values, bias, dilation, padded, frame, scratch, position);
            row = NN_WINDOW * NN_FRAMES;
            for (int n = 0; n < NN_WINDOW; n++)
                keys[n] = scratch->layer.gathered[0][n];
        } else {
            for (int n = 0; n < NN_WINDOW; n++) {
                const int64_t key = frame + (n - before) * dilation;
                keys[n] = whole ? keys_values + key / NN_FRAMES * NN_KEYS_VALUES +
                                      key % NN_FRAMES * NN_INSTRUMENTS
                                : around[0] + NN_HALO + column +
                                      (n - before) * dilation * NN_INSTRUMENTS;
                for (int head = 0; head < NN_HEADS; head++)
                    position[head][n] =
                        spread(bias[head * (2 * NN_WINDOW - 1) + 4 + n - before]);
            }
            row = whole ? NN_COLUMNS : AROUND_COLUMNS;
        }
        attend_to_five(query + column, keys, row, (const vec(*)[NN_WINDOW])position,
                       context + column);
    }
}
