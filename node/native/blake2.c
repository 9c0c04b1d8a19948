/* Rounds of the BLAKE2b compression function (RFC 7693, section 3.2), as many as EIP-152 may ask for. */

#include "kernels.h"

enum { WORDS = 16, STATE_BYTES = 8 * WORDS };

static const uint8_t SIGMA[10][WORDS] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t right(uint64_t word, unsigned by)
{
    return word >> by | word << (64 - by);
}

static inline void mix(uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d, uint64_t x, uint64_t y)
{
    *a += *b + x;
    *d = right(*d ^ *a, 32);
    *c += *d;
    *b = right(*b ^ *c, 24);
    *a += *b + y;
    *d = right(*d ^ *a, 16);
    *c += *d;
    *b = right(*b ^ *c, 63);
}

static void load(uint64_t words[WORDS], const uint8_t *bytes)
{
    for (int i = 0; i < WORDS; i++) {
        words[i] = 0;
        for (int k = 7; k >= 0; k--)
            words[i] = words[i] << 8 | bytes[8 * i + k];
    }
}

static PyObject *py_blake2_rounds(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer state, message;
    unsigned int first, count;
    if (!PyArg_ParseTuple(args, "y*y*II", &state, &message, &first, &count))
        return NULL;
    PyObject *result = NULL;
    if (state.len != STATE_BYTES || message.len != STATE_BYTES) {
        PyErr_SetString(PyExc_ValueError, "state and message of BLAKE2b have 128 bytes each");
    } else if ((result = PyBytes_FromStringAndSize(NULL, STATE_BYTES)) != NULL) {
        uint64_t v[WORDS], m[WORDS];
        load(v, state.buf);
        load(m, message.buf);
        Py_BEGIN_ALLOW_THREADS;
        unsigned row = first % 10;
        for (unsigned n = 0; n < count; n++) {
            const uint8_t *s = SIGMA[row];
            row = row == 9 ? 0 : row + 1;
            mix(v + 0, v + 4, v + 8, v + 12, m[s[0]], m[s[1]]);
            mix(v + 1, v + 5, v + 9, v + 13, m[s[2]], m[s[3]]);
            mix(v + 2, v + 6, v + 10, v + 14, m[s[4]], m[s[5]]);
            mix(v + 3, v + 7, v + 11, v + 15, m[s[6]], m[s[7]]);
            mix(v + 0, v + 5, v + 10, v + 15, m[s[8]], m[s[9]]);
            mix(v + 1, v + 6, v + 11, v + 12, m[s[10]], m[s[11]]);
            mix(v + 2, v + 7, v + 8, v + 13, m[s[12]], m[s[13]]);
            mix(v + 3, v + 4, v + 9, v + 14, m[s[14]], m[s[15]]);
        }
        Py_END_ALLOW_THREADS;
        uint8_t *output = (uint8_t *)PyBytes_AS_STRING(result);
        for (int i = 0; i < STATE_BYTES; i++)
            output[i] = (uint8_t)(v[i / 8] >> 8 * (i % 8));
    }
    PyBuffer_Release(&state);
    PyBuffer_Release(&message);
    return result;
}

PyMethodDef blake2_methods[] = {
    {"blake2_rounds", py_blake2_rounds, METH_VARARGS, "Rounds of BLAKE2b on a state of 16 words."},
    {NULL, NULL, 0, NULL},
};
