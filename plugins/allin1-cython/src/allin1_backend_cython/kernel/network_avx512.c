/* AVX-512F. The functions of this file alone are compiled for it, and run only after a look at the
 * processor; no flag of the compiler is needed, so that one command line builds for any processor. */
#include "isa.h"

#if defined(ISA_X86_64)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx512f,prefer-vector-width=512")
#endif

#include <immintrin.h>

typedef __m512 vec;
#define LANES 16
#define VECTORS 4
#define CHANNELS 1
#define TURNS 4
#define load(p) _mm512_loadu_ps(p)
#define load_four(p) _mm512_broadcast_f32x4(_mm_loadu_ps(p))
#define store(p, v) _mm512_storeu_ps(p, v)
#define spread(x) _mm512_set1_ps(x)
#define add(a, b) _mm512_add_ps(a, b)
#define subtract(a, b) _mm512_sub_ps(a, b)
#define multiply(a, b) _mm512_mul_ps(a, b)
#define multiply_add(a, b, c) _mm512_fmadd_ps(a, b, c)
#define divide(a, b) _mm512_div_ps(a, b)
#define square_root(a) _mm512_sqrt_ps(a)
#define larger(a, b) _mm512_max_ps(a, b)
#define smaller(a, b) _mm512_min_ps(a, b)
#define turned_1(v) _mm512_permute_ps(v, 0x39)
#define turned_2(v) _mm512_permute_ps(v, 0x4e)
#define turned_3(v) _mm512_permute_ps(v, 0x93)
#define power_of_bits(v) \
    _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(v), 23), \
                                         _mm512_set1_epi32(0x3f800000)))
/* VRCP14PS, to 14 bits, and a step of Newton's. */
#define reciprocal(a) newton(a, _mm512_rcp14_ps(a))
#define newton(a, r) _mm512_mul_ps(r, _mm512_fnmadd_ps(a, r, _mm512_set1_ps(2.0f)))

#define KERNEL avx512
#include "network_passes.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int no_such_instruction_set;
#endif
