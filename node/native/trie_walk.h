/* The walk of trie_walk.c, which trie_update.c makes and looks at afterwards. */

#ifndef PHOENIX_TRIE_WALK_H
#define PHOENIX_TRIE_WALK_H

#include "trie.h"

enum { KEY_NIBBLES_MAX = 2 * (NIBBLES_MAX + 2) };
static const size_t NOWHERE = SIZE_MAX;

typedef struct {
    const uint8_t *key;
    size_t size; /* in nibbles; an even number */
    slice value; /* at == NULL: the key is deleted */
} change;

/* A place in the trie that the walk came upon. */
typedef struct {
    PyObject *key; /* of its row; NULL while there has been none */
    PyObject *old; /* the row before the update; NULL: none */
    PyObject *node; /* what is there by now; NULL: nothing */
    int is_row; /* whether the node has a row of its own after the update */
    size_t depth; /* nibbles above it */
    uint8_t *output; /* of what has a row: where its hash goes */
    size_t below; /* of an extension: the spot of the node whose hash it waits for, or NOWHERE */
} spot;

typedef struct {
    PyObject *read; /* row key -> bytes or None */
    slice prefix; /* of every row key; the path in hex digits follows */
    spot *spots; /* the root's is the first */
    size_t used, room;
    uint8_t path[KEY_NIBBLES_MAX]; /* numbers, one in a byte */
    uint8_t root[HASH];
} walk;

/* By key; what begins with another comes after it. */
static inline int walk_order(const change *a, const change *b)
{
    int order = memcmp(a->key, b->key, (a->size < b->size ? a->size : b->size) / 2);
    return order ? order : a->size < b->size ? -1 : a->size > b->size;
}

/* A new spot, of which nothing is known; like those below, NOWHERE with an exception. */
size_t walk_spot(walk *w, size_t depth);

/* The spot of the row at the path's first `depth` nibbles, which is read. */
size_t walk_row(walk *w, size_t depth);

/* The spot of the node that an item of its parent stands for. */
size_t walk_child(walk *w, size_t depth, slice item);

/* From now on a new node is there, which the spot takes, or nothing; `below` as in an extension's spot. */
int walk_put(walk *w, size_t at, PyObject *node, size_t below);
int walk_put_nothing(walk *w, size_t at);

/* A node that is not the root gets a row of its own unless it is short; what stands for it in its parent. */
int walk_settle(walk *w, size_t at, slice *item);

/* Take the node at a spot with `depth` nibbles above it through sorted changes whose keys all begin with these;
 * -1 with an exception. */
int walk_change(walk *w, size_t at, size_t depth, const change *changes, size_t count);

/* Let go of all that the walk holds. */
void walk_end(walk *w);

/* -1, with a ValueError. */
int walk_refused(const char *why);

#endif
