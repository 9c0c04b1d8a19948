/* Receipts (Yellow Paper 4.3.1, EIP-2718) encoded, all of a block in one call; the same as node.primitives.receipt. */

#include "rlp.h"
#include "slots.h"

enum { TYPE, OUTCOME, GAS, BLOOM, LOGS, ENCODED, FIELDS };

static layout class_of; /* Receipt: the slots above, in this order */

/* The envelope of a receipt, which remembers it; `out` is room that is used again. */
static PyObject *encoded(backwards *out, PyObject *receipt)
{
    if (!Py_IS_TYPE(receipt, class_of.type)) {
        PyErr_SetString(PyExc_TypeError, "receipts are expected");
        return NULL;
    }
    PyObject **remembered = slot_of(&class_of, receipt, ENCODED);
    if (*remembered != NULL && *remembered != Py_None)
        return Py_NewRef(*remembered);
    out->start = out->size;
    for (int field = LOGS; field >= OUTCOME; field--)
        if (rlp_put(out, *slot_of(&class_of, receipt, field)) < 0)
            return NULL;
    long type = PyLong_AsLong(*slot_of(&class_of, receipt, TYPE));
    if ((type == -1 && PyErr_Occurred()) || rlp_put_prefix(out, out->size - out->start, 0xC0) < 0)
        return NULL;
    uint8_t *kind = type == 0 ? NULL : rlp_room(out, 1);
    if (kind != NULL)
        *kind = (uint8_t)type;
    else if (type != 0)
        return NULL;
    PyObject *made = rlp_written(out);
    if (made != NULL)
        Py_XSETREF(*remembered, Py_NewRef(made));
    return made;
}

static PyObject *py_encode_receipts(PyObject *self, PyObject *given)
{
    (void)self;
    enum { FIRST_BYTES = 4096 };
    if (class_of.type == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "bind_receipt comes first");
        return NULL;
    }
    PyObject *receipts = PySequence_Tuple(given), *envelopes = NULL;
    if (receipts == NULL)
        return NULL;
    backwards out = {PyMem_Malloc(FIRST_BYTES), FIRST_BYTES, FIRST_BYTES};
    if (out.memory == NULL)
        PyErr_NoMemory();
    else
        envelopes = PyList_New(PyTuple_GET_SIZE(receipts));
    for (Py_ssize_t i = 0; envelopes != NULL && i < PyTuple_GET_SIZE(receipts); i++) {
        PyObject *envelope = encoded(&out, PyTuple_GET_ITEM(receipts, i));
        if (envelope == NULL)
            Py_CLEAR(envelopes);
        else
            PyList_SET_ITEM(envelopes, i, envelope);
    }
    PyMem_Free(out.memory);
    Py_DECREF(receipts);
    return envelopes;
}

static PyObject *py_bind_receipt(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *cls, *names;
    if (!PyArg_ParseTuple(args, "OO!", &cls, &PyTuple_Type, &names))
        return NULL;
    if (PyTuple_GET_SIZE(names) != FIELDS) {
        PyErr_SetString(PyExc_TypeError, "a class and the names of its slots are expected");
        return NULL;
    }
    return bind_layout(&class_of, cls, names);
}

PyMethodDef receipts_methods[] = {
    {"bind_receipt", py_bind_receipt, METH_VARARGS, "Take the class of receipts."},
    {"encode_receipts", py_encode_receipts, METH_O, "The envelopes of receipts."},
    {NULL, NULL, 0, NULL},
};
