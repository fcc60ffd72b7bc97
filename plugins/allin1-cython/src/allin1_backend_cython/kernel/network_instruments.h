/* The instrument layer: every instrument attends to all instruments in five frames around its own.
 *
 * The window is five instruments wide, but there are only four; the fifth is padding, whose keys and values
 * are zero, and adds a constant to the softmax's denominator. The lanes of a frame's four instruments
 * are rotated against each other, so that one load of keys serves four scores of each query: at turn r the
 * lane of key instrument k holds the query of instrument k - r.
 */
#include "network_time.h"

#define SCORES (NN_INSTRUMENTS * NN_WINDOW)

/* Lane i of each four gets lane (i + by) % 4; `by` is a constant where this is inlined. */
INLINE vec turned_by(vec v, int by)
{
    switch (by & 3) {
    case 1: return turned_1(v);
    case 2: return turned_2(v);
    case 3: return turned_3(v);
    default: return v;
    }
}

/* The tables of a window that begins `before` frames before its query, for the lanes from `lane` on to
 * `end`. */
static void fill_tables(const nn_instrument_layer *layer, int before, int lane, int end,
                        float (*tables)[SCORES + 1][NN_FRAMES])
{
    for (int head = 0; head < NN_HEADS; head++)
        for (int l = lane; l < end; l++) {
            const int i = l % NN_INSTRUMENTS;
            for (int turn = 0; turn < NN_INSTRUMENTS; turn++)
                for (int n = 0; n < NN_WINDOW; n++)
                    tables[head][turn * NN_WINDOW + n][l] =
                        layer->position[before][head][turn][n][i];
            tables[head][SCORES][l] = layer->outside[before][head][i];
        }
}

/* Attention of the queries of one vector; arguments as in attend_to_five(). */
INLINE void attend_to_twenty(const float *query, const float *const keys[NN_WINDOW], ptrdiff_t row,
                             float (*tables)[SCORES + 1][NN_FRAMES], float (*weights)[NN_FRAMES],
                             float *context)
{
    for (int head = 0; head < NN_HEADS; head++) {
        const ptrdiff_t r = (ptrdiff_t)head * NN_HEAD_CHANNELS;
        const vec outside = load(tables[head][SCORES]);
        vec most = outside;
        UNROLLED for (int turn = 0; turn < NN_INSTRUMENTS; turn += TURNS) {
            vec score[TURNS][NN_WINDOW];
            UNROLLED for (int t = 0; t < TURNS; t++)
                UNROLLED for (int n = 0; n < NN_WINDOW; n++)
                    score[t][n] = load(tables[head][(turn + t) * NN_WINDOW + n]);
            for (int c = 0; c < NN_HEAD_CHANNELS; c++) {
                const vec q = load(query + (r + c) * NN_COLUMNS);
                vec at_key[TURNS];
                UNROLLED for (int t = 0; t < TURNS; t++)
                    at_key[t] = turned_by(q, NN_INSTRUMENTS - turn - t);
                UNROLLED for (int n = 0; n < NN_WINDOW; n++) {
                    const vec key = load(keys[n] + (r + c) * row);
                    UNROLLED for (int t = 0; t < TURNS; t++)
                        score[t][n] = multiply_add(at_key[t], key, score[t][n]);
                }
            }
            UNROLLED for (int t = 0; t < TURNS; t++) {
                vec largest = score[t][0];
                UNROLLED for (int n = 1; n < NN_WINDOW; n++)
                    largest = larger(largest, score[t][n]);
                most = larger(most, turned_by(largest, turn + t));
                UNROLLED for (int n = 0; n < NN_WINDOW; n++)
                    store(weights[(turn + t) * NN_WINDOW + n], score[t][n]);
            }
        }

        vec sum = power_of_two(subtract(outside, most));
        UNROLLED for (int turn = 0; turn < NN_INSTRUMENTS; turn++) {
            const vec most_at_key = turned_by(most, NN_INSTRUMENTS - turn);
            vec own = spread(0.0f);
            UNROLLED for (int n = 0; n < NN_WINDOW; n++) {
                float *weight = weights[turn * NN_WINDOW + n];
                const vec w = power_of_two(subtract(load(weight), most_at_key));
                own = add(own, w);
                store(weight, w);
            }
            sum = add(sum, turned_by(own, turn));
        }
        const vec scale = divide(spread(1.0f), sum);

        for (int c = 0; c < NN_HEAD_CHANNELS; c += CHANNELS) {
            vec value[CHANNELS][NN_INSTRUMENTS];
            UNROLLED for (int k = 0; k < CHANNELS; k++)
                UNROLLED for (int turn = 0; turn < NN_INSTRUMENTS; turn++)
                    value[k][turn] = spread(0.0f);
            UNROLLED for (int n = 0; n < NN_WINDOW; n++) {
                vec source[CHANNELS];
                UNROLLED for (int k = 0; k < CHANNELS; k++)
                    source[k] = load(keys[n] + (NN_CHANNELS + r + c + k) * row);
                UNROLLED for (int turn = 0; turn < NN_INSTRUMENTS; turn++) {
                    const vec w = load(weights[turn * NN_WINDOW + n]);
                    UNROLLED for (int k = 0; k < CHANNELS; k++)
                        value[k][turn] = multiply_add(w, source[k], value[k][turn]);
                }
            }
            UNROLLED for (int k = 0; k < CHANNELS; k++) {
                const vec one = add(value[k][0], turned_1(value[k][1]));
                const vec two = add(turned_2(value[k][2]), turned_3(value[k][3]));
                store(context + (r + c + k) * NN_COLUMNS, multiply(add(one, two), scale));
            }
        }
    }
}

