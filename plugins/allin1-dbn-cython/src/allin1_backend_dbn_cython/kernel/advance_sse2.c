/* SSE2, which every 64-bit x86 processor has. */
#include "isa.h"

#if defined(ISA_X86_64)

#define ISA_DOUBLE
#include "isa_sse2.h"

#define TARGETS 2
#define CONSTANTS
#define also_add(a, b) add(a, b)
#define SUPPORTED isa_always
#define KERNEL sse2
#include "advance.h"

#else
typedef int no_such_instruction_set;
#endif
