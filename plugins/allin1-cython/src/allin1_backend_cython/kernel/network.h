/* The All-In-One network on one song, compiled for several instruction sets.
 *
 * Values are stored in planes: a row for each channel, and in it four columns for each frame, one for each
 * instrument. A linear map is then a product with a long right operand, a shift in time is a shift of
 * columns for all instruments at once, and reductions over channels run down the rows. Planes are cut into
 * tiles of 16 frames, each contiguous in memory, so that a tile's rows lie near each other.
 *
 * network_parameters.py describes what is folded into the parameters beforehand. Each member of the ensemble
 * runs pass by pass. The units of a pass are independent, and threads share them; the arithmetic of a column
 * is the same in every thread, so results do not depend on the number of threads.
 */
#ifndef ALLIN1_NETWORK_H
#define ALLIN1_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#define NN_INSTRUMENTS 4
#define NN_CHANNELS 24
#define NN_HEADS 2
#define NN_HEAD_CHANNELS 12
#define NN_WINDOW 5
#define NN_BLOCKS 11
#define NN_BANDS 81
#define NN_OUTPUTS 13

/* Frames of a tile, and its columns. */
#define NN_FRAMES 16
#define NN_COLUMNS (NN_INSTRUMENTS * NN_FRAMES)
/* Tiles of a group, the unit of the instrument layers. */
#define NN_GROUP 8
/* Columns on each side of a tile that is stored with the ends of its neighbours: four frames, the reach of a window
 * with a dilation of 2, and of one that is shifted to one side at an end of the song. */
#define NN_HALO (NN_INSTRUMENTS * (NN_WINDOW - 1))
/* Frames of a unit of the front end. Its third convolution reads one frame to each side, so that two frames of 16
 * tiles are lost. */
#define NN_FRONT_TILES 16
#define NN_FRONT_FRAMES (NN_FRONT_TILES * NN_FRAMES - 2)

/* Front end, first keys and values, and the two layers of each block. */
#define NN_PASSES (2 + 2 * NN_BLOCKS)

/* Floats in a tile of the state, and of the keys and values of the two attentions of a time layer. */
#define NN_STATE (NN_CHANNELS * NN_COLUMNS)
#define NN_KEYS_VALUES (4 * NN_CHANNELS * NN_COLUMNS)
/* Floats of the columns at both ends of a group that its neighbours read. */
#define NN_EDGES (2 * NN_CHANNELS * NN_HALO)

/* Rows of a matrix that are computed together; its weights are laid out [outputs / 6][inputs][6]. */
#define NN_ROWS 6

#define NN_MAP(outputs, inputs) \
    struct { \
        float weight[(outputs) * (inputs)]; \
        float bias[outputs]; \
    }

/* All members are float, so the structures have the layout of one array of floats. */
typedef struct {
    NN_MAP(2 * NN_CHANNELS, NN_CHANNELS) queries;
    NN_MAP(4 * NN_CHANNELS, NN_CHANNELS) keys_values;
    /* [head][offset of the key from -4 to 4], of each attention, in units of log 2 */
    float position[2][NN_HEADS][2 * NN_WINDOW - 1];
    NN_MAP(NN_CHANNELS, NN_CHANNELS) output[2];
    NN_MAP(8 * NN_CHANNELS, 2 * NN_CHANNELS) up;
    NN_MAP(NN_CHANNELS, 8 * NN_CHANNELS) down;
} nn_time_layer;

typedef struct {
    NN_MAP(NN_CHANNELS, NN_CHANNELS) queries;
    NN_MAP(2 * NN_CHANNELS, NN_CHANNELS) keys_values;
    /* Added to the scores, in units of log 2, by the number of frames that a window begins before its
     * query; in the lane of the key's instrument k, for the query of instrument k - turn. */
    float position[NN_WINDOW][NN_HEADS][NN_INSTRUMENTS][NN_WINDOW][NN_INSTRUMENTS];
    /* Total weight of the keys outside the four instruments, which are zero: their score, in the lane of the
     * query's instrument. */
    float outside[NN_WINDOW][NN_HEADS][NN_INSTRUMENTS];
    NN_MAP(NN_CHANNELS, NN_CHANNELS) output;
    NN_MAP(4 * NN_CHANNELS, NN_CHANNELS) up;
    NN_MAP(NN_CHANNELS, 4 * NN_CHANNELS) down;
} nn_instrument_layer;

