/* Rows and trie leaves of changed accounts and slots: node.state.commit's work for each of them. */

#include "trie.h"

enum { ADDRESS = 20, WORD = 32, NONCE = 8, PLAIN = NONCE + WORD, STORAGE = HASH + 8, LEAF_MAX = 2 + 9 + 33 + 33 + 33 };
enum { RECORD_MAX = HASH + 1 + LEAF_MAX };

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

/* Where changes are noted; the hashes of their keys when all are there, at once. */
typedef struct {
    PyObject *held, *rows, *before;
    PyObject *packed; /* leaves, as node.trie.rows has them; filled up to `end` */
    uint8_t *end;
    PyObject **keys; /* kept until they are hashed */
    keccak_job *jobs;
    size_t count;
} notes;

static int begin(notes *to, Py_ssize_t most)
{
    to->count = 0;
    to->packed = PyBytes_FromStringAndSize(NULL, most * RECORD_MAX);
    to->keys = PyMem_Malloc((size_t)(most + 1) * sizeof *to->keys);
    to->jobs = PyMem_Malloc((size_t)(most + 1) * sizeof *to->jobs);
    if (to->packed == NULL)
        return -1;
    to->end = (uint8_t *)PyBytes_AS_STRING(to->packed);
    if (to->keys != NULL && to->jobs != NULL)
        return 0;
    PyErr_NoMemory();
    return -1;
}

/* The leaves, unless something went wrong. */
static PyObject *end(notes *to, int result)
{
    if (result == 0)
        keccak_many(to->jobs, to->count);
    while (to->count)
        Py_DECREF(to->keys[--to->count]);
    PyMem_Free(to->keys);
    PyMem_Free(to->jobs);
    if (result < 0)
        Py_CLEAR(to->packed);
    else
        _PyBytes_Resize(&to->packed, to->end - (uint8_t *)PyBytes_AS_STRING(to->packed));
    return to->packed;
}

