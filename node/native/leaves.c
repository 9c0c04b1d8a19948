/* Rows and trie leaves of changed accounts and slots: node.state.commit's work for each of them. */

#include "trie.h"

enum { ADDRESS = 20, WORD = 32, NONCE = 8, PLAIN = NONCE + WORD, STORAGE = HASH + 8, LEAF_MAX = 2 + 9 + 33 + 33 + 33 };

static uint8_t no_code[HASH], no_storage[HASH];

void leaves_prepare(void)
{
    static const uint8_t empty[] = {0x80};
    keccak256(empty, 0, no_code);
    keccak256(empty, 1, no_storage);
}

static slice without_zeros(const uint8_t *number, size_t size)
{
    while (size && *number == 0)
        number++, size--;
    return (slice){number, size};
}

/* Where changes are noted; leaves when all are there, so that their keys are hashed at once. */
typedef struct {
    PyObject *held, *rows, *before, *leaves;
    struct { PyObject *key, *place, *leaf; } *noted;
    keccak_job *jobs;
    size_t count;
} notes;

static int begin(notes *to, Py_ssize_t most)
{
    to->count = 0;
    to->noted = PyMem_Calloc((size_t)most + 1, sizeof *to->noted);
    to->jobs = PyMem_Calloc((size_t)most + 1, sizeof *to->jobs);
    if (to->noted == NULL || to->jobs == NULL)
        PyErr_NoMemory();
    return PyErr_Occurred() ? -1 : 0;
}

/* Put the leaves where they belong, unless something went wrong; what it comes to. */
static int end(notes *to, int result)
{
    if (result == 0)
        keccak_many(to->jobs, to->count);
    for (size_t i = 0; i < to->count; i++) {
        if (result == 0)
            result = PyDict_SetItem(to->leaves, to->noted[i].place, to->noted[i].leaf);
        Py_DECREF(to->noted[i].key);
        Py_DECREF(to->noted[i].place);
        Py_DECREF(to->noted[i].leaf);
    }
    PyMem_Free(to->noted);
    PyMem_Free(to->jobs);
    return result;
}

/* The row under a key as it was: bytes or None. */
static PyObject *row_before(const notes *to, PyObject *key)
{
    PyObject *row = PyObject_CallOneArg(to->held, key);
    if (row != NULL && row != Py_None && !PyBytes_Check(row)) {
        PyErr_SetString(PyExc_TypeError, "a row is bytes or None");
        Py_CLEAR(row);
    }
    return row;
}

/* Note a row that differs, and its leaf (None: gone) under the hash of what the key ends in; takes both. */
static int note(notes *to, PyObject *key, PyObject *old, PyObject *row, PyObject *leaf, size_t name)
{
    int result = -1;
    PyObject *place = PyBytes_FromStringAndSize(NULL, HASH);
    if (place != NULL && row != NULL && leaf != NULL && PyDict_SetItem(to->before, key, old) == 0)
        result = PyDict_SetItem(to->rows, key, row);
    if (result == 0) {
        slice bytes = trie_bytes(key);
        to->jobs[to->count] = (keccak_job){bytes.at + bytes.size - name, name, (uint8_t *)PyBytes_AS_STRING(place)};
        to->noted[to->count].key = Py_NewRef(key);
        to->noted[to->count].place = Py_NewRef(place);
        to->noted[to->count].leaf = Py_NewRef(leaf);
        to->count++;
    }
    Py_XDECREF(place);
    Py_XDECREF(row);
    Py_XDECREF(leaf);
    return result;
}

static int is_same(PyObject *old, const uint8_t *row, size_t size)
{
    return old != Py_None && (size_t)PyBytes_GET_SIZE(old) == size && memcmp(PyBytes_AS_STRING(old), row, size) == 0;
}

static PyObject *leaf_of(const uint8_t *plain, const uint8_t *storage_root, const uint8_t *code_hash)
{
    uint8_t leaf[LEAF_MAX], *end = leaf + 2;
    end = trie_put_string(end, without_zeros(plain, NONCE));
    end = trie_put_string(end, without_zeros(plain + NONCE, WORD));
    end = trie_put_string(end, (slice){storage_root, HASH});
    end = trie_put_string(end, (slice){code_hash, HASH});
    leaf[0] = 0xF8; /* two hashes alone are more than 55 bytes */
    leaf[1] = (uint8_t)(end - leaf - 2);
    return PyBytes_FromStringAndSize((const char *)leaf, end - leaf);
}

