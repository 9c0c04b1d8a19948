/* Objects of encoded transactions: one, or all of a list, whose hashes are made four at a time.
 *
 * What is refused here is decoded by node.primitives.transaction, which accepts it or finds the words. */

#include "slots.h"
#include "transaction.h"

enum { WORD = 32, ADDRESS = 20, LISTS_MAX = 1000 };

static PyObject *bytes_of(const uint8_t *data, size_t start, size_t end)
{
    return PyBytes_FromStringAndSize((const char *)data + start, (Py_ssize_t)(end - start));
}

static PyObject *number_of(const transaction *tx, int index)
{
    const rlp_bounds *item = &tx->items[index];
    return number_from(tx->data + item->start, item->end - item->start);
}

/* (address, (key, ...)); NULL without an exception where it is none. */
static PyObject *access_entry(const uint8_t *data, rlp_bounds entry, int *lists)
{
    rlp_bounds address, keys, key;
    *lists += 2;
    if (!entry.is_list || *lists > LISTS_MAX || !rlp_item(data, entry.start, entry.end, &address)
        || address.is_list || address.end - address.start != ADDRESS
        || !rlp_item(data, address.end, entry.end, &keys) || !keys.is_list || keys.end != entry.end)
        return NULL;
    PyObject *found = PyList_New(0);
    for (size_t at = keys.start; found != NULL && at < keys.end; at = key.end) {
        PyObject *word = NULL;
        if (rlp_item(data, at, keys.end, &key) && !key.is_list && key.end - key.start == WORD)
            word = bytes_of(data, key.start, key.end);
        if (word == NULL || PyList_Append(found, word) < 0)
            Py_CLEAR(found);
        Py_XDECREF(word);
    }
    PyObject *tuple = found == NULL ? NULL : PyList_AsTuple(found);
    Py_XDECREF(found);
    return tuple == NULL ? NULL : Py_BuildValue("(NN)", bytes_of(data, address.start, address.end), tuple);
}

static PyObject *access_list(const transaction *tx)
{
    rlp_bounds whole = tx->items[tx->count - 4], entry;
    if (tx->type == LEGACY || whole.start == whole.end)
        return PyTuple_New(0);
    PyObject *found = PyList_New(0), *tuple = NULL;
    int lists = 0;
    for (size_t at = whole.start; found != NULL && at < whole.end; at = entry.end) {
        PyObject *item = NULL;
        if (rlp_item(tx->data, at, whole.end, &entry))
            item = access_entry(tx->data, entry, &lists);
        if (item == NULL || PyList_Append(found, item) < 0)
            Py_CLEAR(found);
        Py_XDECREF(item);
    }
    if (found != NULL)
        tuple = PyList_AsTuple(found);
    Py_XDECREF(found);
    return tuple;
}

static PyObject *chain_id_of(const transaction *tx)
{
    if (tx->type != LEGACY)
        return number_of(tx, 0);
    if (tx->is_protected)
        return PyLong_FromUnsignedLongLong(tx->chain_id);
    Py_RETURN_NONE;
}

static PyObject *recipient_of(const transaction *tx)
{
    const rlp_bounds *to = &tx->items[tx->gas + 1];
    if (to->start == to->end)
        Py_RETURN_NONE;
    return bytes_of(tx->data, to->start, to->end);
}

/* A transaction taken apart, and what became of it: a following one shares what is the same in both. */
typedef struct { transaction parts; PyObject *object; } seen;

enum {
    TYPE, CHAIN_ID, NONCE, TIP, FEE, GAS_LIMIT, TO, VALUE, DATA, ACCESSED, PARITY, R, S, ENCODED, HASH, SENDER, FIELDS
};

static layout class_of; /* Transaction: the slots above, in this order */
static PyObject *types; /* its types by their numbers */

/* The value of a field, where the transaction before has the very same bytes for it; NULL otherwise. */
static PyObject *shared(const seen *now, const seen *last, int field, int item)
{
    if (last == NULL || last->parts.type != now->parts.type)
        return NULL;
    const rlp_bounds *a = &now->parts.items[item], *b = &last->parts.items[item];
    if (a->end - a->start != b->end - b->start
        || memcmp(now->parts.data + a->start, last->parts.data + b->start, a->end - a->start) != 0)
        return NULL;
    return Py_NewRef(*slot_of(&class_of, last->object, field));
}

static PyObject *number(const seen *now, const seen *last, int field, int item)
{
    PyObject *found = shared(now, last, field, item);
    return found != NULL ? found : number_of(&now->parts, item);
}

/* Fill the slots of a new object; 0 where one of them could not be. */
static int fill(seen *now, const seen *last, PyObject *encoded, PyObject *hash)
{
    const transaction *tx = &now->parts;
    int first = tx->type == LEGACY ? 0 : 1, to = tx->gas + 1, data = tx->gas + 3;
    PyObject *recipient = shared(now, last, TO, to), *input = shared(now, last, DATA, data);
    PyObject *values[FIELDS] = {
        [TYPE] = Py_NewRef(PyTuple_GET_ITEM(types, tx->type)),
        [CHAIN_ID] = tx->type == LEGACY ? chain_id_of(tx) : number(now, last, CHAIN_ID, 0),
        [NONCE] = number_of(tx, first),
        [TIP] = number(now, last, TIP, first + 1),
        [FEE] = number(now, last, FEE, tx->gas - 1),
        [GAS_LIMIT] = number(now, last, GAS_LIMIT, tx->gas),
        [TO] = recipient != NULL ? recipient : recipient_of(tx),
        [VALUE] = number(now, last, VALUE, tx->gas + 2),
        [DATA] = input != NULL ? input : bytes_of(tx->data, tx->items[data].start, tx->items[data].end),
        [ACCESSED] = access_list(tx),
        [PARITY] = PyLong_FromLong(tx->signature[2 * WORD]),
        [R] = number_of(tx, tx->count - 2),
        [S] = number_of(tx, tx->count - 1),
        [ENCODED] = Py_NewRef(encoded),
        [HASH] = Py_NewRef(hash),
        [SENDER] = Py_NewRef(Py_None),
    };
    int done = 1;
    for (int field = 0; field < FIELDS; field++) {
        *slot_of(&class_of, now->object, field) = values[field];
        done &= values[field] != NULL;
    }
    return done;
}

