/* What every 64-bit Arm has. */
#include "isa.h"
#if defined(ISA_ARM64)

#include <arm_neon.h>

typedef float32x4_t vec;
#define LANES 4
#define load(p) vld1q_f32(p)
#define store(p, v) vst1q_f32(p, v)
#define spread(x) vdupq_n_f32(x)
#define add(a, b) vaddq_f32(a, b)
#define mul(a, b) vmulq_f32(a, b)
#define over(a, b) vdivq_f32(a, b)
#define madd(a, b, c) vfmaq_f32(c, a, b)
#define least(a, b) vminq_f32(a, b)
#define most(a, b) vmaxq_f32(a, b)
#define total(v) vaddvq_f32(v)

#define KERNEL neon
#include "dconv_layer.h"

#else
typedef int no_such_instruction_set;
#endif
