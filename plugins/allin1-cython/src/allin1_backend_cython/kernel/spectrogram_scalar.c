/* Plain C, for every processor. */
#include "isa.h"

#define ISA_DOUBLE
#include "isa_scalar.h"

#include "spectrogram.h"

typedef float half_vec;
#define half_load(p) (*(p))
#define half_store(p, v) (*(p) = (v))
#define half_spread(x) (x)
#define half_madd(a, b, c) ((a) * (b) + (c))
#define half_root(v) sqrtf(v)
#define narrow(v) ((float)(v))
typedef float wide_vec;
#define WIDE 1
#define wide_load(p) (*(p))
#define wide_store(p, v) (*(p) = (v))
#define wide_spread(x) (x)
#define wide_sub(a, b) ((a) - (b))
#define wide_min(a, b) ((a) < (b) ? (a) : (b))
#define wide_max(a, b) ((a) > (b) ? (a) : (b))
#define wide_below(a, x, b, c) ((a) < (x) ? (b) : (c))

#define COLUMNS 1
static inline void take(const float *p, vec *out)
{
    out[0] = p[0];
    out[1] = p[1];
}

#define KERNEL scalar
#include "spectrogram_frames.h"
