/* SSE2, which every 64-bit x86 processor has. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_FLOAT
#include "isa_sse2.h"

#define VECTORS 4
#define CHANNELS 2
#define TURNS 2
#define load_four(p) _mm_loadu_ps(p)
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
