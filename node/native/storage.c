/* SLOAD and SSTORE of London and LOG on the objects of node.execution.evm.world, where nothing is unusual, and how
 * its accounts grow.
 *
 * Whatever is unusual (too little gas, a static call, a refund, objects of other classes) is left to the same in Python,
 * before any change. */

#include "slots.h"

enum { SENTRY = 2300, COLD = 2100, COLD_READ = 2000, SAME = 100, SET = 20000, RESET = 2900 };

static PyObject *load_in_python, *store_in_python, *slot_kind, *warm_kind;
static PyObject *log_in_python;
static PyTypeObject *log_type;
static layout frames, worlds, slots_of_accounts; /* Frame, World and Slots: the slots below, in this order */
enum { F_WORLD, F_ADDRESS, F_GAS, F_STATIC };
enum { W_WARM, W_ACCESSED, W_UNDO, W_SLOTS, W_ORIGINALS, W_LOGS };
enum { S_BEFORE, S_READ };

/* Where an access goes. What the frame holds is not held again. */
typedef struct {
    PyObject *frame, *world, *address, *warm;
    PyObject *key, *slots, *value;
    long long gas;
    int is_warm;
} place;

static void leave(place *at)
{
    Py_XDECREF(at->key);
    Py_XDECREF(at->slots);
    Py_XDECREF(at->value);
}

static int is_a(PyObject *object, const layout *of)
{
    return object != NULL && of->type != NULL && PyObject_TypeCheck(object, of->type);
}

static PyObject *of_world(place *at, int index)
{
    return *slot_of(&worlds, at->world, index);
}

/* Whether the frame and its world are objects that we know. */
static int enter(place *at, PyObject *frame)
{
    memset(at, 0, sizeof *at);
    if (!is_a(frame, &frames))
        return 0;
    at->frame = frame;
    at->world = *slot_of(&frames, frame, F_WORLD);
    at->address = *slot_of(&frames, frame, F_ADDRESS);
    if (at->address == NULL || !is_a(at->world, &worlds))
        return 0;
    PyObject *accessed = of_world(at, W_ACCESSED), *undo = of_world(at, W_UNDO);
    PyObject *storage = of_world(at, W_SLOTS), *originals = of_world(at, W_ORIGINALS);
    at->warm = of_world(at, W_WARM);
    return at->warm != NULL && PySet_Check(at->warm) && undo != NULL && PyList_Check(undo) && storage != NULL
        && PyDict_Check(storage) && originals != NULL && PyDict_Check(originals) && accessed != NULL;
}

/* As Slots.__missing__: what the parent says, once for each slot of a block. */
static PyObject *read_slot(PyObject *slots, PyObject *slot)
{
    PyObject *before = *slot_of(&slots_of_accounts, slots, S_BEFORE), *read = *slot_of(&slots_of_accounts, slots, S_READ);
    PyObject *value = PyObject_CallOneArg(read, slot);
    if (value != NULL && (PyDict_SetItem(before, slot, value) < 0 || PyDict_SetItem(slots, slot, value) < 0))
        Py_CLEAR(value);
    return value;
}

/* The slots of the frame's account, with a reference; NULL without an error where they are not what we know. */
static PyObject *slots_of(place *at)
{
    PyObject *storage = of_world(at, W_SLOTS);
    PyObject *slots = Py_XNewRef(PyDict_GetItemWithError(storage, at->address));
    if (slots == NULL && !PyErr_Occurred())
        slots = PyObject_GetItem(storage, at->address); /* which makes them */
    if (slots == NULL || (is_a(slots, &slots_of_accounts) && *slot_of(&slots_of_accounts, slots, S_READ) != NULL
        && PyDict_Check(*slot_of(&slots_of_accounts, slots, S_BEFORE))))
        return slots;
    Py_DECREF(slots);
    return NULL;
}

/* All that a slot's access begins with; 0 when it is left to Python, or an error. */
static int reach(place *at, PyObject *frame, PyObject *slot)
{
    int overflow = 0;
    PyObject *gas = enter(at, frame) ? *slot_of(&frames, frame, F_GAS) : NULL;
    if (gas == NULL || !PyLong_Check(gas))
        return 0;
    at->gas = PyLong_AsLongLongAndOverflow(gas, &overflow);
    if (overflow || (at->key = PyTuple_Pack(2, at->address, slot)) == NULL
        || (at->is_warm = PySet_Contains(at->warm, at->key)) < 0 || (at->slots = slots_of(at)) == NULL)
        return 0;
    at->value = Py_XNewRef(PyDict_GetItemWithError(at->slots, slot));
    if (at->value == NULL && !PyErr_Occurred())
        at->value = read_slot(at->slots, slot);
    return at->value != NULL;
}

