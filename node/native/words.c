/* Words of the EVM: numbers below 2**256 in Python, 32 bytes highest first everywhere else. */

#include "kernels.h"

enum { WORD = 32, WORDS_MAX = 8, PAIR = 2 * WORD, PAIRS_KEPT = 8192 };

/* Where a mapping keeps a value is the hash of two words, and the same ones are asked for again and again. */
static struct {
    uint8_t pair[PAIR];
    uint8_t hash[WORD];
    int is_set;
} kept[PAIRS_KEPT];

/* --- numbers and bytes */

/* Python's own conversions go byte by byte; where we know its digits, we go by four and eight. */
#if PY_VERSION_HEX < 0x030C0000 && PYLONG_BITS_IN_DIGIT == 30 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { DIGIT_BITS = 30, DIGIT_MASK = (1 << DIGIT_BITS) - 1 };

/* 0 where it is left to Python: a negative number, or one that is too large. */
static int quick_bytes(PyObject *number, uint8_t *out, size_t size)
{
    const digit *digits = ((PyLongObject *)number)->ob_digit;
    Py_ssize_t count = Py_SIZE(number);
    uint64_t held = 0; /* bits that are not written yet, of which there are so many: */
    unsigned bits = 0;
    size_t left = size;
    for (Py_ssize_t i = 0; i < count; i++) {
        held |= (uint64_t)digits[i] << bits;
        bits += DIGIT_BITS;
        if (bits >= 32 && left >= 4) {
            uint32_t four = __builtin_bswap32((uint32_t)held);
            memcpy(out + (left -= 4), &four, sizeof four);
            held >>= 32;
            bits -= 32;
        } else if (bits >= 32) {
            break;
        }
    }
    for (; held != 0 && left > 0; held >>= 8)
        out[--left] = (uint8_t)held;
    memset(out, 0, left);
    return count >= 0 && held == 0 && bits < 32;
}

static PyObject *quick_number(const uint8_t word[WORD])
{
    uint64_t lanes[WORD / 8 + 1] = {0}; /* lowest first */
    for (size_t i = 0; i < WORD / 8; i++) {
        memcpy(&lanes[i], word + WORD - 8 * (i + 1), sizeof lanes[i]);
        lanes[i] = __builtin_bswap64(lanes[i]);
    }
    size_t top = WORD / 8 - 1;
    while (top > 0 && lanes[top] == 0)
        top--;
    if (top == 0)
        return PyLong_FromUnsignedLongLong(lanes[0]);
    size_t bits = 64 * (top + 1) - (size_t)__builtin_clzll(lanes[top]), count = (bits + DIGIT_BITS - 1) / DIGIT_BITS;
    PyLongObject *number = _PyLong_New((Py_ssize_t)count);
    for (size_t i = 0; number != NULL && i < count; i++) {
        size_t lane = i * DIGIT_BITS / 64, shift = i * DIGIT_BITS % 64;
        uint64_t part = lanes[lane] >> shift;
        if (shift > 64 - DIGIT_BITS)
            part |= lanes[lane + 1] << (64 - shift);
        number->ob_digit[i] = (digit)(part & DIGIT_MASK);
    }
    return (PyObject *)number;
}
#else
static int quick_bytes(PyObject *number, uint8_t *out, size_t size)
{
    (void)number, (void)out, (void)size;
    return 0;
}

static PyObject *quick_number(const uint8_t word[WORD])
{
    return _PyLong_FromByteArray(word, WORD, 0, 0);
}
#endif

int number_bytes(PyObject *number, uint8_t *out, size_t size)
{
    if (!PyLong_Check(number)) {
        PyErr_SetString(PyExc_TypeError, "a number is expected");
        return -1;
    }
    if (quick_bytes(number, out, size))
        return 0;
#if PY_VERSION_HEX >= 0x030D0000
    return _PyLong_AsByteArray((PyLongObject *)number, out, size, 0, 0, 1);
#else
    return _PyLong_AsByteArray((PyLongObject *)number, out, size, 0, 0);
#endif
}

PyObject *number_from(const uint8_t *bytes, size_t size)
{
    uint8_t word[WORD] = {0};
    memcpy(word + WORD - size, bytes, size);
    return quick_number(word);
}

/* --- what Python sees of it */

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
    return quick_number(kept[place].hash);
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
    return quick_number(hash);
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
    return quick_number(word);
}

PyObject *bytes_of_words(PyObject *words)
{
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

static PyObject *py_word_bytes(PyObject *self, PyObject *words)
{
    (void)self;
    return bytes_of_words(words);
}

static PyObject *py_bytes_of(PyObject *self, PyObject *number)
{
    (void)self;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, WORD);
    if (bytes != NULL && number_bytes(number, (uint8_t *)PyBytes_AS_STRING(bytes), WORD) < 0)
        Py_CLEAR(bytes);
    return bytes;
}

static PyObject *py_word_of(PyObject *self, PyObject *data)
{
    (void)self;
    int is_bytes = PyBytes_Check(data);
    if (!is_bytes && !PyByteArray_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "bytes are expected");
        return NULL;
    }
    const char *bytes = is_bytes ? PyBytes_AS_STRING(data) : PyByteArray_AS_STRING(data);
    Py_ssize_t size = is_bytes ? PyBytes_GET_SIZE(data) : PyByteArray_GET_SIZE(data);
    if (size > WORD) {
        PyErr_SetString(PyExc_ValueError, "a word has 32 bytes at most");
        return NULL;
    }
    return number_from((const uint8_t *)bytes, (size_t)size);
}

PyMethodDef words_methods[] = {
    {"bytes_of", py_bytes_of, METH_O, "A word as 32 bytes."},
    {"word_of", py_word_of, METH_O, "The word that so many bytes are."},
    {"word_bytes", py_word_bytes, METH_O, "Words as 32 bytes each."},
    {"hash_of", (PyCFunction)(void (*)(void))py_hash_of, METH_FASTCALL, "Keccak-256 of words in a row."},
    {"word_at", (PyCFunction)(void (*)(void))py_word_at, METH_FASTCALL, "The word at an offset of bytes."},
    {NULL, NULL, 0, NULL},
};
