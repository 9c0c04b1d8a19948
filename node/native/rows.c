/* Rows of the state: finding one among layers. */

#include "kernels.h"

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

PyMethodDef rows_methods[] = {
    {"layered_row", (PyCFunction)(void (*)(void))py_layered_row, METH_FASTCALL, "A row of the first layer that knows it."},
    {NULL, NULL, 0, NULL},
};
