/* Functions of one value, and of one column. The file that includes network_passes.h has included the header of its
 * instruction set, for floats (isa.h lists its operations; network_scalar.c defines them for vectors of four), with LANES
 * a multiple of the instruments, and defines
 *
 *   load_four(p)               four values, repeated
 *   reciprocal(a)              to 22 bits at least
 *   turned_n(v)                lane i of each four gets lane (i + n) % 4 of the same four
 *   power_of_bits(v)           the float whose exponent's bits are the low 9 bits of v's, plus 127
 *   VECTORS                    number of vectors of columns whose product is computed together
 *   TURNS, CHANNELS            numbers of turns and channels that attention across instruments processes together
 *   KERNEL                     name of the kernel, as an identifier
 *
 * Rounding happens exactly where it is written: contraction is off.
 */
#include "network.h"

#define UNROLL 16
#include "inline.h"

/* Frames of a vector. */
#define VECTOR_FRAMES (LANES / NN_INSTRUMENTS)

#define NORM_EPSILON 1e-5f

#define LEAST_POWER -120.0f
#include "power_of_two.h"

/* x above 0, exp(x) - 1 below. */
INLINE vec elu(vec x)
{
    const vec zero = spread(0.0f), log2_e = spread(1.44269504f);
    const vec below = power_of_two(multiply(smaller(zero, x), log2_e));
    return add(larger(zero, x), subtract(below, spread(1.0f)));
}

/* x * (1 + erf(x / sqrt 2)) / 2. The error function is x * P(x^2) / Q(x^2), fitted by reweighted least
 * squares up to 5.6, where it exceeds 1 by more than the rounding error, and clipped to 1: values far below 0,
 * of which a layer has many, must give exactly 0. All coefficients are positive, so nothing cancels; the total
 * error of the fit is at most 5e-8 * max(1, |x| / 2). */
INLINE vec gelu(vec x)
{
    const vec z = smaller(spread(5.6f * 5.6f), multiply(x, x));
    const vec half = multiply(spread(0.5f), x);
    vec p = spread(4.52932140e-8f), q = spread(1.18535910e-6f), erf;
    p = multiply_add(p, z, spread(1.24982219e-5f));
    q = multiply_add(q, z, spread(7.20254183e-5f));
    p = multiply_add(p, z, spread(3.31043340e-4f));
    q = multiply_add(q, z, spread(1.87045657e-3f));
    p = multiply_add(p, z, spread(9.32844103e-3f));
    q = multiply_add(q, z, spread(2.85134334e-2f));
    p = multiply_add(p, z, spread(6.72425771e-2f));
    q = multiply_add(q, z, spread(2.50945483e-1f));
    p = multiply_add(p, z, spread(7.97885381e-1f));
    q = multiply_add(q, z, spread(1.0f));
    erf = multiply(multiply(p, x), reciprocal(q));
    erf = smaller(spread(1.0f), larger(spread(-1.0f), erf));
    return multiply_add(erf, half, half);
}

/* Divide each column of a tile by its root mean square: a LayerNorm of values whose mean is 0. */
static void normalise(const float *x, ptrdiff_t row, float *y)
{
    for (int column = 0; column < NN_COLUMNS; column += LANES) {
        vec sum = spread(0.0f), more = spread(0.0f);
        for (int c = 0; c < NN_CHANNELS; c += 2) {
            const vec one = load(x + c * row + column), two = load(x + (c + 1) * row + column);
            sum = multiply_add(one, one, sum);
            more = multiply_add(two, two, more);
        }
        sum = multiply_add(add(sum, more), spread(1.0f / NN_CHANNELS), spread(NORM_EPSILON));
        const vec scale = divide(spread(1.0f), square_root(sum));
        for (int c = 0; c < NN_CHANNELS; c++)
            store(y + c * NN_COLUMNS + column, multiply(load(x + c * row + column), scale));
    }
}

/* Subtract the mean of each of LANES columns of `rows` rows, and return that mean. */
INLINE vec centre(float *x, int rows)
{
    vec sum = spread(0.0f), more = spread(0.0f);
    for (int c = 0; c < rows; c += 2) {
        sum = add(sum, load(x + c * NN_COLUMNS));
        more = add(more, load(x + (c + 1) * NN_COLUMNS));
    }
    const vec mean = multiply(add(sum, more), spread(1.0f / (float)rows));
    for (int c = 0; c < rows; c++)
        store(x + c * NN_COLUMNS, subtract(load(x + c * NN_COLUMNS), mean));
    return mean;
}
