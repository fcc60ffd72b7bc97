/* NEON, which every 64-bit Arm processor has: the operations of isa.h. */
#include <arm_neon.h>

#if defined(ISA_FLOAT)

typedef float32x4_t vec;
#define LANES 4
#define load(p) vld1q_f32(p)
#define store(p, v) vst1q_f32(p, v)
#define load_aligned(p) vld1q_f32((const float *)(p))
#define store_aligned(p, v) vst1q_f32((float *)(p), v)
#define spread(x) vdupq_n_f32(x)
#define add(a, b) vaddq_f32(a, b)
#define subtract(a, b) vsubq_f32(a, b)
#define multiply(a, b) vmulq_f32(a, b)
#define divide(a, b) vdivq_f32(a, b)
#define square_root(a) vsqrtq_f32(a)
#define multiply_add(a, b, c) vfmaq_f32(c, a, b)
#define subtract_product(a, b, c) vfmsq_f32(c, a, b)
/* NaN if one operand is NaN. */
#define larger(a, b) vmaxq_f32(a, b)
#define smaller(a, b) vminq_f32(a, b)
/* FMAXNM, unlike FMAX, returns the number if the other operand is NaN. */
#define larger_number(a, b) vmaxnmq_f32(a, b)
#define total(v) vaddvq_f32(v)

#elif defined(ISA_DOUBLE)

typedef float64x2_t vec;
#define LANES 2
#define load(p) vld1q_f64(p)
#define store(p, v) vst1q_f64(p, v)
#define load_aligned(p) vld1q_f64((const double *)(p))
#define store_aligned(p, v) vst1q_f64((double *)(p), v)
#define spread(x) vdupq_n_f64(x)
#define add(a, b) vaddq_f64(a, b)
#define subtract(a, b) vsubq_f64(a, b)
#define multiply(a, b) vmulq_f64(a, b)
#define divide(a, b) vdivq_f64(a, b)
#define square_root(a) vsqrtq_f64(a)
#define multiply_add(a, b, c) vfmaq_f64(c, a, b)
#define subtract_product(a, b, c) vfmsq_f64(c, a, b)
/* NaN if one operand is NaN. */
#define larger(a, b) vmaxq_f64(a, b)
#define smaller(a, b) vminq_f64(a, b)
/* FMAXNM, unlike FMAX, returns the number if the other operand is NaN. */
#define larger_number(a, b) vmaxnmq_f64(a, b)

#else
#error "ISA_FLOAT or ISA_DOUBLE has to be defined."
#endif
