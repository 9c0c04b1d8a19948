/* Changes to a path-keyed trie in one walk: the same as node.trie.tree, method by method.
 *
 * What is refused here, with ValueError, is refused there too, in words. A node is a bytes object, its
 * absence None; a path is nibbles in `walk.path`, of which a function gets the first `depth`. */

#include "trie_walk.h"

enum { PATH_BYTES_MAX = NIBBLES_MAX / 2 + 1 };

static const uint8_t EMPTY_ITEM[] = {0x80};
static const slice EMPTY = {EMPTY_ITEM, 1};

static int is_empty(slice item)
{
    return item.size == 1 && item.at[0] == 0x80;
}

static PyObject *none(void)
{
    Py_INCREF(Py_None);
    return Py_None;
}

PyObject *walk_refused(const char *why)
{
    PyErr_SetString(PyExc_ValueError, why);
    return NULL;
}

/* --- rows */

PyObject *walk_key(walk *w, size_t depth)
{
    static const char digits[] = "0123456789abcdef";
    PyObject *key = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(w->prefix.size + depth));
    if (key == NULL)
        return NULL;
    char *out = PyBytes_AS_STRING(key);
    memcpy(out, w->prefix.at, w->prefix.size);
    for (size_t i = 0; i < depth; i++)
        out[w->prefix.size + i] = digits[w->path[i]];
    return key;
}

PyObject *walk_row(walk *w, PyObject *key)
{
    PyObject *row = PyObject_CallOneArg(w->read, key);
    if (row == NULL || row == Py_None)
        return row;
    if (!PyBytes_Check(row)) {
        Py_DECREF(row);
        return walk_refused("a row is bytes");
    }
    if (PyDict_SetItem(w->seen, key, row) < 0)
        Py_CLEAR(row);
    return row;
}

static int vacate_key(walk *w, PyObject *key)
{
    int seen = PyDict_Contains(w->seen, key);
    if (seen > 0)
        return PyDict_SetItem(w->rows, key, Py_None);
    int placed = seen < 0 ? -1 : PyDict_Contains(w->rows, key);
    return placed > 0 ? PyDict_DelItem(w->rows, key) : placed;
}

static int vacate(walk *w, size_t depth)
{
    PyObject *key = walk_key(w, depth);
    int result = key == NULL ? -1 : vacate_key(w, key);
    Py_XDECREF(key);
    return result;
}

/* The node that an item of its parent stands for. */
static PyObject *child(walk *w, size_t depth, slice item)
{
    if (is_empty(item))
        return none();
    if (item.at[0] >= 0xC0)
        return PyBytes_FromStringAndSize((const char *)item.at, (Py_ssize_t)item.size);
    PyObject *key = walk_key(w, depth);
    if (key == NULL)
        return NULL;
    PyObject *row = PyDict_GetItemWithError(w->rows, key);
    if (row != NULL && row != Py_None) {
        Py_INCREF(row);
    } else {
        row = PyErr_Occurred() ? NULL : walk_row(w, key);
        if (row == Py_None) {
            Py_DECREF(row);
            row = walk_refused("the trie has no node where its parent names one");
        }
    }
    Py_DECREF(key);
    return row;
}

/* Keep a node at a path that is not the root, and take it; its reference goes to `out` (33 bytes), without the
 * hash, which trie_update.c puts where it belongs when all nodes are there. */
static int place(walk *w, size_t depth, PyObject *node, uint8_t *out, slice *reference)
{
    if (node == NULL)
        return -1;
    int result = -1, apart = node != Py_None && PyBytes_GET_SIZE(node) >= HASH;
    PyObject *key = walk_key(w, depth);
    if (key != NULL)
        result = apart ? PyDict_SetItem(w->rows, key, node) : vacate_key(w, key);
    *reference = node == Py_None ? EMPTY : (slice){out, trie_open_reference(trie_bytes(node), out)};
    Py_XDECREF(key);
    Py_DECREF(node);
    return result;
}

/* --- nodes */

typedef struct {
    uint8_t nibbles[2 * PATH_BYTES_MAX];
    size_t count;
} stretch;

static int parsed(PyObject *node, trie_node *parts)
{
    if (trie_parse(trie_bytes(node), parts) && (parts->is_branch || parts->path.size <= PATH_BYTES_MAX))
        return 1;
    walk_refused("no trie node");
    return 0;
}

static stretch stretch_of(slice path)
{
    stretch s = {{0}, 2 * path.size - trie_flag_size(path)};
    for (size_t i = 0, n = trie_flag_size(path); i < s.count; i++, n++)
        s.nibbles[i] = n % 2 ? path.at[n / 2] & 15 : path.at[n / 2] >> 4;
    return s;
}

static size_t shared(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t n = 0;
    while (n < a_size && n < b_size && a[n] == b[n])
        n++;
    return n;
}

