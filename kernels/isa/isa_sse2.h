/* SSE2, which every 64-bit x86 processor has: the operations of isa.h. */
#include <emmintrin.h>

#if defined(ISA_FLOAT)

typedef __m128 vec;
#define LANES 4
#define load(p) _mm_loadu_ps(p)
#define store(p, v) _mm_storeu_ps(p, v)
#define load_aligned(p) _mm_load_ps((const float *)(p))
#define store_aligned(p, v) _mm_store_ps((float *)(p), v)
#define spread(x) _mm_set1_ps(x)
#define add(a, b) _mm_add_ps(a, b)
#define subtract(a, b) _mm_sub_ps(a, b)
#define multiply(a, b) _mm_mul_ps(a, b)
#define divide(a, b) _mm_div_ps(a, b)
#define square_root(a) _mm_sqrt_ps(a)
#define multiply_add(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#define subtract_product(a, b, c) _mm_sub_ps(c, _mm_mul_ps(a, b))
#define larger(a, b) _mm_max_ps(a, b)
#define smaller(a, b) _mm_min_ps(a, b)
/* MAXPS and MINPS return their second operand if one of them is NaN. */
#define larger_number(a, b) _mm_max_ps(a, b)
static inline float total(vec v)
{
    const vec sum = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps(sum, sum, 1)));
}

#elif defined(ISA_DOUBLE)

typedef __m128d vec;
#define LANES 2
#define load(p) _mm_loadu_pd(p)
#define store(p, v) _mm_storeu_pd(p, v)
#define load_aligned(p) _mm_load_pd((const double *)(p))
#define store_aligned(p, v) _mm_store_pd((double *)(p), v)
#define spread(x) _mm_set1_pd(x)
#define add(a, b) _mm_add_pd(a, b)
#define subtract(a, b) _mm_sub_pd(a, b)
#define multiply(a, b) _mm_mul_pd(a, b)
#define divide(a, b) _mm_div_pd(a, b)
#define square_root(a) _mm_sqrt_pd(a)
#define multiply_add(a, b, c) _mm_add_pd(_mm_mul_pd(a, b), c)
#define subtract_product(a, b, c) _mm_sub_pd(c, _mm_mul_pd(a, b))
#define larger(a, b) _mm_max_pd(a, b)
#define smaller(a, b) _mm_min_pd(a, b)
/* MAXPD and MINPD return their second operand if one of them is NaN. */
#define larger_number(a, b) _mm_max_pd(a, b)

#else
#error "ISA_FLOAT or ISA_DOUBLE has to be defined."
#endif
