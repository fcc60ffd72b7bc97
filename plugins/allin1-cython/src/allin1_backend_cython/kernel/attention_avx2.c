/* AVX2 with FMA. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_FLOAT
#include "isa_avx2.h"

#define ROWS 4
#define VECTORS 3
#define power_of_bits(v) \
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(v), 23), \
                                         _mm256_set1_epi32(0x3f800000)))

#define KERNEL avx2
#include "attention_tiles.h"

#include "isa_end.h"

#else
typedef int no_such_instruction_set;
#endif
