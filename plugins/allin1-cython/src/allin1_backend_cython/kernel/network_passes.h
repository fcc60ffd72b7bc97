/* The passes over a song, and how threads share the units of one. */
#include "network_instruments.h"

#if defined(_MSC_VER)
#include <intrin.h>
#define take(next) _InterlockedExchangeAdd64(next, 1)
#else
#define take(next) __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)
#endif

static int64_t tiles_of(const nn_song *song)
{
    return (song->frames + NN_FRAMES - 1) / NN_FRAMES;
}

/* Set rows to zero after the end of the song; `tile` is the tile they belong to. */
static void clear_behind(const nn_song *song, int64_t tile, int rows, float *x, ptrdiff_t row)
{
    const int64_t inside = song->frames - tile * NN_FRAMES;
    if (inside < NN_FRAMES)
        for (int r = 0; r < rows; r++)
            memset(x + r * row + inside * NN_INSTRUMENTS, 0,
                   (size_t)(NN_FRAMES - inside) * NN_INSTRUMENTS * sizeof *x);
}

static void project_keys_values(const nn_network *network, const nn_song *song, int block,
                                int64_t tile, nn_scratch *scratch)
{
    const nn_time_layer *layer = &network->blocks[block].time;
    float *normal = &scratch->layer.normal[0][0];
    float *target = song->keys_values + tile * NN_KEYS_VALUES;
    normalise(song->state + tile * NN_STATE, NN_COLUMNS, normal);
    set_product(4 * NN_CHANNELS, NN_CHANNELS, layer->keys_values.weight, layer->keys_values.bias,
                normal, target, NN_COLUMNS);
    clear_behind(song, tile, 4 * NN_CHANNELS, target, NN_COLUMNS);
}

/* Store the ends of a group of tiles: its neighbours compute keys from them after the group has changed. */
static void keep_edges(const nn_song *song, int64_t tile)
{
    const float *x = song->state + tile * NN_STATE;
    float *edges = song->edges + tile / NN_GROUP * NN_EDGES;
    for (int c = 0; c < NN_CHANNELS; c++) {
        if (tile % NN_GROUP == 0)
            memcpy(edges + c * NN_HALO, x + c * NN_COLUMNS, NN_HALO * sizeof *x);
        if (tile % NN_GROUP == NN_GROUP - 1)
            memcpy(edges + (NN_CHANNELS + c) * NN_HALO, x + (c + 1) * NN_COLUMNS - NN_HALO,
                   NN_HALO * sizeof *x);
    }
}

static void time_layer(const nn_network *network, const nn_song *song, int block, int64_t tile,
                       nn_scratch *scratch)
{
    const nn_time_layer *layer = &network->blocks[block].time;
    const int64_t dilation = (int64_t)1 << block;
    const int64_t padded = padded_frames(song->frames, dilation);
    float *x = song->state + tile * NN_STATE;
    float *normal = &scratch->layer.normal[0][0], *queries = &scratch->layer.queries[0][0];
    float *both = &scratch->layer.both[0][0], *hidden = &scratch->layer.hidden[0][0];

    normalise(x, NN_COLUMNS, normal);
    set_product(2 * NN_CHANNELS, NN_CHANNELS, layer->queries.weight, layer->queries.bias, normal,
                queries, NN_COLUMNS);
    for (int i = 0; i < 2; i++) {
        float *own = both + i * NN_STATE;
        attend_in_time(song, queries + i * NN_STATE, song->keys_values + 2 * i * NN_STATE,
                       layer->position[i][0], dilation << i, padded, tile, scratch);
        memcpy(own, x, NN_STATE * sizeof *x);
        add_product(NN_CHANNELS, NN_CHANNELS, layer->output[i].weight, layer->output[i].bias,
                    &scratch->layer.context[0][0], own);
    }
    /* The mean over both is also the mean of their means. */
    for (int column = 0; column < NN_COLUMNS; column += LANES) {
        vec sum = spread(0.0f);
        centre(both + column, 2 * NN_CHANNELS);
        for (int c = 0; c < NN_CHANNELS; c++) {
            const vec one = load(both + c * NN_COLUMNS + column);
            const vec two = load(both + NN_STATE + c * NN_COLUMNS + column);
            sum = multiply_add(one, one, multiply_add(two, two, sum));
            store(x + c * NN_COLUMNS + column, multiply(add(one, two), spread(0.5f)));
        }
        sum = multiply_add(sum, spread(0.5f / NN_CHANNELS), spread(NORM_EPSILON));
        const vec scale = divide(spread(1.0f), square_root(sum));
        for (int c = 0; c < 2 * NN_CHANNELS; c++)
            store(normal + c * NN_COLUMNS + column,
                  multiply(load(both + c * NN_COLUMNS + column), scale));
    }
    set_gelu_product(8 * NN_CHANNELS, 2 * NN_CHANNELS, layer->up.weight, layer->up.bias, normal,
                     hidden);
    add_product(NN_CHANNELS, 8 * NN_CHANNELS, layer->down.weight, layer->down.bias, hidden, x);
    keep_edges(song, tile);
}

