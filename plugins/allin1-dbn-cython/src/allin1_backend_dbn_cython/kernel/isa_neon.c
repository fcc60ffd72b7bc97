/* What every 64-bit Arm has. */
#if defined(__aarch64__) || defined(_M_ARM64)

#include <arm_neon.h>

typedef float64x2_t vec;
#define LANES 2
#define CONSTANTS
#define TARGETS 3
#define load(p) vld1q_f64(p)
#define store(p, v) vst1q_f64(p, v)
#define spread(x) vdupq_n_f64(x)
#define add(a, b) vaddq_f64(a, b)
#define also_add(a, b) vaddq_f64(a, b)
/* FMAXNM, unlike FMAX, gives the number where the other operand is NaN. */
#define larger(candidate, old) vmaxnmq_f64(candidate, old)

static int supported(void)
{
    return 1;
}

#define KERNEL neon
#define SUPPORTED supported
#include "advance.h"

#else
typedef int no_such_instruction_set;
#endif
