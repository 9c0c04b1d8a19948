/* Words of the EVM: numbers below 2**256 in Python, 32 bytes highest first everywhere else. */

#include "kernels.h"

enum { WORD = 32, WORDS_MAX = 8, PAIR = 2 * WORD, PAIRS_KEPT = 2048 };

/* Where a mapping keeps a value is the hash of two words, and the same ones are asked for again and again. */
static struct {
    uint8_t pair[PAIR];
    uint8_t hash[WORD];
    int is_set;
} kept[PAIRS_KEPT];

static PyObject *number_of(const uint8_t *word)
{
    return _PyLong_FromByteArray(word, WORD, 0, 0);
}

static PyObject *hash_of_pair(const uint8_t *pair)
{
    uint64_t mixed = 0;
    for (size_t i = 0; i < PAIR; i += sizeof mixed) {
        uint64_t part;
        memcpy(&part, pair + i, sizeof part);
        mixed = (mixed ^ part) * 0x9E3779B97F4A7C15u;
        mixed ^= mixed >> 29;
    }
    size_t place = (size_t)(mixed >> 32) % PAIRS_KEPT;
    if (!kept[place].is_set || memcmp(kept[place].pair, pair, PAIR) != 0) {
        memcpy(kept[place].pair, pair, PAIR);
        keccak256(pair, PAIR, kept[place].hash);
        kept[place].is_set = 1;
    }
    return number_of(kept[place].hash);
}

static PyObject *py_hash_of(PyObject *self, PyObject *const *words, Py_ssize_t count)
{
    (void)self;
    uint8_t data[WORDS_MAX * WORD], hash[WORD];
    if (count > WORDS_MAX) {
        PyErr_SetString(PyExc_ValueError, "so many words are hashed where they lie");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        if (number_bytes(words[i], data + i * WORD, WORD) < 0)
            return NULL;
    if (count == 2)
        return hash_of_pair(data);
    keccak256(data, (size_t)count * WORD, hash);
    return number_of(hash);
}

static PyObject *py_word_at(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 2 || !PyBytes_Check(args[0]) || !PyLong_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "bytes and an offset are expected");
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]), offset = PyLong_AsSsize_t(args[1]);
    if (offset == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        offset = size; /* beyond the end of anything */
    }
    uint8_t word[WORD] = {0};
    if (offset >= 0 && offset < size) {
        Py_ssize_t there = size - offset < WORD ? size - offset : WORD;
        memcpy(word, PyBytes_AS_STRING(args[0]) + offset, (size_t)there);
    }
    return number_of(word);
}

static PyObject *py_word_bytes(PyObject *self, PyObject *words)
{
    (void)self;
    if (!PyTuple_Check(words)) {
        PyErr_SetString(PyExc_TypeError, "a tuple is expected");
        return NULL;
    }
    PyObject *found = PyTuple_New(PyTuple_GET_SIZE(words));
    for (Py_ssize_t i = 0; found != NULL && i < PyTuple_GET_SIZE(words); i++) {
        PyObject *bytes = PyBytes_FromStringAndSize(NULL, WORD);
        if (bytes == NULL
            || number_bytes(PyTuple_GET_ITEM(words, i), (uint8_t *)PyBytes_AS_STRING(bytes), WORD) < 0) {
            Py_XDECREF(bytes);
            Py_CLEAR(found);
        } else {
            PyTuple_SET_ITEM(found, i, bytes);
        }
    }
    return found;
}

PyMethodDef words_methods[] = {
    {"word_bytes", py_word_bytes, METH_O, "Words as 32 bytes each."},
    {"hash_of", (PyCFunction)(void (*)(void))py_hash_of, METH_FASTCALL, "Keccak-256 of words in a row."},
    {"word_at", (PyCFunction)(void (*)(void))py_word_at, METH_FASTCALL, "The word at an offset of bytes."},
    {NULL, NULL, 0, NULL},
};
