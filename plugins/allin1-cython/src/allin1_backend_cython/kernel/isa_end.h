/* Include this last: it closes the region that the header of an instruction set opened. */
#if defined(ISA_PUSHED)
#pragma clang attribute pop
#undef ISA_PUSHED
#endif
