/* Functions that are always inlined (INLINE), and loops that are unrolled completely (UNROLLED), if they have at most UNROLL
 * passes, which the file that includes this defines. */
#if defined(_MSC_VER) && !defined(__clang__)
#define INLINE static __forceinline
#define UNROLLED
#elif defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED_PRAGMA(text) _Pragma(#text)
#define UNROLLED_UP_TO(most) UNROLLED_PRAGMA(GCC unroll most)
#define UNROLLED UNROLLED_UP_TO(UNROLL)
#endif
