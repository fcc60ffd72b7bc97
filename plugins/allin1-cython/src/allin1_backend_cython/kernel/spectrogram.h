/* Log-filtered magnitudes of frames of a signal, in double precision up to the magnitude; for the views of a mix,
 * filtered magnitudes entirely in double precision, and their separation by running medians.
 *
 * A frame is a lane of the vectors: the code is scalar code whose numbers are vectors. The result of a frame
 * therefore does not depend on its neighbours, or on how a song is split.
 *
 * The transform of 2048 real samples is one of 1024 complex numbers, pairs of samples, which are separated at the
 * end. It is computed as 32 x 32 (Cooley & Tukey, 1965): 32 transforms along the columns, directly from the
 * samples, a factor each, and 32 along the rows. The two halves of a pair of bins are in the rows k and
 * 32 - k, so magnitudes are computed while both rows are in the L1 cache.
 *
 * In the running median a band is a lane: the values of the window stay sorted, and each frame replaces the one that
 * leaves the window, by minimum, maximum and select.
 */
#ifndef ALLIN1_SPECTROGRAM_H
#define ALLIN1_SPECTROGRAM_H

#include <stddef.h>
#include <stdint.h>

#define SP_WINDOW 2048
#define SP_HOP 441
#define SP_SIDE 32
#define SP_POINTS (SP_SIDE * SP_SIDE)
/* Frames on each side of a frame in the window whose median is its harmonic part. */
#define SP_REACH 15
/* The minimum number of bands that can be separated: the lanes of the widest vectors. */
#define SP_WIDEST 16

typedef struct {
    /* [2048]: the analysis window times half of `scale` (a power of two) */
    const double *window;
    /* exp(-2 pi i b k / 32), [8 b][4 k][real, imaginary] */
    const double *within_side;
    /* exp(-2 pi i c k / 1024), [32 c][32 k][real, imaginary] */
    const double *between_sides;
    /* exp(-2 pi i k / 2048), [1024 k][real, imaginary] */
    const double *halves;
    /* The last bin that any band includes, 1023 at most; none includes bin 0. */
    int32_t last_bin;
    int32_t bands;
    /* [bands]: the first bin of each band, and how many it has */
    const int32_t *starts;
    const int32_t *lengths;
    /* Concatenated weights of the bands, divided by `scale`. */
    const float *weights;
} sp_tables;

typedef struct {
    /* [channels][samples]; one channel, or two */
    const float *samples;
    int64_t channels;
    int64_t channel_stride;
    int64_t length;
    /* Reduce two channels to half their difference instead of their mean. */
    int32_t difference;
} sp_signal;

typedef struct {
    const char *name;
    /* Number of bytes of workspace that `transform` and `magnitudes` need. */
    size_t (*workspace)(const sp_tables *tables);
    /* Frames first <= t < first + count of a signal into out[count][bands]; `workspace` is aligned to 64
     * bytes. Frame t is centred on sample 441 t; outside the signal there are zeros. */
    void (*transform)(const sp_tables *tables, const sp_signal *signal, int64_t first, int64_t count,
                      float *out, void *workspace);
    /* The same without the logarithm, every sum in double precision and rounded once. */
    void (*magnitudes)(const sp_tables *tables, const sp_signal *signal, int64_t first, int64_t count,
                       float *out, void *workspace);
    /* Logarithms of the percussive and the harmonic part of the frames first <= t < first + count of magnitudes
     * mid[total][bands], into [count][bands] each. */
    void (*separate)(const float *mid, int64_t total, int32_t bands, int64_t first, int64_t count,
                     float *percussive, float *harmonic);
    /* log10(1 + x), x >= 0, in place. */
    void (*logarithms)(float *values, int64_t count);
} sp_kernel;

#define SP_JOIN_(a, b) a##b
#define SP_JOIN(a, b) SP_JOIN_(a, b)
#define SP_NAME_(name) #name
#define SP_NAME(name) SP_NAME_(name)

/* The kernels of this architecture; ends with NULL. */
extern const sp_kernel *const sp_kernels[];

#endif
