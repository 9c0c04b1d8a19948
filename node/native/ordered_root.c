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

/* Nodes in the making, and those of them whose parents wait for their hashes. */
typedef struct {
    PyObject **nodes;
    trie_hashing *hashing;
    size_t made, waiting;
} building;

/* Takes a new node; NULL where there is none. */
static PyObject *keep(building *b, PyObject *node)
{
    if (node != NULL)
        b->nodes[b->made++] = node;
    return node;
}

/* The hash of a node with `depth` nibbles above it goes to where its parent's reference to it is. */
static void wait_for(building *b, PyObject *node, size_t depth, const uint8_t *reference)
{
    slice encoded = trie_bytes(node);
    if (encoded.size >= HASH)
        b->hashing[b->waiting++] = (trie_hashing){encoded, depth, (uint8_t *)reference + 1};
}

/* The node of entries that agree in their first `depth` nibbles; borrowed. */
static PyObject *built(building *b, const entry *entries, size_t count, size_t depth)
{
    const entry *first = entries, *last = entries + count - 1;
    if (count == 1)
        return keep(b, trie_short(first->nibbles + depth, first->size - depth, first->value, 1));
    size_t fork = depth;
    while (first->nibbles[fork] == last->nibbles[fork])
        fork++;
    static const uint8_t none[] = {0x80};
    slice items[BRANCH_ITEMS];
    uint8_t room[BRANCH_ITEMS][REFERENCE];
    PyObject *children[BRANCH_ITEMS] = {NULL};
    for (int i = 0; i < BRANCH_ITEMS; i++)
        items[i] = (slice){none, 1};
    for (size_t low = 0, end; low < count; low = end) {
        uint8_t nibble = entries[low].nibbles[fork];
        for (end = low + 1; end < count && entries[end].nibbles[fork] == nibble; end++)
            ;
        PyObject *node = built(b, entries + low, end - low, fork + 1);
        if (node == NULL)
            return NULL;
        children[nibble] = node;
        items[nibble] = (slice){room[nibble], trie_open_reference(trie_bytes(node), room[nibble])};
    }
    PyObject *branch = keep(b, trie_branch(items));
    if (branch == NULL)
        return NULL;
    const uint8_t *at = trie_bytes(branch).at + trie_bytes(branch).size;
    for (int i = BRANCH_ITEMS - 1; i >= 0; i--) {
        at -= items[i].size;
        if (children[i] != NULL)
            wait_for(b, children[i], fork + 1, at);
    }
    if (fork == depth)
        return branch;
    slice reference = {room[0], trie_open_reference(trie_bytes(branch), room[0])};
    PyObject *extension = keep(b, trie_short(first->nibbles + depth, fork - depth, reference, 0));
    if (extension != NULL)
        wait_for(b, branch, fork, trie_bytes(extension).at + trie_bytes(extension).size - reference.size);
    return extension;
}

/* The root, as new bytes, of entries in order. */
static PyObject *root_of(const entry *entries, size_t count)
{
    /* A leaf for each, and fewer branches, each below one extension at most. */
    size_t most = 3 * count;
    building b = {PyMem_Malloc(most * sizeof *b.nodes), PyMem_Malloc(most * sizeof *b.hashing), 0, 0};
    PyObject *root = NULL, *node = NULL;
    if (b.nodes == NULL || b.hashing == NULL)
        PyErr_NoMemory();
    else if ((root = PyBytes_FromStringAndSize(NULL, HASH)) != NULL)
        node = built(&b, entries, count, 0);
    if (node != NULL)
        b.hashing[b.waiting++] = (trie_hashing){trie_bytes(node), 0, (uint8_t *)PyBytes_AS_STRING(root)};
    if (node == NULL || trie_hash_all(b.hashing, b.waiting) < 0)
        Py_CLEAR(root);
    while (b.made)
        Py_DECREF(b.nodes[--b.made]);
    PyMem_Free(b.nodes);
    PyMem_Free(b.hashing);
    return root;
}

static PyObject *py_ordered_root(PyObject *self, PyObject *given)
{
    (void)self;
    PyObject *items = PySequence_Tuple(given), *root = NULL;
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
        root = root_of(entries, (size_t)count);
    }
    PyMem_Free(entries);
    Py_DECREF(items);
    return root;
}

PyMethodDef ordered_root_methods[] = {
    {"ordered_root", py_ordered_root, METH_O, "Root of the trie of a list."},
    {NULL, NULL, 0, NULL},
};
