/* The walk of trie_walk.c, which trie_update.c makes and looks at afterwards. */

#ifndef PHOENIX_TRIE_WALK_H
#define PHOENIX_TRIE_WALK_H

#include "trie.h"

enum { KEY_NIBBLES_MAX = 2 * (NIBBLES_MAX + 2) };

typedef struct {
    const uint8_t *nibbles; /* numbers, one in a byte */
    size_t size;
    slice value; /* at == NULL: the key is deleted */
} change;

typedef struct {
    PyObject *read; /* row key -> bytes or None */
    slice prefix; /* of every row key; the path in hex digits follows */
    PyObject *seen; /* dict: rows as they were, for every row that the walk came upon */
    PyObject *rows; /* dict: rows as they become */
    uint8_t path[KEY_NIBBLES_MAX];
    uint8_t root[HASH];
} walk;

/* The key of the row at the path's first `depth` nibbles. */
PyObject *walk_key(walk *w, size_t depth);

/* The row that is there before the update, noted as seen; None where there is none. */
PyObject *walk_row(walk *w, PyObject *key);

/* The node that belongs at the path's first `depth` nibbles, where `node` is (None: nothing), after sorted
 * changes whose keys all begin with them. None: there is none any more. */
PyObject *walk_changed(walk *w, size_t depth, PyObject *node, const change *changes, size_t count);

/* NULL, with a ValueError. */
PyObject *walk_refused(const char *why);

#endif
