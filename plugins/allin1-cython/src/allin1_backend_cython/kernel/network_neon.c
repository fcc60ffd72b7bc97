/* NEON, which every 64-bit Arm processor has. */
#include "isa.h"

#if defined(ISA_ARM64)

#define ISA_FLOAT
#include "isa_neon.h"

#define VECTORS 4
#define CHANNELS 1
#define TURNS 4
#define load_four(p) vld1q_f32(p)
#define turned_1(v) vextq_f32(v, v, 1)
#define turned_2(v) vextq_f32(v, v, 2)
#define turned_3(v) vextq_f32(v, v, 3)
#define power_of_bits(v) \
    vreinterpretq_f32_s32(vaddq_s32(vshlq_n_s32(vreinterpretq_s32_f32(v), 23), \
                                    vdupq_n_s32(0x3f800000)))
#define reciprocal(a) vdivq_f32(vdupq_n_f32(1.0f), a)

#define KERNEL neon
#include "network_passes.h"

#else
typedef int no_such_instruction_set;
#endif
