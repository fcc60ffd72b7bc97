/* AVX2 with FMA. As with AVX-512, the functions of this file alone are compiled for it. */
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
#define VECTORS 2
#define CHANNELS 2
#define TURNS 2
#define load(p) _mm256_loadu_ps(p)
#define load_four(p) _mm256_broadcast_ps((const __m128 *)(p))
#define store(p, v) _mm256_storeu_ps(p, v)
#define spread(x) _mm256_set1_ps(x)
#define add(a, b) _mm256_add_ps(a, b)
#define subtract(a, b) _mm256_sub_ps(a, b)
#define multiply(a, b) _mm256_mul_ps(a, b)
#define multiply_add(a, b, c) _mm256_fmadd_ps(a, b, c)
#define divide(a, b) _mm256_div_ps(a, b)
#define square_root(a) _mm256_sqrt_ps(a)
#define larger(a, b) _mm256_max_ps(a, b)
#define smaller(a, b) _mm256_min_ps(a, b)
#define turned_1(v) _mm256_permute_ps(v, 0x39)
#define turned_2(v) _mm256_permute_ps(v, 0x4e)
#define turned_3(v) _mm256_permute_ps(v, 0x93)
#define power_of_bits(v) \
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(v), 23), \
                                         _mm256_set1_epi32(0x3f800000)))
/* RCPPS, to 12 bits, and a step of Newton's. */
#define reciprocal(a) newton(a, _mm256_rcp_ps(a))
#define newton(a, r) _mm256_mul_ps(r, _mm256_fnmadd_ps(a, r, _mm256_set1_ps(2.0f)))

#define KERNEL avx2
#include "network_passes.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int no_such_instruction_set;
#endif