/* Logits and embeddings of a tile. */
static void finish_tile(const nn_network *network, const nn_song *song, int64_t tile,
                        nn_scratch *scratch)
{
    const int64_t first = tile * NN_FRAMES;
    const int frames = song->frames - first < NN_FRAMES ? (int)(song->frames - first) : NN_FRAMES;
    float *normal = &scratch->layer.normal[0][0], sums[NN_COLUMNS];
    normalise(song->state + tile * NN_STATE, NN_COLUMNS, normal);
    for (int o = 0; o < NN_OUTPUTS; o++) {
        for (int column = 0; column < NN_COLUMNS; column += LANES) {
            vec sum = spread(0.0f);
            for (int c = 0; c < NN_CHANNELS; c++)
                sum = multiply_add(load_four(network->heads[o][c]),
                                   load(normal + c * NN_COLUMNS + column), sum);
            store(sums + column, sum);
        }
        for (int f = 0; f < frames; f++) {
            const float *own = sums + f * NN_INSTRUMENTS;
            song->logits[o * song->frames + first + f] +=
                (own[0] + own[1]) + (own[2] + own[3]) + network->heads_bias[o];
        }
    }
    if (!song->embeddings)
        return;
    for (int c = 0; c < NN_CHANNELS; c++)
        for (int l = 0; l < frames * NN_INSTRUMENTS; l++) {
            const int64_t frame = first + l / NN_INSTRUMENTS;
            const int64_t place = (l % NN_INSTRUMENTS) * song->frames + frame;
            song->embeddings[(place * NN_CHANNELS + c) * song->members] =
                normal[c * NN_COLUMNS + l] * network->last_gain[c] + network->last_bias[c];
        }
}

/* The keys and values of a tile, between the ends of its neighbours. */
static void project_around(const nn_song *song, const nn_instrument_layer *layer, int64_t tile,
                           float (*around)[AROUND_COLUMNS], nn_scratch *scratch)
{
    float *normal = &scratch->layer.normal[0][0];
    normalise(song->state + tile * NN_STATE, NN_COLUMNS, normal);
    set_product(2 * NN_CHANNELS, NN_CHANNELS, layer->keys_values.weight, layer->keys_values.bias,
                normal, around[0] + NN_HALO, AROUND_COLUMNS);
    clear_behind(song, tile, 2 * NN_CHANNELS, around[0] + NN_HALO, AROUND_COLUMNS);
}

/* Keys and values of the frames before and after a group. */
static void project_edges(const nn_song *song, const nn_instrument_layer *layer, int64_t group,
                          nn_scratch *scratch)
{
    const float *before = song->edges + (group - 1) * NN_EDGES + NN_CHANNELS * NN_HALO;
    const float *behind = song->edges + (group + 1) * NN_EDGES;
    float *normal = &scratch->layer.normal[0][0], *between = &scratch->layer.between[0][0];
    memset(between, 0, NN_STATE * sizeof *between);
    for (int c = 0; c < NN_CHANNELS; c++) {
        float *row = between + c * NN_COLUMNS;
        if (group > 0)
            memcpy(row, before + c * NN_HALO, NN_HALO * sizeof *row);
        if ((group + 1) * NN_GROUP < tiles_of(song))
            memcpy(row + NN_HALO, behind + c * NN_HALO, NN_HALO * sizeof *row);
    }
    normalise(between, NN_COLUMNS, normal);
    set_product(2 * NN_CHANNELS, NN_CHANNELS, layer->keys_values.weight, layer->keys_values.bias,
                normal, between, NN_COLUMNS);
}

