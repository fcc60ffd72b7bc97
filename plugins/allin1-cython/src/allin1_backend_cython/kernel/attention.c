#include "attention.h"

#include "isa.h"

#if defined(ISA_X86_64)
extern const at_kernel at_kernel_avx512, at_kernel_avx2;
const at_kernel *const at_kernels[] = {&at_kernel_avx512, &at_kernel_avx2, NULL};
#else
const at_kernel *const at_kernels[] = {NULL};
#endif
