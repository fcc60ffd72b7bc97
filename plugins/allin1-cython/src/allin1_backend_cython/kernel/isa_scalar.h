/* Plain C for every processor: the operations of isa.h on vectors of one number. */
#include <math.h>

#if defined(ISA_FLOAT)
typedef float vec;
#define square_root(a) sqrtf(a)
#elif defined(ISA_DOUBLE)
typedef double vec;
#define square_root(a) sqrt(a)
#else
#error "ISA_FLOAT or ISA_DOUBLE has to be defined."
#endif

#define LANES 1
#define load(p) (*(p))
#define store(p, v) (*(p) = (v))
#define load_aligned(p) (*(p))
#define store_aligned(p, v) (*(p) = (v))
#define spread(x) (x)
#define add(a, b) ((a) + (b))
#define subtract(a, b) ((a) - (b))
#define multiply(a, b) ((a) * (b))
#define divide(a, b) ((a) / (b))
#define multiply_add(a, b, c) ((a) * (b) + (c))
#define subtract_product(a, b, c) ((c) - (a) * (b))
#define total(v) (v)

static inline vec larger(vec a, vec b)
{
    return a > b ? a : b;
}

static inline vec smaller(vec a, vec b)
{
    return a < b ? a : b;
}

#define larger_number(a, b) larger(a, b)