static void instrument_layer(const nn_network *network, const nn_song *song, int block,
                             int64_t group, nn_scratch *scratch)
{
    const nn_instrument_layer *layer = &network->blocks[block].instruments;
    const int64_t first = group * NN_GROUP, tiles = tiles_of(song);
    const int64_t end = first + NN_GROUP < tiles ? first + NN_GROUP : tiles;
    const size_t halo = NN_HALO * sizeof(float);
    float *normal = &scratch->layer.normal[0][0], *hidden = &scratch->layer.hidden[0][0];
    float (*between)[NN_COLUMNS] = scratch->layer.between;
    float (*current)[AROUND_COLUMNS] = scratch->layer.around[0];
    float (*next)[AROUND_COLUMNS] = scratch->layer.around[1];

    fill_tables(layer, NN_WINDOW / 2, 0, NN_FRAMES, scratch->layer.tables[0]);
    project_edges(song, layer, group, scratch);
    project_around(song, layer, first, current, scratch);
    for (int r = 0; r < 2 * NN_CHANNELS; r++)
        memcpy(current[r], between[r], halo);
    for (int64_t tile = first; tile < end; tile++) {
        float *x = song->state + tile * NN_STATE;
        if (tile + 1 < end)
            project_around(song, layer, tile + 1, next, scratch);
        for (int r = 0; r < 2 * NN_CHANNELS; r++) {
            float *edge = current[r] + NN_HALO + NN_COLUMNS;
            if (tile + 1 < end) {
                memcpy(next[r], edge - NN_HALO, halo);
                memcpy(edge, next[r] + NN_HALO, halo);
            } else {
                memcpy(edge, between[r] + NN_HALO, halo);
            }
        }
        normalise(x, NN_COLUMNS, normal);
        set_product(NN_CHANNELS, NN_CHANNELS, layer->queries.weight, layer->queries.bias, normal,
                    &scratch->layer.queries[0][0], NN_COLUMNS);
        attend_to_instruments(song, layer, current, tile, scratch);
        add_product(NN_CHANNELS, NN_CHANNELS, layer->output.weight, layer->output.bias,
                    &scratch->layer.context[0][0], x);
        normalise(x, NN_COLUMNS, normal);
        set_gelu_product(4 * NN_CHANNELS, NN_CHANNELS, layer->up.weight, layer->up.bias, normal,
                         hidden);
        add_product(NN_CHANNELS, 4 * NN_CHANNELS, layer->down.weight, layer->down.bias, hidden, x);
        if (block + 1 < NN_BLOCKS)
            project_keys_values(network, song, block + 1, tile, scratch);
        else
            finish_tile(network, song, tile, scratch);
        float (*done)[AROUND_COLUMNS] = current;
        current = next;
        next = done;
    }
}

/* The tile to visit at a position in the order of a time layer. If keys are far apart, tiles at the same
 * distance follow each other, so that most keys of a tile are still in the cache from the previous one. */
static int64_t tile_in_order(int64_t place, int64_t tiles, int64_t dilation)
{
    const int64_t step = dilation < 4 * NN_FRAMES ? 1 : dilation / NN_FRAMES;
    const int64_t shorter = tiles / step, longer = tiles % step;
    if (place < longer * (shorter + 1))
        return place / (shorter + 1) + place % (shorter + 1) * step;
    place -= longer * (shorter + 1);
    return longer + place / shorter + place % shorter * step;
}

/* Run one unit of a pass; returns 0 if there is none. */
static int run_unit(const nn_network *network, const nn_song *song, int32_t pass, int64_t unit,
                    nn_scratch *scratch)
{
    const int block = (pass - 2) / 2;
    const int64_t first = unit * NN_GROUP, tiles = tiles_of(song);
    const int64_t end = first + NN_GROUP < tiles ? first + NN_GROUP : tiles;
    if (pass == 0) {
        if (unit * NN_FRONT_FRAMES >= song->frames)
            return 0;
        front_end(network, song, unit, scratch);
        return 1;
    }
    if (first >= tiles)
        return 0;
    if (pass > 1 && pass % 2)
        instrument_layer(network, song, block, unit, scratch);
    else
        for (int64_t tile = first; tile < end; tile++)
            if (pass == 1)
                project_keys_values(network, song, 0, tile, scratch);
            else
                time_layer(network, song, block,
                           tile_in_order(tile, tiles, (int64_t)1 << block), scratch);
    return 1;
}

static void run(const nn_network *network, const nn_song *song, int32_t pass, int64_t *next,
                nn_scratch *scratch)
{
    while (run_unit(network, song, pass, take(next), scratch))
        continue;
}

const nn_kernel NN_JOIN(nn_kernel_, KERNEL) = {NN_NAME(KERNEL), run};
