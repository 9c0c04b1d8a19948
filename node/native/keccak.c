/* Keccak-256 with the original padding (the Keccak reference, version 3.0; Yellow Paper, appendix). */

#include "kernels.h"

enum { LANES = 25, ROUNDS = 24, RATE = 136 };

static const uint64_t IOTA[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000A, 0x000000008000808B, 0x800000000000008B, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

#if defined(__GNUC__)
#define FOLDED static inline __attribute__((always_inline))
#else
#define FOLDED static inline
#endif

FOLDED uint64_t turned(uint64_t lane, unsigned by)
{
    return by ? lane << by | lane >> (64 - by) : lane;
}

/* Five lanes of `out`: those that pi brings there, each with theta's `d` added and turned by rho, mixed by chi. */
#define LANE(i, by) turned(in[i] ^ d[(i) % 5], by)
#define ROW(y, i0, r0, i1, r1, i2, r2, i3, r3, i4, r4) \
    do { \
        uint64_t b0 = LANE(i0, r0), b1 = LANE(i1, r1), b2 = LANE(i2, r2), b3 = LANE(i3, r3), b4 = LANE(i4, r4); \
        out[y] = b0 ^ (~b1 & b2); \
        out[y + 1] = b1 ^ (~b2 & b3); \
        out[y + 2] = b2 ^ (~b3 & b4); \
        out[y + 3] = b3 ^ (~b4 & b0); \
        out[y + 4] = b4 ^ (~b0 & b1); \
    } while (0)

FOLDED void one_round(const uint64_t *in, uint64_t *out, uint64_t iota)
{
    uint64_t c[5], d[5];
#pragma GCC unroll 5
    for (int x = 0; x < 5; x++)
        c[x] = in[x] ^ in[x + 5] ^ in[x + 10] ^ in[x + 15] ^ in[x + 20];
#pragma GCC unroll 5
    for (int x = 0; x < 5; x++)
        d[x] = c[(x + 4) % 5] ^ turned(c[(x + 1) % 5], 1);
    ROW(0, 0, 0, 6, 44, 12, 43, 18, 21, 24, 14);
    ROW(5, 3, 28, 9, 20, 10, 3, 16, 45, 22, 61);
    ROW(10, 1, 1, 7, 6, 13, 25, 19, 8, 20, 18);
    ROW(15, 4, 27, 5, 36, 11, 10, 17, 15, 23, 56);
    ROW(20, 2, 62, 8, 55, 14, 39, 15, 41, 21, 2);
    out[0] ^= iota;
}

FOLDED void all_rounds(uint64_t a[LANES])
{
    uint64_t b[LANES];
    for (int round = 0; round < ROUNDS; round += 2) {
        one_round(a, b, IOTA[round]);
        one_round(b, a, IOTA[round + 1]);
    }
}

/* A fifth quicker where the processor has andn and rorx, which not every x86-64 has. */
#if defined(__x86_64__) && defined(__GNUC__)
static int has_bmi;

__attribute__((target("bmi,bmi2"))) static void permute_with_bmi(uint64_t a[LANES])
{
    all_rounds(a);
}

void keccak_prepare(void)
{
    __builtin_cpu_init();
    has_bmi = __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
#else
enum { has_bmi = 0 };

static void permute_with_bmi(uint64_t a[LANES])
{
    (void)a;
}

void keccak_prepare(void)
{
}
#endif

static void permute(uint64_t a[LANES])
{
    if (has_bmi)
        permute_with_bmi(a);
    else
        all_rounds(a);
}

static void absorb(uint64_t a[LANES], const uint8_t block[RATE])
{
    for (int i = 0; i < RATE / 8; i++) {
        const uint8_t *p = block + 8 * i;
        a[i] ^= (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24
            | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
    }
    permute(a);
}

void keccak256(const uint8_t *data, size_t size, uint8_t *output)
{
    uint64_t a[LANES] = {0};
    for (; size >= RATE; data += RATE, size -= RATE)
        absorb(a, data);
    uint8_t last[RATE] = {0};
    if (size)
        memcpy(last, data, size);
    last[size] = 0x01;
    last[RATE - 1] |= 0x80;
    absorb(a, last);
    for (int i = 0; i < 32; i++)
        output[i] = (uint8_t)(a[i / 8] >> 8 * (i % 8));
}

static PyObject *py_keccak256(PyObject *self, PyObject *data)
{
    (void)self;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *digest = PyBytes_FromStringAndSize(NULL, 32);
    if (digest != NULL)
        keccak256(view.buf, (size_t)view.len, (uint8_t *)PyBytes_AS_STRING(digest));
    PyBuffer_Release(&view);
    return digest;
}

PyMethodDef keccak_methods[] = {
    {"keccak256", py_keccak256, METH_O, "Keccak-256 of any bytes-like object."},
    {NULL, NULL, 0, NULL},
};
