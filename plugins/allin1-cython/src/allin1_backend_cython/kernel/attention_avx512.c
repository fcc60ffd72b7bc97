/* AVX-512F. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_FLOAT
#include "isa_avx512.h"

#define ROWS 8
#define VECTORS 3
#define power_of_bits(v) \
    _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(v), 23), \
                                         _mm512_set1_epi32(0x3f800000)))

#define KERNEL avx512
#include "attention_tiles.h"

#include "isa_end.h"

#else
typedef int no_such_instruction_set;
#endif
