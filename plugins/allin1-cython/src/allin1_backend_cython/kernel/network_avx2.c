/* AVX2 with FMA. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_FLOAT
#include "isa_avx2.h"

#define VECTORS 2
#define CHANNELS 2
#define TURNS 2
#define load_four(p) _mm256_broadcast_ps((const __m128 *)(p))
#define turned_1(v) _mm256_permute_ps(v, 0x39)
#define turned_2(v) _mm256_permute_ps(v, 0x4e)
#define turned_3(v) _mm256_permute_ps(v, 0x93)
#define power_of_bits(v) \
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(v), 23), \
                                         _mm256_set1_epi32(0x3f800000)))
/* RCPPS, to 12 bits, and one step of Newton's method. */
#define reciprocal(a) newton(a, _mm256_rcp_ps(a))
#define newton(a, r) _mm256_mul_ps(r, _mm256_fnmadd_ps(a, r, _mm256_set1_ps(2.0f)))

#define KERNEL avx2
#include "network_passes.h"

#include "isa_end.h"

#else
typedef int no_such_instruction_set;
#endif
