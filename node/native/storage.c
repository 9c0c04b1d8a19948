/* SLOAD and SSTORE of London on the dicts and sets of node.execution.evm.world, where nothing is unusual.
 *
 * Whatever is (too little gas, a static call, a refund) is left to the same in Python, before any change. */

#include "kernels.h"

enum { SENTRY = 2300, COLD = 2100, COLD_READ = 2000, SAME = 100, SET = 20000, RESET = 2900 };

static PyObject *load_in_python, *store_in_python, *slot_kind, *warm_kind;
static PyObject *n_world, *n_address, *n_gas, *n_static, *n_warm, *n_accessed, *n_undo, *n_slots, *n_originals,
    *n_before, *n_read;

typedef struct {
    PyObject *frame, *world, *address, *key, *warm, *slots, *value;
    long long gas;
    int is_warm;
} place;

static void leave(place *at)
{
    Py_XDECREF(at->world);
    Py_XDECREF(at->address);
    Py_XDECREF(at->key);
    Py_XDECREF(at->warm);
    Py_XDECREF(at->slots);
    Py_XDECREF(at->value);
}

/* As _Slots.__missing__: what the parent says, once for each slot of a block. */
static PyObject *read_slot(PyObject *slots, PyObject *slot)
{
    PyObject *before = PyObject_GetAttr(slots, n_before), *value = NULL;
    PyObject *read = before == NULL ? NULL : PyObject_GetAttr(slots, n_read);
    if (read != NULL && PyDict_Check(before))
        value = PyObject_CallOneArg(read, slot);
    if (value != NULL && (PyDict_SetItem(before, slot, value) < 0 || PyDict_SetItem(slots, slot, value) < 0))
        Py_CLEAR(value);
    Py_XDECREF(before);
    Py_XDECREF(read);
    return value;
}

/* All that a slot's access begins with; 0 when it is an error. */
static int reach(place *at, PyObject *frame, PyObject *slot)
{
    memset(at, 0, sizeof *at);
    at->frame = frame;
    PyObject *gas = PyObject_GetAttr(frame, n_gas), *storage = NULL;
    int overflow = 0;
    if (gas != NULL)
        at->gas = PyLong_AsLongLongAndOverflow(gas, &overflow);
    Py_XDECREF(gas);
    if (overflow)
        at->gas = -1; /* more than any block has */
    if (PyErr_Occurred() || (at->world = PyObject_GetAttr(frame, n_world)) == NULL
        || (at->address = PyObject_GetAttr(frame, n_address)) == NULL
        || (at->key = PyTuple_Pack(2, at->address, slot)) == NULL
        || (at->warm = PyObject_GetAttr(at->world, n_warm)) == NULL
        || (at->is_warm = PySet_Contains(at->warm, at->key)) < 0
        || (storage = PyObject_GetAttr(at->world, n_slots)) == NULL)
        return 0;
    at->slots = PyObject_GetItem(storage, at->address);
    Py_DECREF(storage);
    if (at->slots == NULL || !PyDict_Check(at->slots))
        return 0;
    at->value = Py_XNewRef(PyDict_GetItemWithError(at->slots, slot));
    if (at->value == NULL && !PyErr_Occurred())
        at->value = read_slot(at->slots, slot);
    return at->value != NULL;
}

static int undo(place *at, PyObject *entry)
{
    PyObject *list = entry == NULL ? NULL : PyObject_GetAttr(at->world, n_undo);
    int done = list != NULL && PyList_Check(list) && PyList_Append(list, entry) == 0;
    Py_XDECREF(list);
    Py_XDECREF(entry);
    return done;
}

/* As World.warm_up. */
static int warm_up(place *at)
{
    if (at->is_warm)
        return 1;
    PyObject *accessed = PyObject_GetAttr(at->world, n_accessed);
    int done = accessed != NULL && PySet_Add(at->warm, at->key) == 0
        && (accessed == Py_None || PySet_Add(accessed, at->key) == 0);
    Py_XDECREF(accessed);
    return done && undo(at, PyTuple_Pack(2, warm_kind, at->key));
}

static int take_gas(place *at, long long cost)
{
    PyObject *left = PyLong_FromLongLong(at->gas - cost);
    int done = left != NULL && PyObject_SetAttr(at->frame, n_gas, left) == 0;
    Py_XDECREF(left);
    return done;
}

