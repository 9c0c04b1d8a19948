/* What a walk comes upon: places of the trie, their rows as they were, and the nodes that belong there by now. */

#include "trie_walk.h"

static const uint8_t OPEN_ITEM[REFERENCE] = {0x80 + HASH};
static const slice OPEN = {OPEN_ITEM, REFERENCE};

int walk_refused(const char *why)
{
    PyErr_SetString(PyExc_ValueError, why);
    return -1;
}

size_t walk_spot(walk *w, size_t depth)
{
    if (depth > NIBBLES_MAX) {
        walk_refused("a path longer than that of any key");
        return NOWHERE;
    }
    if (w->used == w->room) {
        size_t room = 2 * w->room + 64;
        spot *moved = PyMem_Realloc(w->spots, room * sizeof *moved);
        if (moved == NULL) {
            PyErr_NoMemory();
            return NOWHERE;
        }
        w->spots = moved;
        w->room = room;
    }
    w->spots[w->used] = (spot){.depth = depth, .below = NOWHERE};
    return w->used++;
}

void walk_end(walk *w)
{
    for (size_t i = 0; i < w->used; i++) {
        Py_XDECREF(w->spots[i].key);
        Py_XDECREF(w->spots[i].old);
        Py_XDECREF(w->spots[i].node);
    }
    PyMem_Free(w->spots);
}

/* The key of the row at the path's first `depth` nibbles. */
static PyObject *key_of(walk *w, size_t depth)
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

size_t walk_row(walk *w, size_t depth)
{
    size_t at = walk_spot(w, depth);
    PyObject *key = at == NOWHERE ? NULL : key_of(w, depth);
    if (key == NULL)
        return NOWHERE;
    spot *s = &w->spots[at];
    s->key = key;
    PyObject *row = PyObject_CallOneArg(w->read, key);
    if (row == Py_None) {
        Py_DECREF(row);
        return at;
    }
    if (row != NULL && !PyBytes_Check(row)) {
        walk_refused("a row is bytes");
        Py_CLEAR(row);
    }
    if (row == NULL)
        return NOWHERE;
    s->old = row;
    s->node = Py_NewRef(row);
    return at;
}

size_t walk_child(walk *w, size_t depth, slice item)
{
    size_t at;
    if (!trie_is_empty(item) && item.at[0] < 0xC0) {
        at = walk_row(w, depth);
        if (at != NOWHERE && w->spots[at].node == NULL) {
            walk_refused("the trie has no node where its parent names one");
            return NOWHERE;
        }
        return at;
    }
    at = walk_spot(w, depth);
    if (at != NOWHERE && !trie_is_empty(item)) {
        w->spots[at].node = PyBytes_FromStringAndSize((const char *)item.at, (Py_ssize_t)item.size);
        if (w->spots[at].node == NULL)
            return NOWHERE;
    }
    return at;
}

int walk_put(walk *w, size_t at, PyObject *node, size_t below)
{
    if (node == NULL)
        return -1;
    Py_XSETREF(w->spots[at].node, node);
    w->spots[at].below = below;
    if (below != NOWHERE)
        w->spots[below].output = (uint8_t *)PyBytes_AS_STRING(node) + PyBytes_GET_SIZE(node) - HASH;
    return 0;
}

int walk_put_nothing(walk *w, size_t at)
{
    Py_CLEAR(w->spots[at].node);
    w->spots[at].below = NOWHERE;
    return 0;
}

int walk_settle(walk *w, size_t at, slice *item)
{
    spot *s = &w->spots[at];
    s->is_row = s->node != NULL && PyBytes_GET_SIZE(s->node) >= HASH;
    *item = s->is_row ? OPEN : s->node == NULL ? TRIE_EMPTY : trie_bytes(s->node);
    if (s->is_row && s->key == NULL)
        s->key = key_of(w, s->depth);
    return s->is_row && s->key == NULL ? -1 : 0;
}

