/* AVX2 with FMA. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_SPARING
#define ISA_DOUBLE
#include "isa_avx2.h"

#define TARGETS 3
#define CONSTANTS const vec one = spread(L->one);
#define also_add(a, b) multiply_add(b, one, a)
#define SUPPORTED isa_has_avx2
#define KERNEL avx2
#include "advance.h"

#include "isa_end.h"

#else
typedef int no_such_instruction_set;
#endif