/* Attention of a tile's queries; `around` holds its keys and values, and the ends of its neighbours'. */
static void attend_to_instruments(const nn_song *song, const nn_instrument_layer *layer,
                                  float (*around)[AROUND_COLUMNS], int64_t tile, nn_scratch *scratch)
{
    const int64_t padded = song->frames < NN_WINDOW ? NN_WINDOW : song->frames;
    const float *query = &scratch->layer.queries[0][0];
    float *context = &scratch->layer.context[0][0];
    for (int column = 0; column < NN_COLUMNS; column += LANES) {
        const int64_t frame = tile * NN_FRAMES + column / NN_INSTRUMENTS;
        const float *keys[NN_WINDOW];
        ptrdiff_t row = AROUND_COLUMNS;
        float (*tables)[SCORES + 1][NN_FRAMES] = scratch->layer.tables[0];
        if (frame >= song->frames) {
            for (int c = 0; c < NN_CHANNELS; c++)
                store(context + c * NN_COLUMNS + column, spread(0.0f));
            continue;
        }
        if (frame < 2 || frame + VECTOR_FRAMES > padded - 2) {
            /* Near an end of the song, each frame has its own window. */
            tables = scratch->layer.tables[1];
            row = NN_WINDOW * NN_FRAMES;
            for (int lane = 0; lane < LANES; lane += NN_INSTRUMENTS) {
                const int64_t own = frame + lane / NN_INSTRUMENTS;
                const int before = steps_before(own, 1, padded);
                fill_tables(layer, before, lane, lane + NN_INSTRUMENTS, tables);
                for (int n = 0; n < NN_WINDOW; n++) {
                    const int64_t place = own + n - before - tile * NN_FRAMES;
                    for (int r = 0; r < 2 * NN_CHANNELS; r++)
                        memcpy(&scratch->layer.gathered[r][n][lane],
                               around[r] + NN_HALO + place * NN_INSTRUMENTS,
                               NN_INSTRUMENTS * sizeof(float));
                }
            }
            for (int n = 0; n < NN_WINDOW; n++)
                keys[n] = scratch->layer.gathered[0][n];
        } else {
            for (int n = 0; n < NN_WINDOW; n++)
                keys[n] = around[0] + NN_HALO + column + (n - NN_WINDOW / 2) * NN_INSTRUMENTS;
        }
        attend_to_twenty(query + column, keys, row, tables, scratch->layer.weights, context + column);
    }
}
