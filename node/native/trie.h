/* A node of the Merkle-Patricia trie taken apart and put together: what trie.c and trie_update.c share. */

#ifndef PHOENIX_TRIE_H
#define PHOENIX_TRIE_H

#include "kernels.h"

enum { BRANCH_ITEMS = 17, BRANCH_VALUE = 16, HASH = 32, REFERENCE = 33, NIBBLES_MAX = 126 };

typedef struct { const uint8_t *at; size_t size; } slice;

/* A branch, a leaf or an extension, pointing into its encoding. */
typedef struct {
    int is_branch, is_leaf;
    slice items[BRANCH_ITEMS]; /* of a branch: encoded references, and the encoded value */
    slice path, payload; /* of the others: the path with its flag; a leaf's value, or an encoded reference */
} trie_node;

/* 0 where the bytes are no node. */
int trie_parse(slice encoded, trie_node *node);

/* How many nibbles of a path with its flag are the flag: 1 or 2. */
static inline size_t trie_flag_size(slice path)
{
    return path.at[0] & 0x10 ? 1 : 2;
}

static const uint8_t TRIE_EMPTY_ITEM[] = {0x80};
static const slice TRIE_EMPTY = {TRIE_EMPTY_ITEM, sizeof TRIE_EMPTY_ITEM};

/* Whether an item of a branch stands for nothing. */
static inline int trie_is_empty(slice item)
{
    return item.size == 1 && item.at[0] == 0x80;
}

/* Encodings as new bytes objects; NULL with an exception set. Nibbles are numbers, one in a byte. */
PyObject *trie_short(const uint8_t *nibbles, size_t count, slice payload, int is_leaf);
PyObject *trie_leaf(slice path, slice value); /* the path has its flag */
PyObject *trie_branch(const slice items[BRANCH_ITEMS]);

/* How a parent refers to a node: into `out`, which takes 33 bytes; its size. */
size_t trie_reference(slice encoded, uint8_t *out);

/* The same with zeros for the hash, which is put there when the node's own children have been hashed. */
size_t trie_open_reference(slice encoded, uint8_t *out);

/* A node to hash, how many nibbles above it, and where its hash goes: into its parent, where nothing moves now. */
typedef struct { slice encoded; size_t depth; uint8_t *output; } trie_hashing;

/* All of them, in any order: children before their parents, those of one depth at once. -1 without memory. */
int trie_hash_all(const trie_hashing *nodes, size_t count);

/* RLP of a byte string: how long it is, and its bytes to `out`, where the next may follow. */
size_t trie_string_size(slice data);
uint8_t *trie_put_string(uint8_t *out, slice data);

static inline slice trie_bytes(PyObject *bytes)
{
    return (slice){(const uint8_t *)PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
}

#endif
