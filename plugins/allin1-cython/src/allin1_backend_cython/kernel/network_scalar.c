/* Plain C, for every processor: vectors of four, the instruments of one frame. */
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    float lane[4];
} vec;
#define LANES 4
#define VECTORS 1
#define CHANNELS 1
#define TURNS 1

#define EACH(expression) \
    vec result; \
    for (int i = 0; i < 4; i++) \
        result.lane[i] = (expression); \
    return result;

static inline vec load(const float *p)
{
    EACH(p[i])
}

#define load_four(p) load(p)

static inline void store(float *p, vec v)
{
    for (int i = 0; i < 4; i++)
        p[i] = v.lane[i];
}

static inline vec spread(float x)
{
    EACH(x)
}

static inline vec add(vec a, vec b)
{
    EACH(a.lane[i] + b.lane[i])
}

static inline vec subtract(vec a, vec b)
{
    EACH(a.lane[i] - b.lane[i])
}

static inline vec multiply(vec a, vec b)
{
    EACH(a.lane[i] * b.lane[i])
}

static inline vec multiply_add(vec a, vec b, vec c)
{
    EACH(a.lane[i] * b.lane[i] + c.lane[i])
}

static inline vec divide(vec a, vec b)
{
    EACH(a.lane[i] / b.lane[i])
}

static inline vec square_root(vec a)
{
    EACH(sqrtf(a.lane[i]))
}

static inline vec larger(vec a, vec b)
{
    EACH(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i])
}

static inline vec smaller(vec a, vec b)
{
    EACH(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i])
}

static inline vec turned(vec v, int by)
{
    EACH(v.lane[(i + by) & 3])
}

#define turned_1(v) turned(v, 1)
#define turned_2(v) turned(v, 2)
#define turned_3(v) turned(v, 3)

static inline vec power_of_bits(vec v)
{
    for (int i = 0; i < 4; i++) {
        uint32_t bits;
        memcpy(&bits, &v.lane[i], sizeof bits);
        bits = (bits << 23) + 0x3f800000u;
        memcpy(&v.lane[i], &bits, sizeof bits);
    }
    return v;
}

static inline vec reciprocal(vec a)
{
    EACH(1.0f / a.lane[i])
}

#define KERNEL scalar
#include "network_passes.h"
