/* AVX-512F. As with AVX2, the functions of this file alone are compiled for it. */
#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#elif defined(__GNUC__)
/* Tuned so that GCC keeps a loaded vector in a register; see lane_step() in advance.h. */
#pragma GCC target("avx512f,tune=skylake")
#endif

#include <immintrin.h>

typedef __m512d vec;
#define LANES 8
#define CONSTANTS const vec one = spread(L->one);
#define TARGETS 2
#define load(p) _mm512_loadu_pd(p)
#define store(p, v) _mm512_storeu_pd(p, v)
#define spread(x) _mm512_set1_pd(x)
#define add(a, b) _mm512_add_pd(a, b)
#define also_add(a, b) _mm512_fmadd_pd(b, one, a)
/* VMAXPD gives its second operand where one of them is NaN. */
#define larger(candidate, old) _mm512_max_pd(candidate, old)

int bp_has_avx512(void);

#define KERNEL avx512
#define SUPPORTED bp_has_avx512
#include "advance.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int no_such_instruction_set;
#endif
