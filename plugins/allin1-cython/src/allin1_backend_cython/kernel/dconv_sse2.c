/* SSE2, which every 64-bit x86 processor has. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_FLOAT
#include "isa_sse2.h"

#define KERNEL sse2
#include "dconv_layer.h"

#else
typedef int no_such_instruction_set;
#endif
