/* AVX-512F: the operations of isa.h. Only the functions of the file that includes this are compiled for it, and they
 * run only after the processor was checked. ISA_SPARING tunes GCC to keep a loaded vector in a register. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma"))), apply_to = function)
#define ISA_PUSHED
#elif defined(__GNUC__) && defined(ISA_SPARING)
#pragma GCC target("avx512f,avx2,fma,tune=skylake")
#elif defined(__GNUC__)
#pragma GCC target("avx512f,avx2,fma,prefer-vector-width=512")
#endif

#include <immintrin.h>

#if defined(ISA_FLOAT)

typedef __m512 vec;
#define LANES 16
#define load(p) _mm512_loadu_ps(p)
#define store(p, v) _mm512_storeu_ps(p, v)
#define load_aligned(p) _mm512_load_ps((const float *)(p))
#define store_aligned(p, v) _mm512_store_ps((float *)(p), v)
#define spread(x) _mm512_set1_ps(x)
#define add(a, b) _mm512_add_ps(a, b)
#define subtract(a, b) _mm512_sub_ps(a, b)
#define multiply(a, b) _mm512_mul_ps(a, b)
#define divide(a, b) _mm512_div_ps(a, b)
#define square_root(a) _mm512_sqrt_ps(a)
#define multiply_add(a, b, c) _mm512_fmadd_ps(a, b, c)
#define subtract_product(a, b, c) _mm512_fnmadd_ps(a, b, c)
#define larger(a, b) _mm512_max_ps(a, b)
#define smaller(a, b) _mm512_min_ps(a, b)
/* MAXPS and MINPS return their second operand if one of them is NaN. */
#define larger_number(a, b) _mm512_max_ps(a, b)
#define total(v) _mm512_reduce_add_ps(v)

#elif defined(ISA_DOUBLE)

typedef __m512d vec;
#define LANES 8
#define load(p) _mm512_loadu_pd(p)
#define store(p, v) _mm512_storeu_pd(p, v)
#define load_aligned(p) _mm512_load_pd((const double *)(p))
#define store_aligned(p, v) _mm512_store_pd((double *)(p), v)
#define spread(x) _mm512_set1_pd(x)
#define add(a, b) _mm512_add_pd(a, b)
#define subtract(a, b) _mm512_sub_pd(a, b)
#define multiply(a, b) _mm512_mul_pd(a, b)
#define divide(a, b) _mm512_div_pd(a, b)
#define square_root(a) _mm512_sqrt_pd(a)
#define multiply_add(a, b, c) _mm512_fmadd_pd(a, b, c)
#define subtract_product(a, b, c) _mm512_fnmadd_pd(a, b, c)
#define larger(a, b) _mm512_max_pd(a, b)
#define smaller(a, b) _mm512_min_pd(a, b)
/* MAXPD and MINPD return their second operand if one of them is NaN. */
#define larger_number(a, b) _mm512_max_pd(a, b)

#else
#error "ISA_FLOAT or ISA_DOUBLE has to be defined."
#endif
