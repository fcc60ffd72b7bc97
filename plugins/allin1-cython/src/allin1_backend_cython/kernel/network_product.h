/* Matrix products on the columns of a tile, fused with the operations after them. */
#include "network_elementary.h"

/* The operation that stores a product. */
enum finish {
    SET,        /* y = W x + bias */
    SET_GELU,   /* y = gelu(W x + bias) */
    ADD,        /* y = y + W x + bias */
    START_POOL, /* y = W x */
    POOL,       /* y = max(y, W x) */
    POOL_ELU    /* y = elu(max(y, W x) + bias); adding and ELU are monotonic, so they may follow the maximum */
};

/* The product of [outputs, parts * inputs] weights, which are laid out [outputs / 6][parts][inputs][6], and
 * the rows of x: part p begins at x + p * part, and its rows are `row` apart. */
INLINE void product(const enum finish finish, int outputs, int parts, int inputs,
                    const float *weight, const float *bias, const float *x, ptrdiff_t row,
                    ptrdiff_t part, float *y, ptrdiff_t y_row)
{
    const int begins = finish == SET || finish == SET_GELU || finish == ADD;
    for (int o = 0; o < outputs; o += NN_ROWS, weight += NN_ROWS * parts * inputs)
        for (int column = 0; column < NN_COLUMNS; column += VECTORS * LANES) {
            vec sum[NN_ROWS][VECTORS];
            const float *w = weight;
            UNROLLED for (int i = 0; i < NN_ROWS; i++)
                UNROLLED for (int v = 0; v < VECTORS; v++)
                    sum[i][v] = begins ? spread(bias[o + i]) : spread(0.0f);
            for (int p = 0; p < parts; p++) {
                const float *source = x + p * part + column;
                for (int k = 0; k < inputs; k++, source += row, w += NN_ROWS) {
                    vec operand[VECTORS];
                    UNROLLED for (int v = 0; v < VECTORS; v++)
                        operand[v] = load(source + v * LANES);
                    UNROLLED for (int i = 0; i < NN_ROWS; i++) {
                        const vec factor = spread(w[i]);
                        UNROLLED for (int v = 0; v < VECTORS; v++)
                            sum[i][v] = multiply_add(factor, operand[v], sum[i][v]);
                    }
                }
            }
            UNROLLED for (int i = 0; i < NN_ROWS; i++)
                UNROLLED for (int v = 0; v < VECTORS; v++) {
                    float *target = y + (o + i) * y_row + column + v * LANES;
                    vec value = sum[i][v];
                    if (finish == SET_GELU)
                        value = gelu(value);
                    else if (finish == ADD)
                        value = add(value, load(target));
                    else if (finish == POOL || finish == POOL_ELU)
                        value = larger(value, load(target));
                    if (finish == POOL_ELU)
                        value = elu(add(value, spread(bias[o + i])));
                    store(target, value);
                }
        }
}

static void set_product(int outputs, int inputs, const float *weight, const float *bias,
                        const float *x, float *y, ptrdiff_t y_row)
{
    product(SET, outputs, 1, inputs, weight, bias, x, NN_COLUMNS, 0, y, y_row);
}

static void set_gelu_product(int outputs, int inputs, const float *weight, const float *bias,
                             const float *x, float *y)
{
    product(SET_GELU, outputs, 1, inputs, weight, bias, x, NN_COLUMNS, 0, y, NN_COLUMNS);
}

static void add_product(int outputs, int inputs, const float *weight, const float *bias,
                        const float *x, float *y)
{
    product(ADD, outputs, 1, inputs, weight, bias, x, NN_COLUMNS, 0, y, NN_COLUMNS);
}

/* The maximum of a convolution at three bands, whose inputs are `band` apart. */
static void pooled_product(int outputs, int parts, int inputs, const float *weight,
                           const float *bias, const float *x, ptrdiff_t row, ptrdiff_t part,
                           ptrdiff_t band, float *y, ptrdiff_t y_row)
{
    product(START_POOL, outputs, parts, inputs, weight, bias, x, row, part, y, y_row);
    product(POOL, outputs, parts, inputs, weight, bias, x + band, row, part, y, y_row);
    product(POOL_ELU, outputs, parts, inputs, weight, bias, x + 2 * band, row, part, y, y_row);
}
