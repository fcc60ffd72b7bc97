/* The kernels of this build, and whether this processor runs them. */
#include "bar_pointer.h"

#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))

int bp_has_avx2(void);
int bp_has_avx512(void);

#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>

/* Registers that the operating system saves: XCR0, or 0 where it cannot be asked. */
static unsigned long long saved_registers(void)
{
    int leaf[4];
    __cpuid(leaf, 1);
    return leaf[2] & (1 << 27) ? _xgetbv(0) : 0;
}

static int extended_feature(int bit)
{
    int leaf[4];
    __cpuid(leaf, 0);
    if (leaf[0] < 7)
        return 0;
    __cpuidex(leaf, 7, 0);
    return (leaf[1] >> bit) & 1;
}

int bp_has_avx2(void)
{
    int leaf[4];
    __cpuid(leaf, 1);
    return (leaf[2] >> 12 & 1) && extended_feature(5) && (saved_registers() & 0x06) == 0x06;
}

int bp_has_avx512(void)
{
    return extended_feature(16) && (saved_registers() & 0xe6) == 0xe6;
}
#else
/* These look at the operating system's part (XGETBV) too. */
int bp_has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

int bp_has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f");
}
#endif

extern const bp_kernel bp_kernel_avx512, bp_kernel_avx2, bp_kernel_sse2, bp_kernel_scalar;
const bp_kernel *const bp_kernels[] = {&bp_kernel_avx512, &bp_kernel_avx2, &bp_kernel_sse2,
                                       &bp_kernel_scalar, NULL};

#elif defined(__aarch64__) || defined(_M_ARM64)

extern const bp_kernel bp_kernel_neon, bp_kernel_scalar;
const bp_kernel *const bp_kernels[] = {&bp_kernel_neon, &bp_kernel_scalar, NULL};

#else

extern const bp_kernel bp_kernel_scalar;
const bp_kernel *const bp_kernels[] = {&bp_kernel_scalar, NULL};

#endif
