/* AVX2 with FMA: the operations of isa.h. Only the functions of the file that includes this are compiled for it, and they
 * run only after the processor was checked. ISA_SPARING tunes GCC to keep a loaded vector in a register. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define ISA_PUSHED
#elif defined(__GNUC__) && defined(ISA_SPARING)
#pragma GCC target("avx2,fma,tune=skylake")
#elif defined(__GNUC__)
#pragma GCC target("avx2,fma")
#endif

#include <immintrin.h>

#if defined(ISA_FLOAT)

typedef __m256 vec;
#define LANES 8
#define load(p) _mm256_loadu_ps(p)
#define store(p, v) _mm256_storeu_ps(p, v)
#define load_aligned(p) _mm256_load_ps((const float *)(p))
#define store_aligned(p, v) _mm256_store_ps((float *)(p), v)
#define spread(x) _mm256_set1_ps(x)
#define add(a, b) _mm256_add_ps(a, b)
#define subtract(a, b) _mm256_sub_ps(a, b)
#define multiply(a, b) _mm256_mul_ps(a, b)
#define divide(a, b) _mm256_div_ps(a, b)
#define square_root(a) _mm256_sqrt_ps(a)
#define multiply_add(a, b, c) _mm256_fmadd_ps(a, b, c)
#define subtract_product(a, b, c) _mm256_fnmadd_ps(a, b, c)
#define larger(a, b) _mm256_max_ps(a, b)
#define smaller(a, b) _mm256_min_ps(a, b)
/* MAXPS and MINPS return their second operand if one of them is NaN. */
#define larger_number(a, b) _mm256_max_ps(a, b)
static inline float total(vec v)
{
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

#elif defined(ISA_DOUBLE)

typedef __m256d vec;
#define LANES 4
#define load(p) _mm256_loadu_pd(p)
#define store(p, v) _mm256_storeu_pd(p, v)
#define load_aligned(p) _mm256_load_pd((const double *)(p))
#define store_aligned(p, v) _mm256_store_pd((double *)(p), v)
#define spread(x) _mm256_set1_pd(x)
#define add(a, b) _mm256_add_pd(a, b)
#define subtract(a, b) _mm256_sub_pd(a, b)
#define multiply(a, b) _mm256_mul_pd(a, b)
#define divide(a, b) _mm256_div_pd(a, b)
#define square_root(a) _mm256_sqrt_pd(a)
#define multiply_add(a, b, c) _mm256_fmadd_pd(a, b, c)
#define subtract_product(a, b, c) _mm256_fnmadd_pd(a, b, c)
#define larger(a, b) _mm256_max_pd(a, b)
#define smaller(a, b) _mm256_min_pd(a, b)
/* MAXPD and MINPD return their second operand if one of them is NaN. */
#define larger_number(a, b) _mm256_max_pd(a, b)

#else
#error "ISA_FLOAT or ISA_DOUBLE has to be defined."
#endif
