/* AVX-512F. The functions of this file alone are compiled for it, and run only after a look at the processor. */
#include "isa.h"
#if defined(ISA_X86_64)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx512f,avx2,fma")
#endif

#include <immintrin.h>

typedef __m512 vec;
#define LANES 16
#define load(p) _mm512_loadu_ps(p)
#define store(p, v) _mm512_storeu_ps(p, v)
#define spread(x) _mm512_set1_ps(x)
#define add(a, b) _mm512_add_ps(a, b)
#define mul(a, b) _mm512_mul_ps(a, b)
#define over(a, b) _mm512_div_ps(a, b)
#define madd(a, b, c) _mm512_fmadd_ps(a, b, c)
#define least(a, b) _mm512_min_ps(a, b)
#define most(a, b) _mm512_max_ps(a, b)
#define total(v) _mm512_reduce_add_ps(v)

#define KERNEL avx512
#include "dconv_layer.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int no_such_instruction_set;
#endif
