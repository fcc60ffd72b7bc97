/* What every 64-bit x86 has. */
#include "isa.h"
#if defined(ISA_X86_64)

#include <emmintrin.h>

typedef __m128 vec;
#define LANES 4
#define load(p) _mm_loadu_ps(p)
#define store(p, v) _mm_storeu_ps(p, v)
#define spread(x) _mm_set1_ps(x)
#define add(a, b) _mm_add_ps(a, b)
#define mul(a, b) _mm_mul_ps(a, b)
#define over(a, b) _mm_div_ps(a, b)
#define madd(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#define least(a, b) _mm_min_ps(a, b)
#define most(a, b) _mm_max_ps(a, b)
static inline float total(vec v)
{
    const vec sum = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps(sum, sum, 1)));
}

#define KERNEL sse2
#include "dconv_layer.h"

#else
typedef int no_such_instruction_set;
#endif
