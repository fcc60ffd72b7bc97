/* What every 64-bit x86 has. */
#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))

#include <emmintrin.h>

typedef __m128d vec;
#define LANES 2
#define CONSTANTS
#define TARGETS 2
#define load(p) _mm_loadu_pd(p)
#define store(p, v) _mm_storeu_pd(p, v)
#define spread(x) _mm_set1_pd(x)
#define add(a, b) _mm_add_pd(a, b)
#define also_add(a, b) _mm_add_pd(a, b)
/* MAXPD gives its second operand where one of them is NaN. */
#define larger(candidate, old) _mm_max_pd(candidate, old)

static int supported(void)
{
    return 1;
}

#define KERNEL sse2
#define SUPPORTED supported
#include "advance.h"

#else
typedef int no_such_instruction_set;
#endif