/* 1: noted, or the same as before; 0: left to Python, which knows storage that dies and rows that are none. */
static int note_account(notes *to, PyObject *key, PyObject *old, PyObject *account)
{
    size_t size = old == Py_None ? PLAIN : (size_t)PyBytes_GET_SIZE(old);
    int has_storage = size >= PLAIN + STORAGE;
    if (size != PLAIN && size != PLAIN + HASH && size != PLAIN + STORAGE && size != PLAIN + HASH + STORAGE)
        return 0;
    if (account == Py_None) {
        if (has_storage)
            return 0;
        if (old == Py_None)
            return 1;
        return note(to, key, old, Py_NewRef(Py_None), Py_NewRef(Py_None), ADDRESS) < 0 ? -1 : 1;
    }
    if (!PyTuple_Check(account) || PyTuple_GET_SIZE(account) != 3 || !PyBytes_Check(PyTuple_GET_ITEM(account, 2))
        || PyBytes_GET_SIZE(PyTuple_GET_ITEM(account, 2)) != HASH)
        return 0;
    uint8_t row[PLAIN + HASH + STORAGE];
    const uint8_t *code_hash = (const uint8_t *)PyBytes_AS_STRING(PyTuple_GET_ITEM(account, 2));
    const uint8_t *storage = has_storage ? (const uint8_t *)PyBytes_AS_STRING(old) + size - STORAGE : no_storage;
    if (number_bytes(PyTuple_GET_ITEM(account, 0), row, NONCE) < 0
        || number_bytes(PyTuple_GET_ITEM(account, 1), row + NONCE, WORD) < 0)
        return -1;
    size_t end = PLAIN;
    if (memcmp(code_hash, no_code, HASH) != 0) {
        memcpy(row + end, code_hash, HASH);
        end += HASH;
    }
    if (has_storage) {
        memcpy(row + end, storage, STORAGE);
        end += STORAGE;
    }
    if (is_same(old, row, end))
        return 1;
    PyObject *new = PyBytes_FromStringAndSize((const char *)row, (Py_ssize_t)end);
    return note(to, key, old, new, leaf_of(row, storage, code_hash), ADDRESS) < 0 ? -1 : 1;
}

static int one_account(notes *to, PyObject *address, PyObject *account)
{
    if (!PyBytes_Check(address) || PyBytes_GET_SIZE(address) != ADDRESS)
        return 0;
    PyObject *key = PyBytes_FromStringAndSize(NULL, 1 + ADDRESS), *old = NULL;
    int result = -1;
    if (key != NULL) {
        PyBytes_AS_STRING(key)[0] = 'a';
        memcpy(PyBytes_AS_STRING(key) + 1, PyBytes_AS_STRING(address), ADDRESS);
        if ((old = row_before(to, key)) != NULL)
            result = note_account(to, key, old, account);
    }
    Py_XDECREF(key);
    Py_XDECREF(old);
    return result;
}

static PyObject *py_account_leaves(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *accounts, *storage, *wiped;
    notes to;
    if (!PyArg_ParseTuple(args, "O!OOOO!O!O!", &PyDict_Type, &accounts, &storage, &wiped, &to.held, &PyDict_Type,
                          &to.rows, &PyDict_Type, &to.before, &PyDict_Type, &to.leaves))
        return NULL;
    PyObject *items = PyDict_Items(accounts), *left = PyList_New(0);
    int result = items == NULL || left == NULL ? -1 : 0;
    Py_ssize_t count = result < 0 ? 0 : PyList_GET_SIZE(items);
    if (begin(&to, count) < 0)
        result = -1;
    for (Py_ssize_t i = 0; result == 0 && i < count; i++) {
        PyObject *pair = PyList_GET_ITEM(items, i), *address = PyTuple_GET_ITEM(pair, 0);
        int apart = PySequence_Contains(storage, address);
        if (apart == 0)
            apart = PySequence_Contains(wiped, address);
        int done = apart ? -(apart < 0) : one_account(&to, address, PyTuple_GET_ITEM(pair, 1));
        if (done < 0 || (done == 0 && PyList_Append(left, address) < 0))
            result = -1;
    }
    if (end(&to, result) < 0)
        Py_CLEAR(left);
    Py_XDECREF(items);
    return left;
}

static int one_slot(notes *to, slice prefix, PyObject *slot, PyObject *value)
{
    PyObject *key = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)prefix.size + WORD), *old = NULL;
    uint8_t number[WORD], leaf[WORD + 1];
    int result = -1;
    if (key == NULL)
        return -1;
    uint8_t *name = (uint8_t *)PyBytes_AS_STRING(key) + prefix.size;
    memcpy(PyBytes_AS_STRING(key), prefix.at, prefix.size);
    if (number_bytes(slot, name, WORD) == 0 && number_bytes(value, number, WORD) == 0
        && (old = row_before(to, key)) != NULL) {
        slice new = without_zeros(number, WORD);
        if (new.size == 0)
            result = old == Py_None ? 0 : note(to, key, old, Py_NewRef(Py_None), Py_NewRef(Py_None), WORD);
        else if (is_same(old, new.at, new.size))
            result = 0;
        else
            result = note(
                to, key, old, PyBytes_FromStringAndSize((const char *)new.at, (Py_ssize_t)new.size),
                PyBytes_FromStringAndSize((const char *)leaf, trie_put_string(leaf, new) - leaf), WORD);
    }
    Py_DECREF(key);
    Py_XDECREF(old);
    return result;
}

static PyObject *py_slot_leaves(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *slots, *prefix;
    notes to;
    if (!PyArg_ParseTuple(args, "O!SOO!O!O!", &PyDict_Type, &slots, &prefix, &to.held, &PyDict_Type, &to.rows,
                          &PyDict_Type, &to.before, &PyDict_Type, &to.leaves))
        return NULL;
    PyObject *items = PyDict_Items(slots);
    Py_ssize_t count = items == NULL ? 0 : PyList_GET_SIZE(items);
    int result = begin(&to, count) < 0 || items == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < count; i++) {
        PyObject *pair = PyList_GET_ITEM(items, i);
        result = one_slot(&to, trie_bytes(prefix), PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
    }
    result = end(&to, result);
    Py_XDECREF(items);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef leaves_methods[] = {
    {"account_leaves", py_account_leaves, METH_VARARGS, "Rows and leaves of accounts whose storage stays."},
    {"slot_leaves", py_slot_leaves, METH_VARARGS, "Rows and leaves of an account's slots."},
    {NULL, NULL, 0, NULL},
};
