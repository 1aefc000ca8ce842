/* Log-mel frames: window, real FFT, power, triangular bands, decibels. The numbers of edge_asd/frontend.py.
 *
 * Several frames are computed at once, one in each lane of a vector: every operation of the transform then is one
 * vector operation, with no shuffling inside it, and a frame's bits do not depend on its lane or its neighbours.
 *
 * The transform computes in double precision, as numpy's does: in single precision its rounding errors, which are as
 * large in an empty band as in the loudest one, were heard 60 dB below a pure tone. All else is single precision.
 *
 * The transform is of real samples, by decimation in time: transforms of length 4 or 8 first, then stages of radix 4,
 * in place. The spectrum of real samples is half redundant, so a block of n samples becomes n / 2 points: the first
 * holds the two real bins (0 and n / 2), each other one bin of a conjugate pair. Which one is left as it falls: tables
 * made beforehand know each point's bin. (Packing the samples into a complex transform of half the length costs as
 * much, and adds rounding errors of a loud bin to its mirror image.)
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ABI 1
/* Doubles in one register; the transform is run twice for the floats of one register. */
#if defined(__AVX2__)
#define WIDE_LANES 4
#else
#define WIDE_LANES 2
#endif
#define LANES (2 * WIDE_LANES)

#define INLINE static inline __attribute__((always_inline))
#define EXPORT __attribute__((visibility("default")))

typedef double wide __attribute__((vector_size(8 * WIDE_LANES)));
typedef float narrow __attribute__((vector_size(4 * WIDE_LANES)));
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef float quad __attribute__((vector_size(16)));
typedef float loose_quad __attribute__((vector_size(16), aligned(4), may_alias));

#if defined(__clang__)
#define PICK(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t iquad __attribute__((vector_size(16)));
#define PICK(a, b, i, j, k, l) __builtin_shuffle(a, b, (iquad){i, j, k, l})
#endif

typedef struct {
    wide re, im;
} point;

typedef struct {
    double re, im;
} twiddle;

typedef struct {
    int first_bin, n_bins;
} band;

typedef struct {
    int n_fft, hop, n_mels, magnitude;
    float floor, decibel_factor;
    int base;          /* length of the first transforms, 4 or 8 */
    point *points;     /* [n_fft / 2] the transform's work and result */
    vec *power;        /* [n_fft / 2 + 1] */
    vec *decibels;     /* [n_mels] */
    float *window;     /* [n_fft] */
    twiddle *steps;    /* three for each butterfly of each stage, in the order of use */
    int *place;        /* [n_fft / base] where the first transform that begins with sample n goes */
    int *bin;          /* [n_fft / 2] which bin a point is */
    band *bands;       /* [n_mels] */
    float *weights;    /* of all bands, one after the other */
} plan;

INLINE point add(point a, point b) { return (point){a.re + b.re, a.im + b.im}; }
INLINE point sub(point a, point b) { return (point){a.re - b.re, a.im - b.im}; }
INLINE point turned(point a) { return (point){a.im, -a.re}; } /* times -i */
INLINE point times(point a, twiddle w)
{
    return (point){a.re * w.re - a.im * w.im, a.im * w.re + a.re * w.im};
}

/* Real samples to their transform of length 4: bins 0 and 2 (both real) in `real`, bin 1 in `one`. */
INLINE void transform_4(wide a, wide b, wide c, wide d, point *real, point *one)
{
    wide even = a + c, odd = b + d;
    *real = (point){even + odd, even - odd};
    *one = (point){a - c, d - b};
}

#define DIAGONAL 0.70710678118654752440

/* Length 8: points are bins 0 and 4 (real), 2, 1 and 5. */
INLINE void transform_8(wide a, wide b, wide c, wide d, wide e, wide f, wide g, wide h, point *p)
{
    point even, odd, even_one, odd_one;
    transform_4(a, c, e, g, &even, &even_one);
    transform_4(b, d, f, h, &odd, &odd_one);
    odd_one = (point){(odd_one.re + odd_one.im) * DIAGONAL, (odd_one.im - odd_one.re) * DIAGONAL};
    p[0] = (point){even.re + odd.re, even.re - odd.re};
    p[1] = (point){even.im, -odd.im};
    p[2] = add(even_one, odd_one);
    p[3] = sub(even_one, odd_one);
}

