/* The log bloom (Yellow Paper 4.3.1): three bits for each address and topic. */

#include "kernels.h"

enum { BLOOM = 256, VALUE = 32, VALUES_KEPT = 8192 };

/* Contracts and topics come again and again: the hashes of some of them. */
static struct {
    uint8_t value[VALUE];
    uint8_t size;
    uint8_t hash[6];
} kept[VALUES_KEPT];

/* The first bytes of a value's hash. */
static const uint8_t *hash_of(const uint8_t *value, size_t size, uint8_t *hash)
{
    uint64_t mixed = size, part;
    if (size > VALUE || size < sizeof part) {
        keccak256(value, size, hash);
        return hash;
    }
    for (size_t i = 0; i + sizeof part <= size; i += sizeof part) {
        memcpy(&part, value + size - sizeof part - i, sizeof part);
        mixed = (mixed ^ part) * 0x9E3779B97F4A7C15u;
        mixed ^= mixed >> 29;
    }
    size_t place = (size_t)(mixed >> 32) % VALUES_KEPT;
    if (kept[place].size != size || memcmp(kept[place].value, value, size) != 0) {
        keccak256(value, size, hash);
        memcpy(kept[place].value, value, size);
        memcpy(kept[place].hash, hash, sizeof kept[place].hash);
        kept[place].size = (uint8_t)size;
    }
    return kept[place].hash;
}

static int add(uint8_t *bloom, PyObject *value)
{
    uint8_t room[32];
    if (!PyBytes_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "addresses and topics are bytes");
        return -1;
    }
    const uint8_t *hash =
        hash_of((const uint8_t *)PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value), room);
    for (int i = 0; i < 6; i += 2) {
        unsigned bit = (unsigned)(hash[i] << 8 | hash[i + 1]) & 2047;
        bloom[BLOOM - 1 - bit / 8] |= (uint8_t)(1 << bit % 8);
    }
    return 0;
}

static int add_log(uint8_t *bloom, PyObject *log)
{
    if (!PyTuple_Check(log) || PyTuple_GET_SIZE(log) != 3 || !PyTuple_Check(PyTuple_GET_ITEM(log, 1))) {
        PyErr_SetString(PyExc_TypeError, "a log is (address, topics, data)");
        return -1;
    }
    PyObject *topics = PyTuple_GET_ITEM(log, 1);
    int result = add(bloom, PyTuple_GET_ITEM(log, 0));
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(topics); i++)
        result = add(bloom, PyTuple_GET_ITEM(topics, i));
    return result;
}

static PyObject *py_logs_bloom(PyObject *self, PyObject *logs)
{
    (void)self;
    uint8_t bloom[BLOOM] = {0};
    PyObject *items = PySequence_Fast(logs, "logs are a sequence");
    if (items == NULL)
        return NULL;
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PySequence_Fast_GET_SIZE(items); i++)
        result = add_log(bloom, PySequence_Fast_GET_ITEM(items, i));
    Py_DECREF(items);
    return result < 0 ? NULL : PyBytes_FromStringAndSize((const char *)bloom, BLOOM);
}

/* What is in any of several blooms. */
static PyObject *py_merge_blooms(PyObject *self, PyObject *given)
{
    (void)self;
    uint8_t merged[BLOOM] = {0};
    PyObject *blooms = PySequence_Tuple(given);
    if (blooms == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(blooms); i++) {
        PyObject *bloom = PyTuple_GET_ITEM(blooms, i);
        if (!PyBytes_Check(bloom) || PyBytes_GET_SIZE(bloom) != BLOOM) {
            PyErr_SetString(PyExc_ValueError, "blooms are of 256 bytes");
            break;
        }
        for (int n = 0; n < BLOOM; n++)
            merged[n] |= (uint8_t)PyBytes_AS_STRING(bloom)[n];
    }
    Py_DECREF(blooms);
    return PyErr_Occurred() ? NULL : PyBytes_FromStringAndSize((const char *)merged, BLOOM);
}

PyMethodDef bloom_methods[] = {
    {"merge_blooms", py_merge_blooms, METH_O, "The union of blooms."},
    {"logs_bloom", py_logs_bloom, METH_O, "The bloom of logs."},
    {NULL, NULL, 0, NULL},
};
