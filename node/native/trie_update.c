/* Whole updates of path-keyed tries: changes sorted, one walk for each, and the rows that differ afterwards.
 *
 * The walks leave room for hashes. Nodes are hashed when all walks are done, so that those of all tries which
 * lie equally deep, and do not wait for each other, are hashed at once. */

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

/* The root row is there before the walk, and is looked at for its hash. */
static slice root_node(PyObject *row)
{
    return row == NULL || row == Py_None ? (slice){EMPTY, sizeof EMPTY} : trie_bytes(row);
}

/* Take the root row through the changes. */
static int change_root(walk *w, PyObject *old, PyObject *changes)
{
    PyObject *items = PyDict_Items(changes), *key = walk_key(w, 0), *new = NULL;
    change *sorted = items == NULL ? NULL : sorted_changes(items);
    if (key != NULL && sorted != NULL)
        new = PyList_GET_SIZE(items) ? walk_changed(w, 0, old, sorted, (size_t)PyList_GET_SIZE(items)) : Py_NewRef(old);
    int result = new == NULL ? -1 : PyDict_SetItem(w->rows, key, new);
    PyMem_Free(sorted);
    Py_XDECREF(items);
    Py_XDECREF(key);
    Py_XDECREF(new);
    return result;
}

/* --- hashes */

typedef struct { slice key; PyObject *node; } placed;

static int starts_with(slice key, slice prefix)
{
    return key.size >= prefix.size && memcmp(key.at, prefix.at, prefix.size) == 0;
}

/* What lies below a node comes before it: the order in which a walk places nodes, nearly always. */
static int below_first(const void *left, const void *right)
{
    slice a = ((const placed *)left)->key, b = ((const placed *)right)->key;
    int order = memcmp(a.at, b.at, a.size < b.size ? a.size : b.size);
    return order ? order : a.size > b.size ? -1 : a.size < b.size;
}

/* The rows that are nodes, in that order. */
static size_t placed_nodes(walk *w, placed *nodes)
{
    PyObject *key, *row;
    Py_ssize_t position = 0;
    size_t count = 0;
    int in_order = 1;
    while (PyDict_Next(w->rows, &position, &key, &row)) {
        if (row == Py_None)
            continue;
        nodes[count] = (placed){trie_bytes(key), row};
        in_order &= count == 0 || below_first(&nodes[count - 1], &nodes[count]) < 0;
        count++;
    }
    if (!in_order)
        qsort(nodes, count, sizeof *nodes, below_first);
    return count;
}

/* Where in a node the reference to a child stands whose path goes on by `path`, hex digits; NULL: nowhere. */
static const uint8_t *reference_in(const trie_node *node, slice path)
{
    slice found = node->payload;
    if (node->is_branch) {
        uint8_t digit = path.at[0];
        found = node->items[digit <= '9' ? digit - '0' : digit - 'a' + 10];
    }
    size_t nibbles = node->is_branch ? 1 : 2 * node->path.size - trie_flag_size(node->path);
    int refers = node->is_branch || !node->is_leaf;
    return refers && path.size == nibbles && found.size == REFERENCE && found.at[0] == 0x80 + HASH ? found.at : NULL;
}

static int strange_rows(void)
{
    walk_refused("the rows of the trie do not fit each other");
    return -1;
}

/* The children of a node, the last of those that have not met their parents: into its references their hashes
 * go. How many children are left; -1 where they do not fit. */
static Py_ssize_t meet(walk *w, placed node, const placed *children, size_t count, trie_hashing *hashing)
{
    trie_node parts;
    size_t left = count;
    /* Only what the walk has made, and nobody else holds, is written to. */
    if (Py_REFCNT(node.node) != 1 || !trie_parse(trie_bytes(node.node), &parts))
        return strange_rows();
    for (; left && starts_with(children[left - 1].key, node.key); left--) {
        placed child = children[left - 1];
        slice path = {child.key.at + node.key.size, child.key.size - node.key.size};
        size_t depth = child.key.size - w->prefix.size;
        const uint8_t *reference = reference_in(&parts, path);
        if (reference == NULL || depth > NIBBLES_MAX)
            return strange_rows();
        hashing[count - left] = (trie_hashing){trie_bytes(child.node), depth, (uint8_t *)reference + 1};
    }
    return (Py_ssize_t)left;
}

/* Add all nodes of a walk to those that are hashed. */
static int add_nodes(walk *w, placed *nodes, trie_hashing *hashing, size_t *waiting)
{
    size_t count = placed_nodes(w, nodes), open = 0; /* the first `open` nodes have not met their parents */
    for (size_t i = 0; i < count; i++) {
        placed node = nodes[i];
        if (open && starts_with(nodes[open - 1].key, node.key)) {
            Py_ssize_t left = meet(w, node, nodes, open, hashing + *waiting);
            if (left < 0)
                return -1;
            *waiting += open - (size_t)left;
            open = (size_t)left;
        }
        nodes[open++] = node;
    }
    if (open > 1 || (open && nodes[0].key.size != w->prefix.size))
        return strange_rows();
    hashing[(*waiting)++] = (trie_hashing){root_node(open ? nodes[0].node : NULL), 0, w->root};
    return 0;
}

