/* A whole update of a path-keyed trie: changes sorted, one walk, and the rows that differ afterwards. */

#include "trie_walk.h"

static const uint8_t EMPTY[] = {0x80};

static int in_order(const void *left, const void *right)
{
    const change *a = left, *b = right;
    int order = memcmp(a->nibbles, b->nibbles, a->size < b->size ? a->size : b->size);
    return order ? order : a->size < b->size ? -1 : a->size > b->size;
}

/* Sorted changes from the items of a dict, in one piece of memory with their nibbles; NULL with an exception. */
static change *sorted_changes(PyObject *items)
{
    size_t count = (size_t)PyList_GET_SIZE(items);
    change *changes = PyMem_Malloc((count + 1) * (sizeof *changes + NIBBLES_MAX));
    uint8_t *nibbles = (uint8_t *)(changes + count);
    if (changes == NULL)
        PyErr_NoMemory();
    for (size_t i = 0; changes != NULL && i < count; i++, nibbles += NIBBLES_MAX) {
        PyObject *pair = PyList_GET_ITEM(items, (Py_ssize_t)i);
        PyObject *key = PyTuple_GET_ITEM(pair, 0), *value = PyTuple_GET_ITEM(pair, 1);
        if (!PyBytes_Check(key) || 2 * PyBytes_GET_SIZE(key) > NIBBLES_MAX
            || !(value == Py_None || PyBytes_Check(value))) {
            walk_refused("a change is a key of at most 63 bytes and bytes or None");
            PyMem_Free(changes);
            return NULL;
        }
        slice bytes = trie_bytes(key);
        for (size_t n = 0; n < 2 * bytes.size; n++)
            nibbles[n] = n % 2 ? bytes.at[n / 2] & 15 : bytes.at[n / 2] >> 4;
        changes[i] = (change){nibbles, 2 * bytes.size, {NULL, 0}};
        if (value != Py_None && PyBytes_GET_SIZE(value))
            changes[i].value = trie_bytes(value);
    }
    if (changes != NULL)
        qsort(changes, count, sizeof *changes, in_order);
    return changes;
}

static PyObject *root_of(PyObject *node)
{
    uint8_t root[HASH];
    slice encoded = node == Py_None ? (slice){EMPTY, 1} : trie_bytes(node);
    keccak256(encoded.at, encoded.size, root);
    return PyBytes_FromStringAndSize((const char *)root, HASH);
}

/* Take the root row through the changes; what it becomes. */
static PyObject *change_root(walk *w, PyObject *changes, PyObject *expected)
{
    PyObject *key = walk_key(w, 0), *items = NULL, *new = NULL, *old = NULL, *root = NULL;
    change *sorted = NULL;
    if (key == NULL || (old = walk_row(w, key)) == NULL || (root = root_of(old)) == NULL)
        goto end;
    if (expected != Py_None && PyObject_RichCompareBool(root, expected, Py_NE)) {
        if (!PyErr_Occurred())
            walk_refused("the rows have another root");
        goto end;
    }
    if ((items = PyDict_Items(changes)) == NULL || (sorted = sorted_changes(items)) == NULL)
        goto end;
    if (PyList_GET_SIZE(items) == 0) {
        Py_INCREF(old);
        new = old;
    } else {
        new = walk_changed(w, 0, old, sorted, (size_t)PyList_GET_SIZE(items));
    }
    if (new != NULL && PyDict_SetItem(w->rows, key, new) < 0)
        Py_CLEAR(new);
end:
    PyMem_Free(sorted);
    Py_XDECREF(key);
    Py_XDECREF(items);
    Py_XDECREF(old);
    Py_XDECREF(root);
    return new;
}

/* (root, rows, before): of the rows only those that differ from what they were. */
static PyObject *outcome(walk *w, PyObject *node)
{
    PyObject *rows = PyDict_New(), *before = PyDict_New(), *root = root_of(node), *key, *row;
    Py_ssize_t position = 0;
    int result = rows == NULL || before == NULL || root == NULL ? -1 : 0;
    while (result == 0 && PyDict_Next(w->rows, &position, &key, &row)) {
        PyObject *old = PyDict_GetItemWithError(w->seen, key);
        if (old == NULL)
            old = Py_None;
        int differs = PyErr_Occurred() ? -1 : PyObject_RichCompareBool(row, old, Py_NE);
        if (differs)
            result = differs < 0 || PyDict_SetItem(rows, key, row) < 0 || PyDict_SetItem(before, key, old) < 0
                ? -1
                : 0;
    }
    PyObject *triple = result < 0 ? NULL : PyTuple_Pack(3, root, rows, before);
    Py_XDECREF(rows);
    Py_XDECREF(before);
    Py_XDECREF(root);
    return triple;
}

static PyObject *py_trie_update(PyObject *self, PyObject *args)
{
    (void)self;
    walk w = {0};
    PyObject *prefix, *changes, *expected, *result = NULL;
    if (!PyArg_ParseTuple(args, "OSO!O", &w.read, &prefix, &PyDict_Type, &changes, &expected))
        return NULL;
    w.prefix = trie_bytes(prefix);
    w.seen = PyDict_New();
    w.rows = PyDict_New();
    if (w.seen != NULL && w.rows != NULL) {
        PyObject *node = change_root(&w, changes, expected);
        if (node != NULL)
            result = outcome(&w, node);
        Py_XDECREF(node);
    }
    Py_XDECREF(w.seen);
    Py_XDECREF(w.rows);
    return result;
}

PyMethodDef trie_update_methods[] = {
    {"trie_update", py_trie_update, METH_VARARGS, "Root, rows and rows before of a trie after changes."},
    {NULL, NULL, 0, NULL},
};
