/* Plain C, for every processor. */
#include "isa.h"

#define ISA_FLOAT
#include "isa_scalar.h"

#define KERNEL scalar
#include "dconv_layer.h"
