/* Runs attention in memory of exactly the right size, to be compiled with sanitizers.
 *
 *   check_attention PROBLEM ANSWER
 *
 * PROBLEM holds the sizes, the queries, the keys and the values of one head. ANSWER gets the result of each kernel with
 * its name before it.
 */
#define _POSIX_C_SOURCE 200112L
#include "attention.h"
#include "checking.h"

int main(int argc, char **argv)
{
    FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL;
    FILE *out = in ? fopen(argv[2], "wb") : NULL;
    if (!out)
        return 2;
    /* queries, keys, width */
    const int64_t *n = take(in, 3, sizeof *n);
    at_head head = {.queries = n[0], .keys = n[1], .width = n[2]};
    head.q_row = head.k_row = head.v_row = head.out_row = head.width;
    head.q = take(in, head.queries * head.width, sizeof(float));
    head.k = take(in, head.keys * head.width, sizeof(float));
    head.v = take(in, head.keys * head.width, sizeof(float));
    const size_t size = head.queries * head.width;
    for (int k = 0; at_kernels[k]; k++) {
        const at_kernel *kernel = at_kernels[k];
        if (!runs_here(kernel->name))
            continue;
        float *scratch = memory_of(kernel->scratch(&head) * sizeof *scratch);
        head.out = memory_of(size * sizeof(float));
        /* In tiles, as threads share them out. */
        for (int64_t first = 0; first < head.queries; first += kernel->tile) {
            const int64_t end = first + kernel->tile;
            kernel->attend(&head, first, end < head.queries ? end : head.queries, scratch);
        }
        answer(out, kernel->name, head.out, size);
        free(head.out);
        free(scratch);
    }
    return fclose(out);
}
