/* The instruction sets that kernels are written for, and whether this processor has them.
 *
 * This folder is copied into each distribution that has kernels, by kernels/copy_isa.py; change it there.
 *
 * A kernel has a file for each instruction set that fits the target's architecture. The file says of which numbers
 * its vectors are (ISA_FLOAT or ISA_DOUBLE), includes the instruction set's header, then the kernel's own code in the
 * words that these headers share, then isa_end.h. So one command line builds everything, without a flag of the
 * compiler; what runs is chosen at run time. The words:
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
    /* Is it there, and does the operating system keep its registers? */
    int (*supported)(void);
} isa;

/* Those of this architecture, fastest first; ends with one without a name. */
extern const isa isas[];

/* The same questions one by one; isa_always() says yes. */
int isa_has_avx512(void);
int isa_has_avx2(void);
int isa_always(void);

#endif
