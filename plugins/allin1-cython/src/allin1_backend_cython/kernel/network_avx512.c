/* AVX-512F. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_FLOAT
#include "isa_avx512.h"

#define VECTORS 4
#define CHANNELS 1
#define TURNS 4
#define load_four(p) _mm512_broadcast_f32x4(_mm_loadu_ps(p))
#define turned_1(v) _mm512_permute_ps(v, 0x39)
#define turned_2(v) _mm512_permute_ps(v, 0x4e)
#define turned_3(v) _mm512_permute_ps(v, 0x93)
#define power_of_bits(v) \
    _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(v), 23), \
                                         _mm512_set1_epi32(0x3f800000)))
/* VRCP14PS, to 14 bits, and one step of Newton's method. */
#define reciprocal(a) newton(a, _mm512_rcp14_ps(a))
#define newton(a, r) _mm512_mul_ps(r, _mm512_fnmadd_ps(a, r, _mm512_set1_ps(2.0f)))

#define KERNEL avx512
#include "network_passes.h"

#include "isa_end.h"

#else
typedef int no_such_instruction_set;
#endif
