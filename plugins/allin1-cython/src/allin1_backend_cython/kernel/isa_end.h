/* Ends what the header of an instruction set has begun. */
#if defined(ISA_PUSHED)
#pragma clang attribute pop
#undef ISA_PUSHED
#endif
