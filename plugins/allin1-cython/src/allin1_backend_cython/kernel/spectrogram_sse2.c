/* SSE2, which every 64-bit x86 processor has. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_DOUBLE
#include "isa_sse2.h"

#include "spectrogram.h"

/* The lower half of a register. */
typedef __m128 half_vec;
#define half_load(p) _mm_loadl_pi(_mm_setzero_ps(), (const __m64 *)(p))
#define half_store(p, v) _mm_storel_pi((__m64 *)(p), v)
#define half_spread(x) _mm_set1_ps(x)
#define half_madd(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#define half_root(v) _mm_sqrt_ps(v)
#define narrow(v) _mm_cvtpd_ps(v)
typedef __m128 wide_vec;
#define WIDE 4
#define wide_load(p) _mm_loadu_ps(p)
#define wide_store(p, v) _mm_storeu_ps(p, v)
#define wide_spread(x) _mm_set1_ps(x)
#define wide_sub(a, b) _mm_sub_ps(a, b)
#define wide_min(a, b) _mm_min_ps(a, b)
#define wide_max(a, b) _mm_max_ps(a, b)
static inline __m128 wide_below(__m128 a, __m128 x, __m128 b, __m128 c)
{
    const __m128 is = _mm_cmplt_ps(a, x);
    return _mm_or_ps(_mm_and_ps(is, b), _mm_andnot_ps(is, c));
}

#define COLUMNS 1
static inline void take(const float *p, vec *out)
{
    const vec a = _mm_cvtps_pd(half_load(p)), b = _mm_cvtps_pd(half_load(p + SP_HOP));
    out[0] = _mm_unpacklo_pd(a, b);
    out[1] = _mm_unpackhi_pd(a, b);
}

#define KERNEL sse2
#include "spectrogram_frames.h"

#else
typedef int no_such_instruction_set;
#endif
