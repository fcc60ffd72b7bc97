#include "isa.h"

#include <stddef.h>

int isa_always(void)
{
    return 1;
}

#if defined(ISA_X86_64)

#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>

/* Registers that the operating system saves: XCR0, or 0 if it cannot be read. */
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

int isa_has_avx2(void)
{
    int leaf[4];
    __cpuid(leaf, 1);
    return (leaf[2] >> 12 & 1) && extended_feature(5) && (saved_registers() & 0x06) == 0x06;
}

int isa_has_avx512(void)
{
    return extended_feature(16) && (saved_registers() & 0xe6) == 0xe6;
}
#else
/* These check the support of the operating system (XGETBV) too. */
int isa_has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

int isa_has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f");
}
#endif

const isa isas[] = {
    {"avx512", isa_has_avx512},
    {"avx2", isa_has_avx2},
    {"sse2", isa_always},
    {"scalar", isa_always},
    {NULL, NULL},
};

#elif defined(ISA_ARM64)

const isa isas[] = {{"neon", isa_always}, {"scalar", isa_always}, {NULL, NULL}};

#else

const isa isas[] = {{"scalar", isa_always}, {NULL, NULL}};

#endif