/* Where the next leaf is put before it is noted. */
static uint8_t *leaf_room(notes *to)
{
    return to->end + HASH + 1;
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

/* Note a row that differs, which is taken, and the leaf that is in its room, under the hash of what the key ends
 * in; a leaf of no bytes is gone. */
static int note(notes *to, PyObject *key, PyObject *old, PyObject *row, size_t leaf_size, size_t name)
{
    int result = -1;
    if (row != NULL && PyDict_SetItem(to->before, key, old) == 0)
        result = PyDict_SetItem(to->rows, key, row);
    if (result == 0) {
        slice bytes = trie_bytes(key);
        to->jobs[to->count] = (keccak_job){bytes.at + bytes.size - name, name, to->end};
        to->keys[to->count++] = Py_NewRef(key);
        to->end[HASH] = (uint8_t)leaf_size;
        to->end += HASH + 1 + leaf_size;
    }
    Py_XDECREF(row);
    return result;
}

static int is_same(PyObject *old, const uint8_t *row, size_t size)
{
    return old != Py_None && (size_t)PyBytes_GET_SIZE(old) == size && memcmp(PyBytes_AS_STRING(old), row, size) == 0;
}

/* The size of an account's leaf. */
static size_t put_leaf(uint8_t *leaf, const uint8_t *plain, const uint8_t *storage_root, const uint8_t *code_hash)
{
    uint8_t *end = leaf + 2;
    end = trie_put_string(end, without_zeros(plain, NONCE));
    end = trie_put_string(end, without_zeros(plain + NONCE, WORD));
    end = trie_put_string(end, (slice){storage_root, HASH});
    end = trie_put_string(end, (slice){code_hash, HASH});
    leaf[0] = 0xF8; /* two hashes alone are more than 55 bytes */
    leaf[1] = (uint8_t)(end - leaf - 2);
    return (size_t)(end - leaf);
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
        return note(to, key, old, Py_NewRef(Py_None), 0, ADDRESS) < 0 ? -1 : 1;
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
    return note(to, key, old, new, put_leaf(leaf_room(to), row, storage, code_hash), ADDRESS) < 0 ? -1 : 1;
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

/* (packed leaves, list of those that are left to Python). */
static PyObject *py_leaves_of_accounts(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *accounts, *storage, *wiped, *address, *account;
    notes to;
    if (!PyArg_ParseTuple(args, "O!OOOO!O!", &PyDict_Type, &accounts, &storage, &wiped, &to.held, &PyDict_Type,
                          &to.rows, &PyDict_Type, &to.before))
        return NULL;
    PyObject *left = PyList_New(0);
    Py_ssize_t most = PyDict_GET_SIZE(accounts), position = 0;
    int result = begin(&to, most) < 0 || left == NULL ? -1 : 0;
    while (result == 0 && most-- > 0 && PyDict_Next(accounts, &position, &address, &account)) {
        /* `held` is Python's: the dict may change meanwhile. */
        Py_INCREF(address);
        Py_INCREF(account);
        int apart = PySequence_Contains(storage, address);
        if (apart == 0)
            apart = PySequence_Contains(wiped, address);
        int done = apart ? -(apart < 0) : one_account(&to, address, account);
        if (done < 0 || (done == 0 && PyList_Append(left, address) < 0))
            result = -1;
        Py_DECREF(address);
        Py_DECREF(account);
    }
    PyObject *packed = end(&to, result), *both = packed == NULL ? NULL : PyTuple_Pack(2, packed, left);
    Py_XDECREF(packed);
    Py_XDECREF(left);
    return both;
}

static int one_slot(notes *to, slice prefix, PyObject *slot, PyObject *value)
{
    PyObject *key = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)prefix.size + WORD), *old = NULL;
    uint8_t number[WORD], *leaf = leaf_room(to);
    int result = -1;
    if (key == NULL)
        return -1;
    uint8_t *name = (uint8_t *)PyBytes_AS_STRING(key) + prefix.size;
    memcpy(PyBytes_AS_STRING(key), prefix.at, prefix.size);
    if (number_bytes(slot, name, WORD) == 0 && number_bytes(value, number, WORD) == 0
        && (old = row_before(to, key)) != NULL) {
        slice new = without_zeros(number, WORD);
        if (new.size == 0)
            result = old == Py_None ? 0 : note(to, key, old, Py_NewRef(Py_None), 0, WORD);
        else if (is_same(old, new.at, new.size))
            result = 0;
        else
            result = note(
                to, key, old, PyBytes_FromStringAndSize((const char *)new.at, (Py_ssize_t)new.size),
                (size_t)(trie_put_string(leaf, new) - leaf), WORD);
    }
    Py_DECREF(key);
    Py_XDECREF(old);
    return result;
}

static PyObject *py_leaves_of_slots(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *slots, *prefix, *slot, *value;
    notes to;
    if (!PyArg_ParseTuple(args, "O!SOO!O!", &PyDict_Type, &slots, &prefix, &to.held, &PyDict_Type, &to.rows,
                          &PyDict_Type, &to.before))
        return NULL;
    Py_ssize_t most = PyDict_GET_SIZE(slots), position = 0;
    int result = begin(&to, most);
    while (result == 0 && most-- > 0 && PyDict_Next(slots, &position, &slot, &value)) {
        Py_INCREF(slot);
        Py_INCREF(value);
        result = one_slot(&to, trie_bytes(prefix), slot, value);
        Py_DECREF(slot);
        Py_DECREF(value);
    }
    return end(&to, result);
}

PyMethodDef leaves_methods[] = {
    {"leaves_of_accounts", py_leaves_of_accounts, METH_VARARGS, "Rows and leaves of accounts whose storage stays."},
    {"leaves_of_slots", py_leaves_of_slots, METH_VARARGS, "Rows and leaves of an account's slots."},
    {NULL, NULL, 0, NULL},
};
