/* 2^x for x <= 0, relative error 2e-9 before rounding. Below LEAST_POWER, which the file that includes this defines, it is 2 to
 * that power, so that products with it do not become subnormal numbers, which are slow. NaN stays NaN. */
INLINE vec power_of_two(vec x)
{
    /* Adding this rounds to a whole number, which is then in the low bits. */
    const vec rounding = spread(12582912.0f);
    x = larger(spread(LEAST_POWER), x);
    const vec shifted = add(x, rounding);
    const vec rest = subtract(x, subtract(shifted, rounding));
    vec p = spread(1.53533618e-4f);
    p = multiply_add(p, rest, spread(1.33988745e-3f));
    p = multiply_add(p, rest, spread(9.61843736e-3f));
    p = multiply_add(p, rest, spread(5.55033247e-2f));
    p = multiply_add(p, rest, spread(2.40226479e-1f));
    p = multiply_add(p, rest, spread(6.93147203e-1f));
    p = multiply_add(p, rest, spread(1.0f));
    return multiply(p, power_of_bits(shifted));
}
