/* Roots of lists, keyed by the RLP of their index: the same as node.trie.ordered_root, in one call. */

#include "trie.h"

enum { KEY_NIBBLES = 8 };
static const Py_ssize_t ITEMS_MAX = 1 << 24; /* keys of more than four bytes are not made here */

typedef struct {
    uint8_t nibbles[KEY_NIBBLES]; /* numbers, one in a byte */
    uint8_t size;
    slice value;
} entry;

static entry entry_of(size_t index, PyObject *item)
{
    uint8_t key[KEY_NIBBLES / 2] = {(uint8_t)(index ? index : 0x80)};
    uint8_t size = 1;
    if (index >= 0x80) {
        uint8_t width = index < 0x100 ? 1 : index < 0x10000 ? 2 : 3;
        key[0] = (uint8_t)(0x80 + width);
        for (uint8_t i = 0; i < width; i++)
            key[1 + i] = (uint8_t)(index >> 8 * (width - 1 - i));
        size = (uint8_t)(1 + width);
    }
    entry e = {{0}, (uint8_t)(2 * size), trie_bytes(item)};
    for (uint8_t n = 0; n < e.size; n++)
        e.nibbles[n] = n % 2 ? key[n / 2] & 15 : key[n / 2] >> 4;
    return e;
}

/* The node of entries that agree in their first `depth` nibbles. */
static PyObject *built(const entry *entries, size_t count, size_t depth)
{
    const entry *first = entries, *last = entries + count - 1;
    if (count == 1)
        return trie_short(first->nibbles + depth, first->size - depth, first->value, 1);
    size_t fork = depth;
    while (first->nibbles[fork] == last->nibbles[fork])
        fork++;
    static const uint8_t none[] = {0x80};
    slice items[BRANCH_ITEMS];
    uint8_t room[BRANCH_ITEMS][REFERENCE];
    for (int i = 0; i < BRANCH_ITEMS; i++)
        items[i] = (slice){none, 1};
    for (size_t low = 0, end; low < count; low = end) {
        uint8_t nibble = entries[low].nibbles[fork];
        for (end = low + 1; end < count && entries[end].nibbles[fork] == nibble; end++)
            ;
        PyObject *node = built(entries + low, end - low, fork + 1);
        if (node == NULL)
            return NULL;
        items[nibble] = (slice){room[nibble], trie_reference(trie_bytes(node), room[nibble])};
        Py_DECREF(node);
    }
    PyObject *branch = trie_branch(items);
    if (branch == NULL || fork == depth)
        return branch;
    slice reference = {room[0], trie_reference(trie_bytes(branch), room[0])};
    Py_DECREF(branch);
    return trie_short(first->nibbles + depth, fork - depth, reference, 0);
}

static PyObject *py_ordered_root(PyObject *self, PyObject *given)
{
    (void)self;
    PyObject *items = PySequence_Tuple(given), *root = NULL, *node = NULL;
    if (items == NULL)
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(items);
    entry *entries = PyMem_Malloc((size_t)(count ? count : 1) * sizeof *entries);
    if (entries == NULL)
        PyErr_NoMemory();
    else if (count == 0 || count > ITEMS_MAX)
        PyErr_SetString(PyExc_ValueError, "one item at least, and no more than have short keys");
    for (Py_ssize_t i = 0; i < count && !PyErr_Occurred(); i++)
        if (!PyBytes_Check(PyTuple_GET_ITEM(items, i)))
            PyErr_SetString(PyExc_TypeError, "items are bytes");
    if (!PyErr_Occurred()) {
        /* The key of 0 is 0x80: it comes after the single bytes 1..127 and before the longer keys. */
        Py_ssize_t short_keys = count < 0x80 ? count : 0x80;
        for (Py_ssize_t i = 1; i < count; i++)
            entries[i < 0x80 ? i - 1 : i] = entry_of((size_t)i, PyTuple_GET_ITEM(items, i));
        entries[short_keys - 1] = entry_of(0, PyTuple_GET_ITEM(items, 0));
        node = built(entries, (size_t)count, 0);
    }
    if (node != NULL && (root = PyBytes_FromStringAndSize(NULL, HASH)) != NULL)
        keccak256(trie_bytes(node).at, trie_bytes(node).size, (uint8_t *)PyBytes_AS_STRING(root));
    Py_XDECREF(node);
    PyMem_Free(entries);
    Py_DECREF(items);
    return root;
}

PyMethodDef ordered_root_methods[] = {
    {"ordered_root", py_ordered_root, METH_O, "Root of the trie of a list."},
    {NULL, NULL, 0, NULL},
};
