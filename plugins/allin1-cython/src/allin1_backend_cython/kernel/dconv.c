#include "dconv.h"

#include "isa.h"

#if defined(ISA_X86_64)
extern const dc_kernel dc_kernel_avx512, dc_kernel_avx2, dc_kernel_sse2, dc_kernel_scalar;
const dc_kernel *const dc_kernels[] = {&dc_kernel_avx512, &dc_kernel_avx2, &dc_kernel_sse2,
                                       &dc_kernel_scalar, NULL};
#elif defined(ISA_ARM64)
extern const dc_kernel dc_kernel_neon, dc_kernel_scalar;
const dc_kernel *const dc_kernels[] = {&dc_kernel_neon, &dc_kernel_scalar, NULL};
#else
extern const dc_kernel dc_kernel_scalar;
const dc_kernel *const dc_kernels[] = {&dc_kernel_scalar, NULL};
#endif
