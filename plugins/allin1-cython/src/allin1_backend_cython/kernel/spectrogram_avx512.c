/* AVX-512F. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_DOUBLE
#include "isa_avx512.h"

#include "spectrogram.h"

typedef __m256 half_vec;
#define half_load(p) _mm256_loadu_ps(p)
#define half_store(p, v) _mm256_storeu_ps(p, v)
#define half_spread(x) _mm256_set1_ps(x)
#define half_madd(a, b, c) _mm256_fmadd_ps(a, b, c)
#define half_root(v) _mm256_sqrt_ps(v)
#define narrow(v) _mm512_cvtpd_ps(v)
typedef __m512 wide_vec;
#define WIDE 16
#define wide_load(p) _mm512_loadu_ps(p)
#define wide_store(p, v) _mm512_storeu_ps(p, v)
#define wide_spread(x) _mm512_set1_ps(x)
#define wide_sub(a, b) _mm512_sub_ps(a, b)
#define wide_min(a, b) _mm512_min_ps(a, b)
#define wide_max(a, b) _mm512_max_ps(a, b)
#define wide_below(a, x, b, c) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, x, _CMP_LT_OQ), c, b)

#define COLUMNS 4
static inline void take(const float *p, vec *out)
{
    __m256 pairs[8], fours[8];
    for (int n = 0; n < 8; n += 2) {
        const __m256 a = _mm256_loadu_ps(p + n * SP_HOP);
        const __m256 b = _mm256_loadu_ps(p + (n + 1) * SP_HOP);
        pairs[n] = _mm256_unpacklo_ps(a, b);
        pairs[n + 1] = _mm256_unpackhi_ps(a, b);
    }
    for (int n = 0; n < 8; n += 4) {
        fours[n] = _mm256_shuffle_ps(pairs[n], pairs[n + 2], 0x44);
        fours[n + 1] = _mm256_shuffle_ps(pairs[n], pairs[n + 2], 0xee);
        fours[n + 2] = _mm256_shuffle_ps(pairs[n + 1], pairs[n + 3], 0x44);
        fours[n + 3] = _mm256_shuffle_ps(pairs[n + 1], pairs[n + 3], 0xee);
    }
    for (int n = 0; n < 4; n++) {
        out[n] = _mm512_cvtps_pd(_mm256_permute2f128_ps(fours[n], fours[n + 4], 0x20));
        out[n + 4] = _mm512_cvtps_pd(_mm256_permute2f128_ps(fours[n], fours[n + 4], 0x31));
    }
}

#define KERNEL avx512
#include "spectrogram_frames.h"

#include "isa_end.h"

#else
typedef int no_such_instruction_set;
#endif
