/* NEON, which every 64-bit Arm processor has. */
#include "isa.h"

#if defined(ISA_ARM64)

#define ISA_FLOAT
#include "isa_neon.h"

#define KERNEL neon
#include "dconv_layer.h"

#else
typedef int no_such_instruction_set;
#endif
