/* Plain C, for every processor. */
#include "isa.h"

#define ISA_DOUBLE
#include "isa_scalar.h"

#define TARGETS 2
#define CONSTANTS
#define also_add(a, b) add(a, b)
#define SUPPORTED isa_always
#define KERNEL scalar
#include "advance.h"
