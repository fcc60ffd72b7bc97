/* AVX2 with FMA. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_FLOAT
#include "isa_avx2.h"

#define KERNEL avx2
#include "dconv_layer.h"

#include "isa_end.h"

#else
typedef int no_such_instruction_set;
#endif
