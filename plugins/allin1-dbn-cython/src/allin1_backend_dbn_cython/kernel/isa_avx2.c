/* AVX2 with FMA. The functions of this file alone are compiled for it, and run only after a look at the
 * processor; no flag of the compiler is needed, so that one command line builds for any processor. */
#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
/* Tuned so that GCC keeps a loaded vector in a register; see lane_step() in advance.h. */
#pragma GCC target("avx2,fma,tune=skylake")
#endif

#include <immintrin.h>

typedef __m256d vec;
#define LANES 4
#define CONSTANTS const vec one = spread(L->one);
#define TARGETS 3
#define load(p) _mm256_loadu_pd(p)
#define store(p, v) _mm256_storeu_pd(p, v)
#define spread(x) _mm256_set1_pd(x)
#define add(a, b) _mm256_add_pd(a, b)
#define also_add(a, b) _mm256_fmadd_pd(b, one, a)
/* VMAXPD gives its second operand where one of them is NaN. */
#define larger(candidate, old) _mm256_max_pd(candidate, old)

int bp_has_avx2(void);

#define KERNEL avx2
#define SUPPORTED bp_has_avx2
#include "advance.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int no_such_instruction_set;
#endif
