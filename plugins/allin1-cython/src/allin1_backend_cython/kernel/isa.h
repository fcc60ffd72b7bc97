/* The instruction sets that kernels are written for, and whether this processor has them.
 *
 * Each kernel has a file for each of these that fits the target's architecture. The files for AVX2 and
 * AVX-512 carry a pragma for their instruction set, so one command line builds everything; what runs is
 * chosen at run time.
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

#endif
