/* Plain C, for every processor. */
typedef float vec;
#define LANES 1
#define load(p) (*(p))
#define store(p, v) (*(p) = (v))
#define spread(x) (x)
#define add(a, b) ((a) + (b))
#define mul(a, b) ((a) * (b))
#define over(a, b) ((a) / (b))
#define madd(a, b, c) ((a) * (b) + (c))
#define total(v) (v)

static inline float least(float a, float b)
{
    return a < b ? a : b;
}

static inline float most(float a, float b)
{
    return a > b ? a : b;
}

#define KERNEL scalar
#include "dconv_layer.h"