/* The real bins of four neighbouring transforms of `quarter` points: bins 0 and 4 * quarter of the whole and one of
 * each pair at an eighth, a quarter and three eighths of its length. */
INLINE void real_bins(point *p, int quarter)
{
    point a = p[0], b = p[quarter], c = p[2 * quarter], d = p[3 * quarter];
    transform_4(a.re, b.re, c.re, d.re, p, p + quarter);
    wide near = (b.im - d.im) * DIAGONAL, far = (b.im + d.im) * DIAGONAL;
    p[2 * quarter] = (point){a.im + near, -(c.im + far)};
    p[3 * quarter] = (point){a.im - near, far - c.im};
}

/* Joins each four neighbouring transforms of `quarter` points; gives the twiddles of the next stage. */
INLINE const twiddle *stage(point *z, int n, int quarter, const twiddle *w)
{
    for (int block = 0; block < n; block += 4 * quarter) {
        real_bins(z + block, quarter);
    }
    for (int j = 1; j < quarter; j++, w += 3) {
        twiddle first = w[0], second = w[1], third = w[2];
        for (int block = 0; block < n; block += 4 * quarter) {
            point *p = z + block + j;
            point a = p[0], b = times(p[quarter], first);
            point c = times(p[2 * quarter], second), d = times(p[3 * quarter], third);
            point even = add(a, c), odd = sub(a, c), sum = add(b, d), difference = turned(sub(b, d));
            p[0] = add(even, sum);
            p[quarter] = add(odd, difference);
            p[2 * quarter] = sub(even, sum);
            p[3 * quarter] = sub(odd, difference);
        }
    }
    return w;
}

/* Four windowed samples of each of WIDE_LANES frames, a frame in each lane. */
INLINE void gather(const float *samples, int hop, quad window, wide out[4])
{
#define FRAME(lane) (*(const loose_quad *)(samples + (size_t)(lane) * hop) * window)
#define WIDENED(q, from) __builtin_convertvector(((union { quad whole; narrow parts[2]; }){q}).parts[from], wide)
#if WIDE_LANES == 4
    quad a = FRAME(0), b = FRAME(1), c = FRAME(2), d = FRAME(3);
    quad ac_low = PICK(a, c, 0, 4, 1, 5), ac_high = PICK(a, c, 2, 6, 3, 7);
    quad bd_low = PICK(b, d, 0, 4, 1, 5), bd_high = PICK(b, d, 2, 6, 3, 7);
    out[0] = __builtin_convertvector(PICK(ac_low, bd_low, 0, 4, 1, 5), wide);
    out[1] = __builtin_convertvector(PICK(ac_low, bd_low, 2, 6, 3, 7), wide);
    out[2] = __builtin_convertvector(PICK(ac_high, bd_high, 0, 4, 1, 5), wide);
    out[3] = __builtin_convertvector(PICK(ac_high, bd_high, 2, 6, 3, 7), wide);
#else
    quad a = FRAME(0), b = FRAME(1);
    quad low = PICK(a, b, 0, 4, 1, 5), high = PICK(a, b, 2, 6, 3, 7);
    out[0] = WIDENED(low, 0);
    out[1] = WIDENED(low, 1);
    out[2] = WIDENED(high, 0);
    out[3] = WIDENED(high, 1);
#endif
}

/* The first transforms, straight from the windowed samples of WIDE_LANES frames: each takes every (n_fft / base)th. */
INLINE void first_transforms(const plan *p, const float *samples, int base)
{
    int apart = p->n_fft / base;
    for (int n = 0; n < apart; n += 4) {
        wide x[8][4];
        for (int part = 0; part < base; part++) {
            int from = n + part * apart;
            gather(samples + from, p->hop, *(const quad *)(p->window + from), x[part]);
        }
        for (int i = 0; i < 4; i++) {
            point *to = p->points + p->place[n + i];
            if (base == 8) {
                transform_8(x[0][i], x[1][i], x[2][i], x[3][i], x[4][i], x[5][i], x[6][i], x[7][i], to);
            } else {
                transform_4(x[0][i], x[1][i], x[2][i], x[3][i], to, to + 1);
            }
        }
    }
}