/* Of a sorted run, the changes from `low` on that have the same nibble at `depth`: where they end. */
static size_t group_end(const change *changes, size_t low, size_t high, size_t depth)
{
    uint8_t nibble = changes[low].nibbles[depth];
    while (++low < high && changes[low].nibbles[depth] == nibble)
        ;
    return low;
}

static PyObject *string_item(slice value)
{
    PyObject *item = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)trie_string_size(value));
    if (item != NULL)
        trie_put_string((uint8_t *)PyBytes_AS_STRING(item), value);
    return item;
}

/* The node at `depth` when nothing lies between it and `node` at `end`; takes `node`. */
static PyObject *extended(walk *w, size_t depth, size_t end, PyObject *node)
{
    uint8_t room[REFERENCE];
    slice reference;
    trie_node parts;
    if (node == NULL || depth == end)
        return node;
    if (node == Py_None) {
        if (vacate(w, end) < 0)
            Py_CLEAR(node);
        return node;
    }
    PyObject *result = NULL;
    if (!parsed(node, &parts)) {
        result = NULL;
    } else if (parts.is_branch) {
        return place(w, end, node, room, &reference) < 0
            ? NULL
            : trie_short(w->path + depth, end - depth, reference, 0);
    } else if (vacate(w, end) == 0) {
        stretch own = stretch_of(parts.path);
        if (end + own.count > NIBBLES_MAX) {
            result = walk_refused("a path longer than that of any key");
        } else {
            memcpy(w->path + end, own.nibbles, own.count);
            result = trie_short(w->path + depth, end - depth + own.count, parts.payload, parts.is_leaf);
        }
    }
    Py_DECREF(node);
    return result;
}

/* A subtree where there was none, of changes that all set something. */
static PyObject *built(walk *w, size_t depth, const change *changes, size_t count)
{
    const change *first = changes, *last = changes + count - 1;
    if (count == 1)
        return trie_short(first->nibbles + depth, first->size - depth, first->value, 1);
    size_t fork = depth
        + shared(first->nibbles + depth, first->size - depth, last->nibbles + depth, last->size - depth);
    memcpy(w->path + depth, first->nibbles + depth, fork - depth);
    slice items[BRANCH_ITEMS];
    uint8_t room[BRANCH_ITEMS][REFERENCE];
    for (int i = 0; i < BRANCH_ITEMS; i++)
        items[i] = EMPTY;
    PyObject *value = NULL;
    size_t low = 0;
    if (first->size == fork) {
        value = string_item(first->value);
        if (value == NULL)
            return NULL;
        items[BRANCH_VALUE] = trie_bytes(value);
        low = 1;
    }
    while (low < count) {
        size_t end = group_end(changes, low, count, fork);
        uint8_t nibble = changes[low].nibbles[fork];
        w->path[fork] = nibble;
        PyObject *node = built(w, fork + 1, changes + low, end - low);
        if (place(w, fork + 1, node, room[nibble], &items[nibble]) < 0) {
            Py_XDECREF(value);
            return NULL;
        }
        low = end;
    }
    PyObject *branch = trie_branch(items);
    Py_XDECREF(value);
    return extended(w, depth, fork, branch);
}

static PyObject *built_live(walk *w, size_t depth, const change *changes, size_t count)
{
    change *live = PyMem_Malloc((count + 1) * sizeof *live);
    size_t left = 0;
    if (live == NULL)
        return PyErr_NoMemory();
    for (size_t i = 0; i < count; i++)
        if (changes[i].value.at != NULL)
            live[left++] = changes[i];
    PyObject *node = left ? built(w, depth, live, left) : none();
    PyMem_Free(live);
    return node;
}

/* --- changing what is there: each function returns the node that belongs at `depth` after the changes */

static PyObject *changed_leaf(
    walk *w, size_t depth, const trie_node *leaf, const change *changes, size_t count)
{
    stretch own = stretch_of(leaf->path);
    uint8_t key[KEY_NIBBLES_MAX];
    change kept = {key, depth + own.count, leaf->payload};
    memcpy(key, w->path, depth);
    memcpy(key + depth, own.nibbles, own.count);
    change *all = PyMem_Malloc((count + 1) * sizeof *all);
    if (all == NULL)
        return PyErr_NoMemory();
    size_t place = 0, after = 0;
    for (; place < count; place++) {
        const change *c = &changes[place];
        size_t n = shared(c->nibbles, c->size, key, kept.size);
        if (n == c->size && n == kept.size) {
            after = 1; /* the leaf's own key is among the changes */
            break;
        }
        if (n == kept.size || (n < c->size && c->nibbles[n] > key[n]))
            break;
    }
    memcpy(all, changes, place * sizeof *all);
    all[place] = after ? changes[place] : kept;
    memcpy(all + place + 1, changes + place + after, (count - place - after) * sizeof *all);
    PyObject *result = built_live(w, depth, all, count + 1 - after);
    PyMem_Free(all);
    return result;
}

