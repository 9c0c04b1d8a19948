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
/* For lane x + 5y: how far rho turns it, and where pi puts it. */
static const uint8_t RHO[LANES] = {0,  1,  62, 28, 27, 36, 44, 6,  55, 20, 3,  10, 43,
                                   25, 39, 41, 45, 15, 21, 8,  18, 2,  61, 56, 14};
static const uint8_t PI[LANES] = {0, 10, 20, 5, 15, 16, 1, 11, 21, 6, 7, 17, 2, 12, 22, 23, 8, 18, 3, 13, 14, 24, 9, 19, 4};

static inline uint64_t turned(uint64_t lane, unsigned by)
{
    return by ? lane << by | lane >> (64 - by) : lane;
}

static void permute(uint64_t a[LANES])
{
    uint64_t b[LANES], c[5], d[5];
    for (int round = 0; round < ROUNDS; round++) {
#pragma GCC unroll 5
        for (int x = 0; x < 5; x++)
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
#pragma GCC unroll 5
        for (int x = 0; x < 5; x++)
            d[x] = c[(x + 4) % 5] ^ turned(c[(x + 1) % 5], 1);
#pragma GCC unroll 25
        for (int i = 0; i < LANES; i++)
            b[PI[i]] = turned(a[i] ^ d[i % 5], RHO[i]);
#pragma GCC unroll 25
        for (int i = 0; i < LANES; i++)
            a[i] = b[i] ^ (~b[i / 5 * 5 + (i + 1) % 5] & b[i / 5 * 5 + (i + 2) % 5]);
        a[0] ^= IOTA[round];
    }
}

static void absorb(uint64_t a[LANES], const uint8_t block[RATE])
{
    for (int i = 0; i < RATE / 8; i++) {
        uint64_t lane = 0;
        for (int k = 7; k >= 0; k--)
            lane = lane << 8 | block[8 * i + k];
        a[i] ^= lane;
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