/* Power of each bin into one half of the lanes. */
INLINE void powers(const plan *p, int half)
{
    const point *z = p->points;
    narrow *power = (narrow *)p->power + half;
    power[0] = __builtin_convertvector(z[0].re * z[0].re, narrow);
    power[p->n_fft] = __builtin_convertvector(z[0].im * z[0].im, narrow);
    for (int i = 1; i < p->n_fft / 2; i++) {
        power[2 * p->bin[i]] = __builtin_convertvector(z[i].re * z[i].re + z[i].im * z[i].im, narrow);
    }
}

/* decibel_factor * log10: log2 from the exponent's bits and, for the mantissa m in [0.7, 1.4),
 * ln m = 2 artanh((m - 1) / (m + 1)), four terms of it: below 2e-8 of error. */
INLINE vec decibels(vec value, float decibel_factor)
{
    const float log10_of_2 = 0.30102999566398120f, twice_log10_of_e = 0.86858896380650365f;
    ivec bits = (ivec)value;
    ivec exponent = (bits - 0x3f3504f3) >> 23;
    vec mantissa = (vec)(bits - (exponent << 23));
    vec s = (mantissa - 1.0f) / (mantissa + 1.0f), square = s * s;
    vec series = 1.0f + square * (1.0f / 3.0f + square * (1.0f / 5.0f + square * (1.0f / 7.0f)));
    vec octaves;
    for (int lane = 0; lane < LANES; lane++) {
        octaves[lane] = (float)exponent[lane];
    }
    vec result = octaves * (decibel_factor * log10_of_2) + s * series * (decibel_factor * twice_log10_of_e);
    ivec finite = value - value == 0.0f; /* infinity and not-a-number pass as they are, as in numpy */
    return (vec)((finite & (ivec)result) | (~finite & bits));
}

INLINE void bands(const plan *p)
{
    const float *weight = p->weights;
    for (int m = 0; m < p->n_mels; m++) {
        const vec *power = p->power + p->bands[m].first_bin;
        vec sum = {0};
        for (int i = 0; i < p->bands[m].n_bins; i++) {
            sum += power[i] * *weight++;
        }
        ivec quiet = sum < p->floor;
        vec floor = {0};
        floor += p->floor;
        sum = (vec)((quiet & (ivec)floor) | (~quiet & (ivec)sum));
        p->decibels[m] = decibels(sum, p->decibel_factor);
    }
}

INLINE void transform(const plan *p, const float *samples)
{
    int n = p->n_fft / 2;
    if (p->base == 8) {
        first_transforms(p, samples, 8);
    } else {
        first_transforms(p, samples, 4);
    }
    const twiddle *w = p->steps;
    for (int quarter = p->base / 2; quarter < n; quarter *= 4) {
        w = stage(p->points, n, quarter, w);
    }
}

INLINE void group(const plan *p, const float *samples)
{
    for (int half = 0; half < 2; half++) {
        transform(p, samples + (size_t)half * WIDE_LANES * p->hop);
        powers(p, half);
    }
    if (p->magnitude) {
        for (int k = 0; k <= p->n_fft / 2; k++) {
            for (int lane = 0; lane < LANES; lane++) {
                p->power[k][lane] = sqrtf(p->power[k][lane]);
            }
        }
    }
    bands(p);
}

/* samples: the first frame's; n_frames of them start every hop samples. out: [n_frames][n_mels].
 * spare: room for the samples of LANES frames, (LANES - 1) * hop + n_fft. */
EXPORT void logmel_frames(const plan *p, const float *samples, long n_frames, float *out, float *spare)
{
    size_t needed = (size_t)(LANES - 1) * p->hop + p->n_fft;
    for (long frame = 0; frame < n_frames; frame += LANES) {
        const float *from = samples + (size_t)frame * p->hop;
        long n = n_frames - frame < LANES ? n_frames - frame : LANES;
        if (n < LANES) {
            size_t there = (size_t)(n - 1) * p->hop + p->n_fft;
            memcpy(spare, from, there * sizeof *spare);
            memset(spare + there, 0, (needed - there) * sizeof *spare);
            from = spare;
        }
        group(p, from);
        for (long lane = 0; lane < n; lane++) {
            float *to = out + (size_t)(frame + lane) * p->n_mels;
            for (int m = 0; m < p->n_mels; m++) {
                to[m] = p->decibels[m][lane];
            }
        }
    }
}

