/* Whole updates of path-keyed tries: changes sorted, one walk for each, and the rows that differ afterwards.
 *
 * The walks leave room for hashes. Nodes are hashed when all walks are done, so that those of all tries which
 * lie equally deep, and do not wait for each other, are hashed at once. Nothing is noted before that. */

#include "trie_walk.h"

/* --- changes */

/* What a walk begins with, and keeps alive; in order of their keys. */
typedef struct {
    PyObject *items;
    change *sorted;
    size_t count;
} changes;

static int in_order(const void *left, const void *right)
{
    return walk_order(left, right);
}

static size_t first_byte(const change *c)
{
    return c->size ? c->key[0] : 0;
}

/* Keys are hashes, as a rule: after a look at their first bytes there is little left to sort. */
static int sort(const change *from, change *to, size_t count)
{
    size_t ends[256] = {0};
    for (size_t i = 0; i < count; i++)
        ends[first_byte(&from[i])]++;
    for (size_t i = 0, end = 0; i < 256; i++) {
        size_t start = end;
        end += ends[i];
        ends[i] = start;
    }
    for (size_t i = 0; i < count; i++)
        to[ends[first_byte(&from[i])]++] = from[i];
    for (size_t i = 0, start = 0; i < 256; start = ends[i++])
        if (ends[i] - start > 1)
            qsort(to + start, ends[i] - start, sizeof *to, in_order);
    for (size_t i = 1; i < count; i++)
        if (walk_order(&to[i - 1], &to[i]) == 0)
            return walk_refused("a key is changed twice");
    return 0;
}

static int change_of(PyObject *key, PyObject *value, change *made)
{
    if (!PyBytes_Check(key) || 2 * PyBytes_GET_SIZE(key) > NIBBLES_MAX || !(value == Py_None || PyBytes_Check(value)))
        return walk_refused("a change is a key of at most 63 bytes and bytes or None");
    slice bytes = trie_bytes(key);
    *made = (change){bytes.at, 2 * bytes.size, {NULL, 0}};
    if (value != Py_None && PyBytes_GET_SIZE(value))
        made->value = trie_bytes(value);
    return 0;
}

/* The records of packed changes: 32 bytes of a key, the size of the value in one, the value. How many there are,
 * or -1; put into `made` unless that is NULL. */
static Py_ssize_t unpack(slice packed, change *made)
{
    Py_ssize_t count = 0;
    for (size_t at = 0; at < packed.size; count++) {
        const uint8_t *record = packed.at + at;
        size_t left = packed.size - at, size = left > HASH ? record[HASH] : 0;
        if (left < HASH + 1 + size)
            return walk_refused("packed changes that end too early");
        if (made != NULL)
            made[count] = (change){record, 2 * HASH, {size ? record + HASH + 1 : NULL, size}};
        at += HASH + 1 + size;
    }
    return count;
}

static int take_changes(changes *all, PyObject *given, slice packed)
{
    Py_ssize_t records = unpack(packed, NULL);
    if (records < 0 || (all->items = PyDict_Items(given)) == NULL)
        return -1;
    size_t items = (size_t)PyList_GET_SIZE(all->items);
    all->count = items + (size_t)records;
    all->sorted = PyMem_Malloc((2 * all->count + 1) * sizeof *all->sorted);
    if (all->sorted == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    change *unsorted = all->sorted + all->count;
    for (size_t i = 0; i < items; i++) {
        PyObject *pair = PyList_GET_ITEM(all->items, (Py_ssize_t)i);
        if (change_of(PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1), &unsorted[i]) < 0)
            return -1;
    }
    unpack(packed, unsorted + items);
    return sort(unsorted, all->sorted, all->count);
}

/* --- walks */

typedef struct {
    walk walk;
    changes changes;
    PyObject *expected; /* root, or None */
} update;

static slice root_node(const walk *w)
{
    PyObject *node = w->spots[0].node;
    return node == NULL ? TRIE_EMPTY : trie_bytes(node);
}

/* Read the root rows, and hold them against the roots that are expected. */
static int read_roots(update *updates, size_t count)
{
    keccak_job *jobs = PyMem_Malloc((count + 1) * sizeof *jobs);
    int result = jobs == NULL ? -1 : 0;
    if (result < 0)
        PyErr_NoMemory();
    for (size_t i = 0; result == 0 && i < count; i++) {
        walk *w = &updates[i].walk;
        if (walk_row(w, 0) == NOWHERE)
            result = -1;
        else
            jobs[i] = (keccak_job){root_node(w).at, root_node(w).size, w->root};
    }
    if (result == 0)
        keccak_many(jobs, count);
    PyMem_Free(jobs);
    for (size_t i = 0; result == 0 && i < count; i++) {
        PyObject *expected = updates[i].expected;
        if (expected != Py_None
            && (PyBytes_GET_SIZE(expected) != HASH
                || memcmp(PyBytes_AS_STRING(expected), updates[i].walk.root, HASH) != 0))
            result = walk_refused("the rows have another root");
    }
    return result;
}

