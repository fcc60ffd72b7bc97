/* What every 64-bit x86 has. */
#include "isa.h"

#if defined(ISA_X86_64)

#include <emmintrin.h>

typedef __m128 vec;
#define LANES 4
#define VECTORS 2
#define CHANNELS 2
#define TURNS 2
#define load(p) _mm_loadu_ps(p)
#define load_four(p) _mm_loadu_ps(p)
#define store(p, v) _mm_storeu_ps(p, v)
#define spread(x) _mm_set1_ps(x)
#define add(a, b) _mm_add_ps(a, b)
#define subtract(a, b) _mm_sub_ps(a, b)
#define multiply(a, b) _mm_mul_ps(a, b)
#define multiply_add(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#define divide(a, b) _mm_div_ps(a, b)
#define square_root(a) _mm_sqrt_ps(a)
#define larger(a, b) _mm_max_ps(a, b)
#define smaller(a, b) _mm_min_ps(a, b)
#define turned_1(v) _mm_shuffle_ps(v, v, 0x39)
#define turned_2(v) _mm_shuffle_ps(v, v, 0x4e)
#define turned_3(v) _mm_shuffle_ps(v, v, 0x93)
#define power_of_bits(v) \
    _mm_castsi128_ps(_mm_add_epi32(_mm_slli_epi32(_mm_castps_si128(v), 23), \
                                   _mm_set1_epi32(0x3f800000)))
#define reciprocal(a) _mm_div_ps(_mm_set1_ps(1.0f), a)

#define KERNEL sse2
#include "network_passes.h"

#else
typedef int no_such_instruction_set;
#endif