typedef struct {
    nn_time_layer time;
    nn_instrument_layer instruments;
} nn_block;

typedef struct {
    /* Inputs are [frame][band], [band][channel] and [frame][band][channel]. */
    NN_MAP(12, 3 * 3) first;
    NN_MAP(NN_CHANNELS, 12 * 12) second;
    NN_MAP(NN_CHANNELS, 3 * 3 * NN_CHANNELS) third;
    float gain[NN_CHANNELS];
    float bias[NN_CHANNELS];
    nn_block blocks[NN_BLOCKS];
    /* [output][channel][instrument] */
    float heads[NN_OUTPUTS][NN_CHANNELS][NN_INSTRUMENTS];
    float heads_bias[NN_OUTPUTS];
    float last_gain[NN_CHANNELS];
    float last_bias[NN_CHANNELS];
} nn_network;

/* The state of a song. Memory that is not marked as input is initially zero. */
typedef struct {
    int64_t frames;
    /* Input: [instrument][frame][band] */
    const float *spectrogram;
    /* [tile][channel][column] */
    float *state;
    /* [tile][keys, values, keys, values of 24 rows each][column], one tile more than the longest
     * padded song has; zeros after the song. */
    float *keys_values;
    /* [group][first, last][channel][column] */
    float *edges;
    /* [output][frame]: the sum over members */
    float *logits;
    /* [instrument][frame][channel][member], starting at this member; NULL if not requested. */
    float *embeddings;
    int64_t members;
} nn_song;

/* Scratch space of one thread. */
typedef union {
    struct {
        float bands[NN_BANDS][NN_COLUMNS + 2 * NN_INSTRUMENTS];
        float first[26 * 12][NN_COLUMNS];
        float second[5 * NN_CHANNELS][2 * NN_INSTRUMENTS + NN_COLUMNS];
        float third[NN_CHANNELS][NN_COLUMNS];
    } front;
    struct {
        float normal[2 * NN_CHANNELS][NN_COLUMNS];
        float queries[2 * NN_CHANNELS][NN_COLUMNS];
        float context[NN_CHANNELS][NN_COLUMNS];
        float both[2 * NN_CHANNELS][NN_COLUMNS];
        float hidden[8 * NN_CHANNELS][NN_COLUMNS];
        /* Keys and values of the frames around some queries: for a time layer whose shift is not a multiple of
         * the vector, and for an instrument layer, two tiles alternately. */
        float around[2][2 * NN_CHANNELS][NN_HALO + NN_COLUMNS + NN_HALO];
        float between[2 * NN_CHANNELS][NN_COLUMNS];
        /* For queries of one vector whose windows begin at different distances. */
        float gathered[2 * NN_CHANNELS][NN_WINDOW][NN_FRAMES];
        float tables[2][NN_HEADS][NN_INSTRUMENTS * NN_WINDOW + 1][NN_FRAMES];
        float weights[NN_INSTRUMENTS * NN_WINDOW][NN_FRAMES];
    } layer;
} nn_scratch;

/* One instruction set. */
typedef struct {
    const char *name;
    /* Run one pass, or this thread's share of it: `next` is the first unit that no thread has taken, initially 0,
     * and shared by all threads. */
    void (*run)(const nn_network *network, const nn_song *song, int32_t pass, int64_t *next,
                nn_scratch *scratch);
} nn_kernel;

#define NN_JOIN_(a, b) a##b
#define NN_JOIN(a, b) NN_JOIN_(a, b)
#define NN_NAME_(name) #name
#define NN_NAME(name) NN_NAME_(name)

/* The kernels of this architecture; ends with NULL. */
extern const nn_kernel *const nn_kernels[];

#endif