static int run_walk(update *u)
{
    if (u->changes.count && walk_change(&u->walk, 0, 0, u->changes.sorted, u->changes.count) < 0)
        return -1;
    spot *root = &u->walk.spots[0];
    root->is_row = root->node != NULL;
    root->output = u->walk.root;
    return 0;
}

/* Hash the nodes of all walks. */
static int hash_nodes(const update *updates, size_t count)
{
    size_t most = count, waiting = 0;
    for (size_t i = 0; i < count; i++)
        most += updates[i].walk.used;
    trie_hashing *hashing = PyMem_Malloc(most * sizeof *hashing + 1);
    if (hashing == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const walk *w = &updates[i].walk;
        hashing[waiting++] = (trie_hashing){root_node(w), 0, w->spots[0].output};
        for (const spot *s = w->spots + 1; s < w->spots + w->used; s++)
            if (s->is_row)
                hashing[waiting++] = (trie_hashing){trie_bytes(s->node), s->depth, s->output};
    }
    int result = trie_hash_all(hashing, waiting);
    PyMem_Free(hashing);
    return result;
}

/* --- the whole */

static int is_same(PyObject *a, PyObject *b)
{
    if (a == NULL || b == NULL || a == b)
        return a == b;
    return PyBytes_GET_SIZE(a) == PyBytes_GET_SIZE(b)
        && memcmp(PyBytes_AS_STRING(a), PyBytes_AS_STRING(b), (size_t)PyBytes_GET_SIZE(a)) == 0;
}

/* Note the rows that differ from what they were. */
static int note_rows(const walk *w, PyObject *rows, PyObject *before)
{
    for (const spot *s = w->spots; s < w->spots + w->used; s++) {
        PyObject *row = s->is_row ? s->node : NULL;
        if (is_same(row, s->old))
            continue;
        if (PyDict_SetItem(rows, s->key, row == NULL ? Py_None : row) < 0
            || PyDict_SetItem(before, s->key, s->old == NULL ? Py_None : s->old) < 0)
            return -1;
    }
    return 0;
}

/* The new roots. */
static PyObject *run(update *updates, size_t count, PyObject *rows, PyObject *before)
{
    if (read_roots(updates, count) < 0)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (run_walk(&updates[i]) < 0)
            return NULL;
    if (hash_nodes(updates, count) < 0)
        return NULL;
    PyObject *roots = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; roots != NULL && i < count; i++) {
        const walk *w = &updates[i].walk;
        PyObject *root = PyBytes_FromStringAndSize((const char *)w->root, HASH);
        if (root != NULL)
            PyList_SET_ITEM(roots, (Py_ssize_t)i, root);
        if (root == NULL || note_rows(w, rows, before) < 0)
            Py_CLEAR(roots);
    }
    return roots;
}

/* An update is (prefix, changes, root, packed changes). */
static int begin(update *u, PyObject *read, PyObject *given)
{
    PyObject *prefix, *changes, *packed;
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "an update is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(given, "SO!OS", &prefix, &PyDict_Type, &changes, &u->expected, &packed))
        return -1;
    if (u->expected != Py_None && !PyBytes_Check(u->expected)) {
        PyErr_SetString(PyExc_TypeError, "a root is bytes or None");
        return -1;
    }
    u->walk.read = read;
    u->walk.prefix = trie_bytes(prefix);
    return take_changes(&u->changes, changes, trie_bytes(packed));
}

static PyObject *py_update_tries(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *read, *given, *tries, *rows, *before, *result = NULL;
    if (!PyArg_ParseTuple(args, "OOO!O!", &read, &given, &PyDict_Type, &rows, &PyDict_Type, &before)
        || (tries = PySequence_Tuple(given)) == NULL)
        return NULL;
    size_t count = (size_t)PyTuple_GET_SIZE(tries), begun = 0;
    update *updates = PyMem_Calloc(count + 1, sizeof *updates);
    if (updates == NULL)
        PyErr_NoMemory();
    while (updates != NULL && begun < count
           && begin(&updates[begun], read, PyTuple_GET_ITEM(tries, (Py_ssize_t)begun)) == 0)
        begun++;
    if (updates != NULL && begun == count)
        result = run(updates, count, rows, before);
    for (size_t i = 0; updates != NULL && i < count; i++) {
        walk_end(&updates[i].walk);
        Py_XDECREF(updates[i].changes.items);
        PyMem_Free(updates[i].changes.sorted);
    }
    PyMem_Free(updates);
    Py_DECREF(tries);
    return result;
}

PyMethodDef trie_update_methods[] = {
    {"update_tries", py_update_tries, METH_VARARGS, "Roots of tries after changes; rows after and before are noted."},
    {NULL, NULL, 0, NULL},
};