/* Hash the nodes of all walks. */
static int hash_nodes(walk *walks, size_t count)
{
    size_t most = count, waiting = 0;
    for (size_t i = 0; i < count; i++)
        most += (size_t)PyDict_GET_SIZE(walks[i].rows);
    placed *nodes = PyMem_Malloc((most + 1) * sizeof *nodes);
    trie_hashing *hashing = PyMem_Malloc((most + 1) * sizeof *hashing);
    int result = nodes == NULL || hashing == NULL ? -1 : 0;
    if (result < 0)
        PyErr_NoMemory();
    for (size_t i = 0; result == 0 && i < count; i++)
        result = add_nodes(&walks[i], nodes, hashing, &waiting);
    if (result == 0)
        result = trie_hash_all(hashing, waiting);
    PyMem_Free(nodes);
    PyMem_Free(hashing);
    return result;
}

/* --- the whole */

/* (root, rows, before): of the rows only those that differ from what they were. */
static PyObject *outcome(walk *w)
{
    PyObject *rows = PyDict_New(), *before = PyDict_New(), *key, *row, *triple = NULL;
    Py_ssize_t position = 0;
    int result = rows == NULL || before == NULL ? -1 : 0;
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
    if (result == 0)
        triple = Py_BuildValue("(y#OO)", w->root, (Py_ssize_t)HASH, rows, before);
    Py_XDECREF(rows);
    Py_XDECREF(before);
    return triple;
}

/* Read the root rows, and hold them against the roots that are expected. */
static int read_roots(walk *walks, PyObject *updates, PyObject *old)
{
    size_t count = (size_t)PyTuple_GET_SIZE(updates);
    keccak_job *jobs = PyMem_Malloc((count + 1) * sizeof *jobs);
    int result = jobs == NULL ? -1 : 0;
    if (result < 0)
        PyErr_NoMemory();
    for (size_t i = 0; result == 0 && i < count; i++) {
        PyObject *key = walk_key(&walks[i], 0), *row = key == NULL ? NULL : walk_row(&walks[i], key);
        Py_XDECREF(key);
        if (row == NULL) {
            result = -1;
        } else {
            PyList_SET_ITEM(old, (Py_ssize_t)i, row);
            jobs[i] = (keccak_job){root_node(row).at, root_node(row).size, walks[i].root};
        }
    }
    if (result == 0)
        keccak_many(jobs, count);
    PyMem_Free(jobs);
    for (size_t i = 0; result == 0 && i < count; i++) {
        PyObject *expected = PyTuple_GET_ITEM(PyTuple_GET_ITEM(updates, (Py_ssize_t)i), 2);
        if (expected != Py_None
            && (PyBytes_GET_SIZE(expected) != HASH || memcmp(PyBytes_AS_STRING(expected), walks[i].root, HASH) != 0)) {
            walk_refused("the rows have another root");
            result = -1;
        }
    }
    return result;
}

static PyObject *outcomes(walk *walks, PyObject *updates)
{
    Py_ssize_t count = PyTuple_GET_SIZE(updates);
    PyObject *old = PyList_New(count), *found = NULL;
    int result = old == NULL ? -1 : read_roots(walks, updates, old);
    for (Py_ssize_t i = 0; result == 0 && i < count; i++)
        result = change_root(&walks[i], PyList_GET_ITEM(old, i), PyTuple_GET_ITEM(PyTuple_GET_ITEM(updates, i), 1));
    if (result == 0 && hash_nodes(walks, (size_t)count) == 0)
        found = PyList_New(count);
    for (Py_ssize_t i = 0; found != NULL && i < count; i++) {
        PyObject *triple = outcome(&walks[i]);
        if (triple == NULL)
            Py_CLEAR(found);
        else
            PyList_SET_ITEM(found, i, triple);
    }
    Py_XDECREF(old);
    return found;
}

/* An update is (prefix, changes, root). */
static int begin(walk *w, PyObject *read, PyObject *update)
{
    PyObject *prefix, *changes, *root;
    if (!PyTuple_Check(update)) {
        PyErr_SetString(PyExc_TypeError, "an update is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(update, "SO!O", &prefix, &PyDict_Type, &changes, &root))
        return -1;
    if (root != Py_None && !PyBytes_Check(root)) {
        PyErr_SetString(PyExc_TypeError, "a root is bytes or None");
        return -1;
    }
    w->read = read;
    w->prefix = trie_bytes(prefix);
    w->seen = PyDict_New();
    w->rows = PyDict_New();
    return w->seen == NULL || w->rows == NULL ? -1 : 0;
}

static PyObject *py_trie_updates(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *read, *given, *updates, *result = NULL;
    if (!PyArg_ParseTuple(args, "OO", &read, &given) || (updates = PySequence_Tuple(given)) == NULL)
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(updates), begun = 0;
    walk *walks = PyMem_Calloc((size_t)count + 1, sizeof *walks);
    if (walks == NULL)
        PyErr_NoMemory();
    while (walks != NULL && begun < count && begin(&walks[begun], read, PyTuple_GET_ITEM(updates, begun)) == 0)
        begun++;
    if (walks != NULL && begun == count)
        result = outcomes(walks, updates);
    for (Py_ssize_t i = 0; walks != NULL && i < count; i++) {
        Py_XDECREF(walks[i].seen);
        Py_XDECREF(walks[i].rows);
    }
    PyMem_Free(walks);
    Py_DECREF(updates);
    return result;
}

PyMethodDef trie_update_methods[] = {
    {"trie_updates", py_trie_updates, METH_VARARGS, "Roots, rows and rows before of tries after changes."},
    {NULL, NULL, 0, NULL},
};
