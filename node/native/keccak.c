/* Keccak-256 with the original padding (the Keccak reference, version 3.0; Yellow Paper, appendix). */

#include "keccak.h"

#define LANE uint64_t
#include "keccak_rounds.h"

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

void keccak_finish(uint64_t a[LANES], const uint8_t *data, size_t size, uint8_t *output)
{
    uint8_t last[RATE];
    for (; size >= RATE; data += RATE, size -= RATE)
        absorb(a, data);
    keccak_pad(last, data, size);
    absorb(a, last);
    for (int i = 0; i < 32; i++)
        output[i] = (uint8_t)(a[i / 8] >> 8 * (i % 8));
}

void keccak256(const uint8_t *data, size_t size, uint8_t *output)
{
    uint64_t a[LANES] = {0};
    keccak_finish(a, data, size, output);
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
