/* NEON, which every 64-bit Arm processor has. */
#include "isa.h"

#if defined(ISA_ARM64)

#define ISA_DOUBLE
#include "isa_neon.h"

#define TARGETS 3
#define CONSTANTS
#define also_add(a, b) add(a, b)
#define SUPPORTED isa_always
#define KERNEL neon
#include "advance.h"

#else
typedef int no_such_instruction_set;
#endif