static int undo(place *at, PyObject *entry)
{
    PyObject *list = of_world(at, W_UNDO);
    int done = entry != NULL && PyList_Append(list, entry) == 0;
    Py_XDECREF(entry);
    return done;
}

/* As World.warm_up. */
static int warm_up(place *at)
{
    if (at->is_warm)
        return 1;
    PyObject *accessed = of_world(at, W_ACCESSED);
    return PySet_Add(at->warm, at->key) == 0 && (accessed == Py_None || PySet_Add(accessed, at->key) == 0)
        && undo(at, PyTuple_Pack(2, warm_kind, at->key));
}

static int take_gas(place *at, long long cost)
{
    PyObject *left = PyLong_FromLongLong(at->gas - cost);
    if (left != NULL)
        Py_XSETREF(*slot_of(&frames, at->frame, F_GAS), left);
    return left != NULL;
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
    int usual = reach(&at, args[0], args[1]) && (at.is_warm || at.gas >= COLD_READ);
    if (usual && (at.is_warm || (warm_up(&at) && take_gas(&at, COLD_READ))))
        value = Py_NewRef(at.value);
    else if (!usual && !PyErr_Occurred())
        value = PyObject_Vectorcall(load_in_python, args, 2, NULL);
    leave(&at);
    return value;
}

/* What storing costs; -1 where Python must decide, or for an error. */
static long long price(place *at, PyObject *value, int *changes)
{
    long long cost = at->is_warm ? 0 : COLD;
    if (*slot_of(&frames, at->frame, F_STATIC) != Py_False || at->gas <= SENTRY)
        return -1;
    int same = PyObject_RichCompareBool(at->value, value, Py_EQ);
    if (same < 0)
        return -1;
    *changes = !same;
    if (same) {
        cost += SAME;
    } else {
        /* The value at the start of the transaction: it is this one, where nobody has noted another. */
        PyObject *original = PyDict_SetDefault(of_world(at, W_ORIGINALS), at->key, at->value);
        int first = original == NULL ? -1 : PyObject_RichCompareBool(original, at->value, Py_EQ);
        int was = PyObject_IsTrue(at->value), is = PyObject_IsTrue(value);
        if (first <= 0 || was < 0 || is < 0 || (was && !is))
            return -1;
        cost += was ? RESET : SET;
    }
    return at->gas < cost ? -1 : cost;
}

/* As World.set_storage, but for the original. */
static int set_slot(place *at, PyObject *slot, PyObject *value)
{
    return undo(at, PyTuple_Pack(4, slot_kind, at->address, slot, at->value))
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
    long long cost = reach(&at, args[0], args[1]) ? price(&at, args[2], &changes) : -1;
    if (cost >= 0) {
        if (warm_up(&at) && (!changes || set_slot(&at, args[1], args[2])) && take_gas(&at, cost))
            result = Py_NewRef(Py_None);
    } else if (!PyErr_Occurred()) {
        result = PyObject_Vectorcall(store_in_python, args, 3, NULL);
    }
    leave(&at);
    return result;
}

/* As log_data. */
static PyObject *py_log_data(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    place at;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "a frame, data and topics are expected");
        return NULL;
    }
    PyObject *logs = enter(&at, args[0]) ? of_world(&at, W_LOGS) : NULL;
    if (logs == NULL || !PyList_Check(logs) || *slot_of(&frames, at.frame, F_STATIC) != Py_False)
        return PyObject_Vectorcall(log_in_python, args, 3, NULL);
    PyObject *topics = bytes_of_words(args[2]), *log = topics == NULL ? NULL : log_type->tp_alloc(log_type, 3);
    if (log == NULL) {
        Py_XDECREF(topics);
        return NULL;
    }
    PyTuple_SET_ITEM(log, 0, Py_NewRef(at.address));
    PyTuple_SET_ITEM(log, 1, topics);
    PyTuple_SET_ITEM(log, 2, Py_NewRef(args[1]));
    made_plain(log);
    int failed = PyList_Append(logs, log);
    Py_DECREF(log);
    return failed ? NULL : Py_NewRef(Py_None);
}

/* --- accounts: named tuples of nonce, balance and code hash */

enum { NONCE, BALANCE, CODE_HASH, ACCOUNT_FIELDS };

static int is_account(PyObject *object)
{
    return PyTuple_Check(object) && PyTuple_GET_SIZE(object) == ACCOUNT_FIELDS;
}