EXPORT int logmel_abi(void) { return ABI; }

EXPORT int logmel_lanes(void) { return LANES; }

/* Whether this machine may load the build for AVX2. */
EXPORT int logmel_may_use_avx2(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

EXPORT void logmel_free(plan *p)
{
    if (p) {
        void *owned[] = {p->points, p->power, p->decibels, p->window, p->steps, p->place, p->bin, p->bands,
                         p->weights};
        for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
            free(owned[i]);
        }
        free(p);
    }
}

static void *room(size_t bytes)
{
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes ? bytes : 64) ? NULL : memory;
}

static twiddle turn(double part)
{
    double angle = -2.0 * 3.14159265358979323846 * part;
    return (twiddle){cos(angle), sin(angle)};
}

/* Sample n of a block of `size` points goes into the quarter n % 4 of it, as sample n / 4 there. */
static int place_of(int n, int size, int smallest)
{
    return size == smallest ? 0 : n % 4 * (size / 4) + place_of(n / 4, size / 4, smallest);
}

/* Bins of the points after each stage, and the stages' twiddles. A point of bin k in each of four transforms of length
 * n becomes the bins k, k + n, k + 2n and k + 3n of the whole. */
static void follow_bins(plan *p)
{
    static const int bases[2][4] = {{0, 1}, {0, 2, 1, 5}};
    int *bin = p->bin;
    twiddle *w = p->steps;
    int quarter = p->base / 2;
    memcpy(bin, bases[p->base == 8], sizeof *bin * quarter);
    for (; quarter < p->n_fft / 2; quarter *= 4) {
        int length = 2 * quarter;
        for (int j = 1; j < quarter; j++) {
            for (int part = 1; part <= 3; part++) {
                *w++ = turn((double)(part * bin[j] % (4 * length)) / (4 * length));
                bin[part * quarter + j] = bin[j] + part * length;
            }
        }
        bin[quarter] = length;
        bin[2 * quarter] = length / 2;
        bin[3 * quarter] = length / 2 + 2 * length;
    }
    for (int i = 0; i < p->n_fft / 2; i++) {
        bin[i] = bin[i] > p->n_fft / 2 ? p->n_fft - bin[i] : bin[i];
    }
}

/* n_fft: a power of two, at least 16. first_bins, n_bins: of each band. weights: of all bands, one after the other.
 * NULL where there is no memory. */
EXPORT plan *logmel_new(int n_fft, int hop, int n_mels, const float *window, const int32_t *first_bins,
                        const int32_t *n_bins, const float *weights, float floor, float decibel_factor, int magnitude)
{
    plan *p = calloc(1, sizeof *p);
    if (!p) {
        return NULL;
    }
    int half = n_fft / 2;
    size_t n_weights = 0;
    for (int m = 0; m < n_mels; m++) {
        n_weights += (size_t)n_bins[m];
    }
    *p = (plan){.n_fft = n_fft, .hop = hop, .n_mels = n_mels, .magnitude = magnitude};
    p->floor = floor;
    p->decibel_factor = decibel_factor;
    p->points = room(sizeof(point) * half);
    p->power = room(sizeof(vec) * (half + 1));
    p->decibels = room(sizeof(vec) * n_mels);
    p->window = room(sizeof(float) * n_fft);
    p->steps = room(sizeof(twiddle) * 2 * n_fft);
    p->place = room(sizeof(int) * n_fft);
    p->bin = room(sizeof(int) * half);
    p->bands = room(sizeof(band) * n_mels);
    p->weights = room(sizeof(float) * n_weights);
    if (!p->points || !p->power || !p->decibels || !p->window || !p->steps || !p->place || !p->bin || !p->bands ||
        !p->weights) {
        logmel_free(p);
        return NULL;
    }
    for (p->base = n_fft; p->base > 8; p->base /= 4) {
    }
    for (int n = 0; n < n_fft / p->base; n++) {
        p->place[n] = place_of(n, half, p->base / 2);
    }
    follow_bins(p);
    memcpy(p->window, window, sizeof *window * n_fft);
    for (int m = 0; m < n_mels; m++) {
        p->bands[m] = (band){first_bins[m], n_bins[m]};
    }
    memcpy(p->weights, weights, n_weights * sizeof *weights);
    return p;
}
