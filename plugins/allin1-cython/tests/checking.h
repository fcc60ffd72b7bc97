/* What the programs that run kernels in memory of exactly the right size share. */
#ifndef ALLIN1_CHECKING_H
#define ALLIN1_CHECKING_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa.h"

static inline void *memory_of(size_t bytes)
{
    void *memory = NULL;
    if (posix_memalign(&memory, 64, bytes ? bytes : 1))
        exit(2);
    /* Filled with NaN, which a result would show if it were read before it is written. */
    memset(memory, 0xff, bytes);
    return memory;
}

/* The next part of a problem, which stays to the end. */
static inline void *take(FILE *file, size_t count, size_t size)
{
    static void *kept[32];
    static int parts;
    void *memory = kept[parts++] = memory_of(count * size);
    if (fread(memory, size, count, file) != count) {
        fprintf(stderr, "the problem is too short\n");
        exit(2);
    }
    return memory;
}

static inline int runs_here(const char *name)
{
    for (int n = 0; isas[n].name; n++)
        if (!strcmp(isas[n].name, name))
            return isas[n].supported();
    return 0;
}

static inline void answer(FILE *file, const char *name, const float *values, size_t count)
{
    fprintf(file, "%-8s", name);
    fwrite(values, sizeof *values, count, file);
}

#endif