/* Takes the numbers over. */
static PyObject *account_like(PyObject *other, PyObject *nonce, PyObject *balance)
{
    PyTypeObject *type = Py_TYPE(other);
    PyObject *made = nonce == NULL || balance == NULL ? NULL : type->tp_alloc(type, ACCOUNT_FIELDS);
    if (made == NULL) {
        Py_XDECREF(nonce);
        Py_XDECREF(balance);
        return NULL;
    }
    PyTuple_SET_ITEM(made, NONCE, nonce);
    PyTuple_SET_ITEM(made, BALANCE, balance);
    PyTuple_SET_ITEM(made, CODE_HASH, Py_NewRef(PyTuple_GET_ITEM(other, CODE_HASH)));
    made_plain(made);
    return made;
}

static PyObject *py_grow_account(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 5 || !PyDict_Check(args[0]) || !is_account(args[4])) {
        PyErr_SetString(PyExc_TypeError, "accounts, an address, two numbers and an empty account are expected");
        return NULL;
    }
    PyObject *accounts = args[0], *address = args[1];
    PyObject *before = Py_XNewRef(PyDict_GetItemWithError(accounts, address));
    if (before == NULL && !PyErr_Occurred())
        before = PyObject_GetItem(accounts, address); /* which asks the parent */
    if (before == NULL)
        return NULL;
    PyObject *grown = before == Py_None ? args[4] : before, *after = NULL;
    if (is_account(grown))
        after = account_like(grown, PyNumber_Add(PyTuple_GET_ITEM(grown, NONCE), args[2]),
            PyNumber_Add(PyTuple_GET_ITEM(grown, BALANCE), args[3]));
    else
        PyErr_SetString(PyExc_TypeError, "an account is a tuple of three");
    if (after == NULL || PyDict_SetItem(accounts, address, after) < 0)
        Py_CLEAR(before);
    Py_XDECREF(after);
    return before;
}

/* --- binding */

static int bind(layout *of, PyObject *cls, const char *const *names, Py_ssize_t count)
{
    PyObject *texts = PyTuple_New(count), *bound = NULL;
    for (Py_ssize_t i = 0; texts != NULL && i < count; i++) {
        PyObject *text = PyUnicode_InternFromString(names[i]);
        if (text == NULL)
            Py_CLEAR(texts);
        else
            PyTuple_SET_ITEM(texts, i, text);
    }
    if (texts != NULL)
        bound = bind_layout(of, cls, texts);
    Py_XDECREF(texts);
    Py_XDECREF(bound);
    return bound != NULL;
}

static int bind_all(PyObject *frame, PyObject *world, PyObject *slots)
{
    static const char *const of_frame[] = {"world", "address", "gas", "static"};
    static const char *const of_world[] = {"warm", "_accessed", "_undo", "_slots", "_originals", "logs"};
    static const char *const of_slots[] = {"before", "_read"};
    return bind(&frames, frame, of_frame, F_STATIC + 1) && bind(&worlds, world, of_world, W_LOGS + 1)
        && bind(&slots_of_accounts, slots, of_slots, S_READ + 1);
}

static PyObject *py_bind_storage(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *load, *store, *log_data, *slot, *warm, *frame, *world, *slots, *log;
    PyTypeObject *cls = &PyType_Type;
    if (!PyArg_ParseTuple(args, "OOOOOO!O!O!O!", &load, &store, &log_data, &slot, &warm, cls, &frame, cls, &world,
            cls, &slots, cls, &log))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)log, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "logs are tuples");
        return NULL;
    }
    if (!bind_all(frame, world, slots))
        return NULL;
    Py_XSETREF(load_in_python, Py_NewRef(load));
    Py_XSETREF(store_in_python, Py_NewRef(store));
    Py_XSETREF(log_in_python, Py_NewRef(log_data));
    Py_XSETREF(slot_kind, Py_NewRef(slot));
    Py_XSETREF(warm_kind, Py_NewRef(warm));
    Py_XSETREF(log_type, (PyTypeObject *)Py_NewRef(log));
    Py_RETURN_NONE;
}

PyMethodDef storage_methods[] = {
    {"bind_storage", py_bind_storage, METH_VARARGS, "Once, before `sload` and `sstore`."},
    {"sload", (PyCFunction)(void (*)(void))py_sload, METH_FASTCALL, "The value of a slot."},
    {"sstore", (PyCFunction)(void (*)(void))py_sstore, METH_FASTCALL, "Put a value in a slot."},
    {"grow_account", (PyCFunction)(void (*)(void))py_grow_account, METH_FASTCALL, "Add to nonce and balance."},
    {"log_data", (PyCFunction)(void (*)(void))py_log_data, METH_FASTCALL, "Leave a log that is paid for."},
    {NULL, NULL, 0, NULL},
};
