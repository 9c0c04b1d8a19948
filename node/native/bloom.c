/* The log bloom (Yellow Paper 4.3.1): three bits for each address and topic. */

#include "kernels.h"

enum { BLOOM = 256 };

static int add(uint8_t *bloom, PyObject *value)
{
    uint8_t hash[32];
    if (!PyBytes_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "addresses and topics are bytes");
        return -1;
    }
    keccak256((const uint8_t *)PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value), hash);
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

PyMethodDef bloom_methods[] = {
    {"logs_bloom", py_logs_bloom, METH_O, "The bloom of logs."},
    {NULL, NULL, 0, NULL},
};
