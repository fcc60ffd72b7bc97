/* NEON, which every 64-bit Arm processor has. */
#include "isa.h"

#if defined(ISA_ARM64)

#define ISA_DOUBLE
#include "isa_neon.h"

#include "spectrogram.h"

typedef float32x2_t half_vec;
#define half_load(p) vld1_f32(p)
#define half_store(p, v) vst1_f32(p, v)
#define half_spread(x) vdup_n_f32(x)
#define half_madd(a, b, c) vfma_f32(c, a, b)
#define half_root(v) vsqrt_f32(v)
#define narrow(v) vcvt_f32_f64(v)
typedef float32x4_t wide_vec;
#define WIDE 4
#define wide_load(p) vld1q_f32(p)
#define wide_store(p, v) vst1q_f32(p, v)
#define wide_spread(x) vdupq_n_f32(x)
#define wide_sub(a, b) vsubq_f32(a, b)
#define wide_min(a, b) vminq_f32(a, b)
#define wide_max(a, b) vmaxq_f32(a, b)
#define wide_below(a, x, b, c) vbslq_f32(vcltq_f32(a, x), b, c)

#define COLUMNS 1
static inline void take(const float *p, vec *out)
{
    const vec a = vcvt_f64_f32(vld1_f32(p)), b = vcvt_f64_f32(vld1_f32(p + SP_HOP));
    out[0] = vzip1q_f64(a, b);
    out[1] = vzip2q_f64(a, b);
}

#define KERNEL neon
#include "spectrogram_frames.h"

#else
typedef int no_such_instruction_set;
#endif
