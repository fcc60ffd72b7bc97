/* AVX-512F. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_FLOAT
#include "isa_avx512.h"

#define KERNEL avx512
#include "dconv_layer.h"

#include "isa_end.h"

#else
typedef int no_such_instruction_set;
#endif
