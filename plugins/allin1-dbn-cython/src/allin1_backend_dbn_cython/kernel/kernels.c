/* The kernels of this build, fastest first. */
#include "bar_pointer.h"
#include "isa.h"

#if defined(ISA_X86_64)

extern const bp_kernel bp_kernel_avx512, bp_kernel_avx2, bp_kernel_sse2, bp_kernel_scalar;
const bp_kernel *const bp_kernels[] = {&bp_kernel_avx512, &bp_kernel_avx2, &bp_kernel_sse2,
                                       &bp_kernel_scalar, NULL};

#elif defined(ISA_ARM64)

extern const bp_kernel bp_kernel_neon, bp_kernel_scalar;
const bp_kernel *const bp_kernels[] = {&bp_kernel_neon, &bp_kernel_scalar, NULL};

#else

extern const bp_kernel bp_kernel_scalar;
const bp_kernel *const bp_kernels[] = {&bp_kernel_scalar, NULL};

#endif
