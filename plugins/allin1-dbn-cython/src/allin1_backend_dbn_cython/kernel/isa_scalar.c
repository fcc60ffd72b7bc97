/* Plain C, for every processor. */
typedef double vec;
#define LANES 1
#define CONSTANTS
#define TARGETS 2
#define load(p) (*(p))
#define store(p, v) (*(p) = (v))
#define spread(x) (x)
#define add(a, b) ((a) + (b))
#define also_add(a, b) ((a) + (b))

static inline double larger(double candidate, double old)
{
    return candidate > old ? candidate : old;
}

static int supported(void)
{
    return 1;
}

#define KERNEL scalar
#define SUPPORTED supported
#include "advance.h"
