/* AVX2 with FMA. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_DOUBLE
#include "isa_avx2.h"

#include "spectrogram.h"

typedef __m128 half_vec;
#define half_load(p) _mm_loadu_ps(p)
#define half_store(p, v) _mm_storeu_ps(p, v)
#define half_spread(x) _mm_set1_ps(x)
#define half_madd(a, b, c) _mm_fmadd_ps(a, b, c)
#define half_root(v) _mm_sqrt_ps(v)
#define narrow(v) _mm256_cvtpd_ps(v)
typedef __m256 wide_vec;
#define WIDE 8
#define wide_load(p) _mm256_loadu_ps(p)
#define wide_store(p, v) _mm256_storeu_ps(p, v)
#define wide_spread(x) _mm256_set1_ps(x)
#define wide_sub(a, b) _mm256_sub_ps(a, b)
#define wide_min(a, b) _mm256_min_ps(a, b)
#define wide_max(a, b) _mm256_max_ps(a, b)
#define wide_below(a, x, b, c) _mm256_blendv_ps(c, b, _mm256_cmp_ps(a, x, _CMP_LT_OQ))

#define COLUMNS 2
static inline void take(const float *p, vec *out)
{
    __m128 a = _mm_loadu_ps(p), b = _mm_loadu_ps(p + SP_HOP);
    __m128 c = _mm_loadu_ps(p + 2 * SP_HOP), d = _mm_loadu_ps(p + 3 * SP_HOP);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    out[0] = _mm256_cvtps_pd(a);
    out[1] = _mm256_cvtps_pd(b);
    out[2] = _mm256_cvtps_pd(c);
    out[3] = _mm256_cvtps_pd(d);
}

#define KERNEL avx2
#include "spectrogram_frames.h"

#include "isa_end.h"

#else
typedef int no_such_instruction_set;
#endif
