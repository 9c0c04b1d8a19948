/* Rows of the state, and what an execution reads of them: finding one among layers, holding what was read, and
 * the values of slots (node.state.flat); and which values a block has changed (node.execution.evm.current). */

#include "kernels.h"

enum { WORD = 32, PREFIX_MAX = 64 };

static PyObject *py_layered_row(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 3 || !PyTuple_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "a tuple of dicts, a function and a key are expected");
        return NULL;
    }
    PyObject *layers = args[0], *key = args[2];
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(layers); i++) {
        PyObject *row = PyDict_GetItemWithError(PyTuple_GET_ITEM(layers, i), key);
        if (row != NULL) {
            Py_INCREF(row);
            return row;
        }
        if (PyErr_Occurred())
            return NULL;
    }
    return PyObject_CallOneArg(args[1], key);
}

static PyObject *py_held(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 3 || !PyDict_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "a dict, a function and a key are expected");
        return NULL;
    }
    PyObject *found = Py_XNewRef(PyDict_GetItemWithError(args[0], args[2]));
    if (found != NULL || PyErr_Occurred())
        return found;
    found = PyObject_CallOneArg(args[1], args[2]);
    if (found != NULL && PyDict_SetItem(args[0], args[2], found) < 0)
        Py_CLEAR(found);
    return found;
}

static PyObject *py_slot_value(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 3 || !PyBytes_Check(args[1]) || PyBytes_GET_SIZE(args[1]) > PREFIX_MAX) {
        PyErr_SetString(PyExc_TypeError, "a function, the beginning of a key and a slot are expected");
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(args[1]);
    PyObject *key = PyBytes_FromStringAndSize(NULL, size + WORD), *row = NULL, *value = NULL;
    if (key == NULL)
        return NULL;
    memcpy(PyBytes_AS_STRING(key), PyBytes_AS_STRING(args[1]), (size_t)size);
    if (number_bytes(args[2], (uint8_t *)PyBytes_AS_STRING(key) + size, WORD) == 0)
        row = PyObject_CallOneArg(args[0], key);
    if (row == Py_None)
        value = PyLong_FromLong(0);
    else if (row != NULL && PyBytes_Check(row) && PyBytes_GET_SIZE(row) <= WORD)
        value = number_from((const uint8_t *)PyBytes_AS_STRING(row), (size_t)PyBytes_GET_SIZE(row));
    else if (row != NULL)
        PyErr_SetString(PyExc_ValueError, "a slot's row has 32 bytes at most");
    Py_DECREF(key);
    Py_XDECREF(row);
    return value;
}

/* The entries of a dict whose values another dict, which has the same keys, does not have. */
static PyObject *py_differing(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 2 || !PyDict_Check(args[0]) || !PyDict_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "two dicts are expected");
        return NULL;
    }
    PyObject *found = PyDict_New(), *key, *value, *beside, *old;
    Py_ssize_t position = 0, following = 0;
    while (found != NULL && PyDict_Next(args[0], &position, &key, &value)) {
        /* Both were filled in step, as a rule: no look-up then. */
        if (!PyDict_Next(args[1], &following, &beside, &old) || beside != key)
            old = PyDict_GetItemWithError(args[1], key);
        if (old == value)
            continue;
        if (old == NULL) {
            if (!PyErr_Occurred())
                PyErr_SetObject(PyExc_KeyError, key);
            Py_CLEAR(found);
            break;
        }
        Py_INCREF(key);
        Py_INCREF(value);
        Py_INCREF(old);
        int differs = PyObject_RichCompareBool(value, old, Py_NE);
        if (differs < 0 || (differs && PyDict_SetItem(found, key, value) < 0))
            Py_CLEAR(found);
        Py_DECREF(key);
        Py_DECREF(value);
        Py_DECREF(old);
    }
    return found;
}

PyMethodDef rows_methods[] = {
    {"layered_row", (PyCFunction)(void (*)(void))py_layered_row, METH_FASTCALL, "A row of the first layer that knows it."},
    {"held", (PyCFunction)(void (*)(void))py_held, METH_FASTCALL, "A value of a dict, put there where it is missing."},
    {"slot_value", (PyCFunction)(void (*)(void))py_slot_value, METH_FASTCALL, "The value of a slot."},
    {"differing", (PyCFunction)(void (*)(void))py_differing, METH_FASTCALL, "What of a dict differs from another."},
    {NULL, NULL, 0, NULL},
};
