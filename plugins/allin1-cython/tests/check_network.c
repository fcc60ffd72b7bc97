/* Runs one network on one song with every kernel, in memory that is exactly as large as the Python side makes
 * it, so that a sanitizer or valgrind sees each byte too many. Reads a problem as test_network_sanitizers.py
 * writes it, and writes the logits of each kernel, and the embeddings, with its name before them.
 *
 *     cc -std=c11 -g -O1 -fsanitize=address,undefined -I<kernel> check_network.c <kernel>/network*.c <kernel>/isa.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa.h"
#include "network.h"

static float *zeros(size_t count)
{
    float *memory = calloc(count, sizeof *memory);
    if (!memory)
        exit(2);
    return memory;
}

static float *take(FILE *file, size_t count)
{
    float *memory = zeros(count);
    if (fread(memory, sizeof *memory, count, file) != count) {
        fprintf(stderr, "the problem is too short\n");
        exit(2);
    }
    return memory;
}

static int runs_here(const char *name)
{
    for (int n = 0; isas[n].name; n++)
        if (!strcmp(isas[n].name, name))
            return isas[n].supported();
    return 0;
}

int main(int argc, char **argv)
{
    FILE *problem = argc == 3 ? fopen(argv[1], "rb") : NULL, *answer;
    int64_t frames;
    if (!problem || fread(&frames, sizeof frames, 1, problem) != 1)
        return 2;
    float *network = take(problem, sizeof(nn_network) / sizeof(float));
    float *spectrogram = take(problem, (size_t)frames * NN_INSTRUMENTS * NN_BANDS);
    fclose(problem);
    if (!(answer = fopen(argv[2], "wb")))
        return 2;

    const size_t tiles = ((size_t)frames + NN_FRAMES - 1) / NN_FRAMES;
    const size_t longest = 10 << (NN_BLOCKS - 1);
    const size_t padded = (((size_t)frames > longest ? (size_t)frames : longest) + NN_FRAMES - 1) / NN_FRAMES + 1;
    const size_t embeddings = (size_t)frames * NN_INSTRUMENTS * NN_CHANNELS;
    for (int k = 0; nn_kernels[k]; k++) {
        if (!runs_here(nn_kernels[k]->name))
            continue;
        nn_scratch *scratch = calloc(2, sizeof *scratch);
        nn_song song = {
            .frames = frames,
            .spectrogram = spectrogram,
            .state = zeros(tiles * NN_STATE),
            .keys_values = zeros(padded * NN_KEYS_VALUES),
            .edges = zeros((tiles + NN_GROUP - 1) / NN_GROUP * NN_EDGES),
            .logits = zeros((size_t)frames * NN_OUTPUTS),
            .embeddings = zeros(embeddings),
            .members = 1,
        };
        for (int32_t pass = 0; pass < NN_PASSES; pass++) {
            int64_t next = 0;
            nn_kernels[k]->run((const nn_network *)network, &song, pass, &next, scratch);
            nn_kernels[k]->run((const nn_network *)network, &song, pass, &next, scratch + 1);
        }
        fprintf(answer, "%8s", nn_kernels[k]->name);
        fwrite(song.logits, sizeof(float), (size_t)frames * NN_OUTPUTS, answer);
        fwrite(song.embeddings, sizeof(float), embeddings, answer);
        free(song.state), free(song.keys_values), free(song.edges);
        free(song.logits), free(song.embeddings), free(scratch);
    }
    free(spectrogram), free(network);
    return fclose(answer);
}
