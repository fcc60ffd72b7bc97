#include "network.h"

#include "isa.h"

#if defined(ISA_X86_64)

extern const nn_kernel nn_kernel_avx512, nn_kernel_avx2, nn_kernel_sse2, nn_kernel_scalar;
const nn_kernel *const nn_kernels[] = {&nn_kernel_avx512, &nn_kernel_avx2, &nn_kernel_sse2,
                                       &nn_kernel_scalar, NULL};

#elif defined(ISA_ARM64)

extern const nn_kernel nn_kernel_neon, nn_kernel_scalar;
const nn_kernel *const nn_kernels[] = {&nn_kernel_neon, &nn_kernel_scalar, NULL};

#else

extern const nn_kernel nn_kernel_scalar;
const nn_kernel *const nn_kernels[] = {&nn_kernel_scalar, NULL};

#endif