/* Decode one; its hash, 32 new bytes, is the job's to fill. Without an exception where Python must look at it. */
static PyObject *decoded(seen *now, const seen *last, PyObject *encoded, keccak_job *job)
{
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(encoded);
    size_t size = (size_t)PyBytes_GET_SIZE(encoded);
    if (!transaction_parse(data, size, &now->parts))
        return NULL;
    PyObject *hash = PyBytes_FromStringAndSize(NULL, WORD);
    now->object = hash == NULL ? NULL : class_of.type->tp_alloc(class_of.type, 0);
    if (now->object != NULL) {
        *job = (keccak_job){data, size, (uint8_t *)PyBytes_AS_STRING(hash)};
        if (fill(now, last, encoded, hash))
            /* Nothing that it holds can lead back to it: no cycle for the garbage collector to find. */
            PyObject_GC_UnTrack(now->object);
        else
            Py_CLEAR(now->object);
    }
    Py_XDECREF(hash);
    return now->object;
}

static PyObject *refused(void)
{
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "no transaction that is decoded in C");
    return NULL;
}

static PyObject *py_transaction(PyObject *self, PyObject *encoded)
{
    (void)self;
    seen now;
    keccak_job job;
    if (class_of.type == NULL || !PyBytes_Check(encoded)) {
        PyErr_SetString(PyExc_TypeError, "bind_transaction comes first, then bytes");
        return NULL;
    }
    if (decoded(&now, NULL, encoded, &job) == NULL)
        return refused();
    keccak_many(&job, 1);
    return now.object;
}

/* How many items a list has; -1 where it is none, or has more than `most`. */
static Py_ssize_t count_of(const uint8_t *data, rlp_bounds whole, Py_ssize_t most)
{
    rlp_bounds item;
    Py_ssize_t count = 0;
    for (size_t at = whole.start; at < whole.end; at = item.end)
        if (count++ == most || !rlp_item(data, at, whole.end, &item))
            return -1;
    return count;
}

/* Decode those of a list: envelopes are strings in it, legacy transactions are lists. 0 where one is refused. */
static int decode_all(const uint8_t *data, rlp_bounds whole, PyObject *made, keccak_job *jobs)
{
    seen two[2];
    size_t at = whole.start;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(made); i++) {
        rlp_bounds item;
        rlp_item(data, at, whole.end, &item);
        size_t start = item.is_list ? at : item.start;
        PyObject *encoded = bytes_of(data, start, item.end), *object = NULL;
        if (encoded != NULL && item.is_list == (start < item.end && data[start] >= 0xC0))
            object = decoded(&two[i % 2], i ? &two[(i + 1) % 2] : NULL, encoded, jobs + i);
        Py_XDECREF(encoded);
        if (object == NULL)
            return 0;
        PyTuple_SET_ITEM(made, i, object);
        at = item.end;
    }
    return 1;
}

static PyObject *py_transactions(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *list, *made = NULL;
    Py_ssize_t most;
    if (!PyArg_ParseTuple(args, "Sn", &list, &most))
        return NULL;
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(list);
    size_t size = (size_t)PyBytes_GET_SIZE(list);
    rlp_bounds whole;
    if (class_of.type == NULL || !rlp_item(data, 0, size, &whole) || !whole.is_list || whole.end != size)
        return refused();
    Py_ssize_t count = count_of(data, whole, most);
    if (count < 0 || (made = PyTuple_New(count)) == NULL)
        return refused();
    keccak_job *jobs = PyMem_Malloc((size_t)(count + 1) * sizeof *jobs);
    if (jobs == NULL)
        PyErr_NoMemory();
    if (jobs != NULL && decode_all(data, whole, made, jobs)) {
        keccak_many(jobs, (size_t)count);
        if (count > 0)
            PyObject_GC_UnTrack(made);
    } else {
        Py_CLEAR(made);
        refused();
    }
    PyMem_Free(jobs);
    return made;
}

static PyObject *py_bind_transaction(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *cls, *names, *by_number;
    if (!PyArg_ParseTuple(args, "OO!O!", &cls, &PyTuple_Type, &names, &PyTuple_Type, &by_number))
        return NULL;
    if (PyTuple_GET_SIZE(names) != FIELDS || PyTuple_GET_SIZE(by_number) != FEE_MARKET + 1) {
        PyErr_SetString(PyExc_TypeError, "a class, the names of its slots and its types are expected");
        return NULL;
    }
    Py_XSETREF(types, Py_NewRef(by_number));
    return bind_layout(&class_of, cls, names);
}

PyMethodDef transaction_methods[] = {
    {"bind_transaction", py_bind_transaction, METH_VARARGS, "Take the class of transactions."},
    {"transaction", py_transaction, METH_O, "An encoded transaction, decoded."},
    {"transactions", py_transactions, METH_VARARGS, "All transactions of an encoded list."},
    {NULL, NULL, 0, NULL},
};
