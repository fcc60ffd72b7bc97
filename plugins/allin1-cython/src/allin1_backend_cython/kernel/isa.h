/* The instruction sets that kernels are written for, and whether this processor has them.
 *
 * This folder is copied into each distribution that has kernels, by kernels/copy_isa.py; change it there.
 *
 * A kernel has a file for each instruction set that fits the target's architecture. The file selects the
 * type of numbers in its vectors (ISA_FLOAT or ISA_DOUBLE), includes the instruction set's header, then the kernel's own
 * code, which is written with the operations that these headers share, then isa_end.h. So one command line builds
 * everything, without compiler flags; the instruction set is chosen at run time. The operations:
 *
 *   vec                          a vector of LANES numbers
 *   load(p), store(p, v)         at any address
 *   load_aligned, store_aligned  at an address that is a multiple of a vector's size, of whatever type
 *   spread(x)                    x in every lane
 *   add, subtract, multiply, divide, square_root
 *   multiply_add(a, b, c)        a * b + c, rounded once where the processor can
 *   subtract_product(a, b, c)    c - a * b, the same
 *   larger(a, b), smaller(a, b)  b where one of them is NaN (NaN on Arm)
 *   larger_number(a, b)          the larger one, and b where a is NaN
 *   total(v)                     sum of the lanes (of floats)
 */
#ifndef ALLIN1_ISA_H
#define ALLIN1_ISA_H

#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))
#define ISA_X86_64 1
#elif defined(__aarch64__) || defined(_M_ARM64)
#define ISA_ARM64 1
#endif

typedef struct {
    /* avx512 (AVX-512F), avx2 (AVX2 and FMA), sse2, neon or scalar */
    const char *name;
    /* Whether the processor has it and the operating system saves its registers. */
    int (*supported)(void);
} isa;

/* The instruction sets of this architecture, fastest first; the last entry has no name. */
extern const isa isas[];

/* `supported` of each instruction set; isa_always() returns 1. */
int isa_has_avx512(void);
int isa_has_avx2(void);
int isa_always(void);

#endif