static PyObject *py_sload(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    place at;
    PyObject *value = NULL;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "a frame and a slot are expected");
        return NULL;
    }
    if (reach(&at, args[0], args[1])) {
        if (!at.is_warm && at.gas < COLD_READ)
            value = PyObject_Vectorcall(load_in_python, args, 2, NULL);
        else if (at.is_warm || (warm_up(&at) && take_gas(&at, COLD_READ)))
            value = Py_NewRef(at.value);
    }
    leave(&at);
    return value;
}

/* What storing costs; -1 where Python must decide, -2 for an error. */
static long long price(place *at, PyObject *value, int *changes)
{
    long long cost = at->is_warm ? 0 : COLD;
    PyObject *is_static = PyObject_GetAttr(at->frame, n_static);
    int usual = is_static == Py_False && at->gas > SENTRY;
    Py_XDECREF(is_static);
    if (is_static == NULL)
        return -2;
    int same = usual ? PyObject_RichCompareBool(at->value, value, Py_EQ) : 0;
    if (!usual || same < 0)
        return same < 0 ? -2 : -1;
    *changes = !same;
    if (same) {
        cost += SAME;
    } else {
        PyObject *originals = PyObject_GetAttr(at->world, n_originals);
        PyObject *original = originals == NULL ? NULL : PyDict_GetItemWithError(originals, at->key);
        int first = original == NULL ? 1 : PyObject_RichCompareBool(original, at->value, Py_EQ);
        Py_XDECREF(originals);
        int was = PyObject_IsTrue(at->value), is = PyObject_IsTrue(value);
        if (PyErr_Occurred() || first < 0 || was < 0 || is < 0)
            return -2;
        if (!first || (was && !is))
            return -1;
        cost += was ? RESET : SET;
    }
    return at->gas < cost ? -1 : cost;
}

/* As World.set_storage. */
static int set_slot(place *at, PyObject *slot, PyObject *value)
{
    PyObject *originals = PyObject_GetAttr(at->world, n_originals);
    int done = originals != NULL && PyDict_SetDefault(originals, at->key, at->value) != NULL;
    Py_XDECREF(originals);
    return done && undo(at, PyTuple_Pack(4, slot_kind, at->address, slot, at->value))
        && PyDict_SetItem(at->slots, slot, value) == 0;
}

static PyObject *py_sstore(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    place at;
    int changes = 0;
    PyObject *result = NULL;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "a frame, a slot and a value are expected");
        return NULL;
    }
    if (reach(&at, args[0], args[1])) {
        long long cost = price(&at, args[2], &changes);
        if (cost == -1)
            result = PyObject_Vectorcall(store_in_python, args, 3, NULL);
        else if (cost >= 0 && warm_up(&at) && (!changes || set_slot(&at, args[1], args[2]))
            && take_gas(&at, cost))
            result = Py_NewRef(Py_None);
    }
    leave(&at);
    return result;
}

static PyObject *py_bind_storage(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *load, *store, *slot, *warm;
    if (!PyArg_ParseTuple(args, "OOOO", &load, &store, &slot, &warm))
        return NULL;
    const char *texts[] = {
        "world", "address", "gas", "static", "warm", "_accessed", "_undo", "_slots", "_originals",
        "before", "_read",
    };
    PyObject **names[] = {
        &n_world, &n_address, &n_gas, &n_static, &n_warm, &n_accessed, &n_undo, &n_slots, &n_originals,
        &n_before, &n_read,
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (*names[i] == NULL && (*names[i] = PyUnicode_InternFromString(texts[i])) == NULL)
            return NULL;
    Py_XSETREF(load_in_python, Py_NewRef(load));
    Py_XSETREF(store_in_python, Py_NewRef(store));
    Py_XSETREF(slot_kind, Py_NewRef(slot));
    Py_XSETREF(warm_kind, Py_NewRef(warm));
    Py_RETURN_NONE;
}

PyMethodDef storage_methods[] = {
    {"bind_storage", py_bind_storage, METH_VARARGS, "Once, before `sload` and `sstore`."},
    {"sload", (PyCFunction)(void (*)(void))py_sload, METH_FASTCALL, "The value of a slot."},
    {"sstore", (PyCFunction)(void (*)(void))py_sstore, METH_FASTCALL, "Put a value in a slot."},
    {NULL, NULL, 0, NULL},
};
