/* What every 64-bit Arm has. */
#include "isa.h"

#if defined(ISA_ARM64)

#include <arm_neon.h>

typedef float32x4_t vec;
#define LANES 4
#define VECTORS 4
#define CHANNELS 1
#define TURNS 4
#define load(p) vld1q_f32(p)
#define load_four(p) vld1q_f32(p)
#define store(p, v) vst1q_f32(p, v)
#define spread(x) vdupq_n_f32(x)
#define add(a, b) vaddq_f32(a, b)
#define subtract(a, b) vsubq_f32(a, b)
#define multiply(a, b) vmulq_f32(a, b)
#define multiply_add(a, b, c) vfmaq_f32(c, a, b)
#define divide(a, b) vdivq_f32(a, b)
#define square_root(a) vsqrtq_f32(a)
/* Where one operand is NaN, so are these. */
#define larger(a, b) vmaxq_f32(a, b)
#define smaller(a, b) vminq_f32(a, b)
#define turned_1(v) vextq_f32(v, v, 1)
#define turned_2(v) vextq_f32(v, v, 2)
#define turned_3(v) vextq_f32(v, v, 3)
#define power_of_bits(v) \
    vreinterpretq_f32_s32(vaddq_s32(vshlq_n_s32(vreinterpretq_s32_f32(v), 23), \
                                    vdupq_n_s32(0x3f800000)))
#define reciprocal(a) vdivq_f32(vdupq_n_f32(1.0f), a)

#define KERNEL neon
#include "network_passes.h"

#else
typedef int no_such_instruction_set;
#endif
