#include "spectrogram.h"

#include "isa.h"

#if defined(ISA_X86_64)
extern const sp_kernel sp_kernel_avx512, sp_kernel_avx2, sp_kernel_sse2, sp_kernel_scalar;
const sp_kernel *const sp_kernels[] = {&sp_kernel_avx512, &sp_kernel_avx2, &sp_kernel_sse2,
                                       &sp_kernel_scalar, NULL};
#elif defined(ISA_ARM64)
extern const sp_kernel sp_kernel_neon, sp_kernel_scalar;
const sp_kernel *const sp_kernels[] = {&sp_kernel_neon, &sp_kernel_scalar, NULL};
#else
extern const sp_kernel sp_kernel_scalar;
const sp_kernel *const sp_kernels[] = {&sp_kernel_scalar, NULL};
#endif
