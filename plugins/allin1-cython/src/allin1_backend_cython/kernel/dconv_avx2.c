/* AVX2 with FMA. The functions of this file alone are compiled for it, and run only after a look at the processor. */
#include "isa.h"
#if defined(ISA_X86_64)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx2,fma")
#endif

#include <immintrin.h>

typedef __m256 vec;
#define LANES 8
#define load(p) _mm256_loadu_ps(p)
#define store(p, v) _mm256_storeu_ps(p, v)
#define spread(x) _mm256_set1_ps(x)
#define add(a, b) _mm256_add_ps(a, b)
#define mul(a, b) _mm256_mul_ps(a, b)
#define over(a, b) _mm256_div_ps(a, b)
#define madd(a, b, c) _mm256_fmadd_ps(a, b, c)
#define least(a, b) _mm256_min_ps(a, b)
#define most(a, b) _mm256_max_ps(a, b)
static inline float total(vec v)
{
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

#define KERNEL avx2
#include "dconv_layer.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int no_such_instruction_set;
#endif