/* The node in place of a branch with one way out, or none. */
static PyObject *collapsed(walk *w, size_t depth, const slice *items)
{
    if (!is_empty(items[BRANCH_VALUE])) {
        rlp_bounds value;
        slice item = items[BRANCH_VALUE];
        if (!rlp_item(item.at, 0, item.size, &value))
            return walk_refused("no trie node");
        return trie_short(NULL, 0, (slice){item.at + value.start, value.end - value.start}, 1);
    }
    for (uint8_t nibble = 0; nibble < BRANCH_VALUE; nibble++) {
        if (!is_empty(items[nibble])) {
            w->path[depth] = nibble;
            return extended(w, depth, depth + 1, child(w, depth + 1, items[nibble]));
        }
    }
    return none();
}

static PyObject *changed_branch(walk *w, size_t depth, slice *items, const change *changes, size_t count)
{
    uint8_t room[BRANCH_ITEMS][REFERENCE];
    PyObject *value = NULL, *result = NULL;
    size_t low = 0;
    if (depth >= NIBBLES_MAX)
        return walk_refused("a path longer than that of any key");
    if (changes[0].size == depth) {
        if (changes[0].value.at != NULL && (value = string_item(changes[0].value)) == NULL)
            return NULL;
        items[BRANCH_VALUE] = value == NULL ? EMPTY : trie_bytes(value);
        low = 1;
    }
    while (low < count) {
        size_t end = group_end(changes, low, count, depth);
        uint8_t nibble = changes[low].nibbles[depth];
        w->path[depth] = nibble;
        PyObject *old = child(w, depth + 1, items[nibble]), *node = NULL;
        if (old != NULL)
            node = walk_changed(w, depth + 1, old, changes + low, end - low);
        Py_XDECREF(old);
        if (place(w, depth + 1, node, room[nibble], &items[nibble]) < 0)
            goto end;
        low = end;
    }
    int used = 0;
    for (int i = 0; i < BRANCH_ITEMS; i++)
        used += !is_empty(items[i]);
    result = used > 1 ? trie_branch(items) : collapsed(w, depth, items);
end:
    Py_XDECREF(value);
    return result;
}

/* The extension forks after `before` of its nibbles. */
static PyObject *split_extension(
    walk *w, size_t depth, const stretch *own, size_t before, slice payload, const change *changes, size_t count)
{
    slice items[BRANCH_ITEMS];
    uint8_t room[REFERENCE], nibble = own->nibbles[before];
    size_t fork = depth + before, left = own->count - before - 1;
    for (int i = 0; i < BRANCH_ITEMS; i++)
        items[i] = EMPTY;
    memcpy(w->path + depth, own->nibbles, before + 1);
    items[nibble] = payload;
    if (left) {
        PyObject *rest = trie_short(own->nibbles + before + 1, left, payload, 0);
        if (place(w, fork + 1, rest, room, &items[nibble]) < 0)
            return NULL;
    }
    return extended(w, depth, fork, changed_branch(w, fork, items, changes, count));
}

static PyObject *changed_extension(
    walk *w, size_t depth, const trie_node *parts, PyObject *node, const change *changes, size_t count)
{
    stretch own = stretch_of(parts->path);
    if (depth + own.count >= NIBBLES_MAX)
        return walk_refused("a path longer than that of any key");
    change *kept = PyMem_Malloc(count * sizeof *kept);
    if (kept == NULL)
        return PyErr_NoMemory();
    size_t left = 0, before = own.count;
    for (size_t i = 0; i < count; i++) {
        const change *c = &changes[i];
        size_t common = shared(own.nibbles, own.count, c->nibbles + depth, c->size - depth);
        /* Deleting what is not there changes nothing, and must not split the extension. */
        if (c->value.at == NULL && common < own.count)
            continue;
        kept[left++] = *c;
        if (common < before)
            before = common;
    }
    PyObject *result;
    if (left == 0) {
        Py_INCREF(node);
        result = node;
    } else if (before == own.count) {
        size_t end = depth + own.count;
        memcpy(w->path + depth, own.nibbles, own.count);
        PyObject *old = child(w, end, parts->payload);
        result = old == NULL ? NULL : extended(w, depth, end, walk_changed(w, end, old, kept, left));
        Py_XDECREF(old);
    } else {
        result = split_extension(w, depth, &own, before, parts->payload, kept, left);
    }
    PyMem_Free(kept);
    return result;
}

PyObject *walk_changed(walk *w, size_t depth, PyObject *node, const change *changes, size_t count)
{
    trie_node parts;
    if (node == Py_None)
        return built_live(w, depth, changes, count);
    if (!parsed(node, &parts))
        return NULL;
    if (parts.is_branch)
        return changed_branch(w, depth, parts.items, changes, count);
    if (parts.is_leaf)
        return changed_leaf(w, depth, &parts, changes, count);
    return changed_extension(w, depth, &parts, node, changes, count);
}
