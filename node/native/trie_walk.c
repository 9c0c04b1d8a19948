/* Changes to a path-keyed trie in one walk: the same as node.trie.tree, method by method.
 *
 * What is refused here, with ValueError, is refused there too, in words. Whatever the walk comes upon or makes
 * has a spot, which is known by its number because they move when there are more; a path is nibbles in
 * `walk.path`, of which a function gets the first `depth`. Hashes are left open: trie_update.c puts them where
 * they belong when all nodes are there. */

#include "trie_walk.h"

enum { PATH_BYTES_MAX = NIBBLES_MAX / 2 + 1 };

/* A branch in hand, and the spots of those of its children that the walk came upon. */
typedef struct {
    trie_node parts;
    size_t children[BRANCH_VALUE];
} branch;

static void forget_children(branch *b)
{
    for (int i = 0; i < BRANCH_VALUE; i++)
        b->children[i] = NOWHERE;
}

static void make_empty(branch *b)
{
    forget_children(b);
    for (int i = 0; i < BRANCH_ITEMS; i++)
        b->parts.items[i] = TRIE_EMPTY;
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

static uint8_t nibble_of(const uint8_t *bytes, size_t n)
{
    return n % 2 ? bytes[n / 2] & 15 : bytes[n / 2] >> 4;
}

static stretch stretch_of(slice path)
{
    size_t skipped = trie_flag_size(path);
    stretch s = {{0}, 2 * path.size - skipped};
    for (size_t i = 0; i < s.count; i++)
        s.nibbles[i] = nibble_of(path.at, skipped + i);
    return s;
}

/* What is left of a key behind `depth` nibbles, as the path of a leaf with its flag. */
static slice tail_of(const change *c, size_t depth, uint8_t room[PATH_BYTES_MAX])
{
    room[0] = depth % 2 ? 0x30 | nibble_of(c->key, depth) : 0x20;
    memcpy(room + 1, c->key + (depth + 1) / 2, (c->size - depth) / 2);
    return (slice){room, (c->size - depth) / 2 + 1};
}

/* Of a sorted run, the changes from `low` on that have this nibble at `depth`: where they end. */
static size_t group_end(const change *changes, size_t low, size_t count, size_t depth, uint8_t nibble)
{
    while (low < count && nibble_of(changes[low].key, depth) == nibble)
        low++;
    return low;
}

static PyObject *string_item(slice value)
{
    PyObject *item = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)trie_string_size(value));
    if (item != NULL)
        trie_put_string((uint8_t *)PyBytes_AS_STRING(item), value);
    return item;
}

/* What follows gives a spot the node that belongs there; -1 with an exception. */

/* Nothing lies between the spot and another one at `end`. */
static int extend(walk *w, size_t at, size_t depth, size_t end, size_t other)
{
    trie_node parts;
    PyObject *node = w->spots[other].node;
    if (node == NULL) {
        w->spots[other].is_row = 0;
        return walk_put_nothing(w, at);
    }
    if (!parsed(node, &parts))
        return -1;
    if (parts.is_branch) {
        slice item;
        if (walk_settle(w, other, &item) < 0)
            return -1;
        return walk_put(w, at, trie_short(w->path + depth, end - depth, item, 0), w->spots[other].is_row ? other : NOWHERE);
    }
    stretch own = stretch_of(parts.path);
    if (end + own.count > NIBBLES_MAX)
        return walk_refused("a path longer than that of any key");
    w->spots[other].is_row = 0;
    memcpy(w->path + end, own.nibbles, own.count);
    PyObject *joined = trie_short(w->path + depth, end - depth + own.count, parts.payload, parts.is_leaf);
    return walk_put(w, at, joined, w->spots[other].below);
}

/* In place of a branch with one way out, or none. */
static int collapse(walk *w, size_t at, size_t depth, const branch *b)
{
    slice value = b->parts.items[BRANCH_VALUE];
    if (!trie_is_empty(value)) {
        rlp_bounds bounds;
        if (!rlp_item(value.at, 0, value.size, &bounds))
            return walk_refused("no trie node");
        value = (slice){value.at + bounds.start, bounds.end - bounds.start};
        return walk_put(w, at, trie_short(NULL, 0, value, 1), NOWHERE);
    }
    for (uint8_t nibble = 0; nibble < BRANCH_VALUE; nibble++) {
        if (!trie_is_empty(b->parts.items[nibble])) {
            size_t other = b->children[nibble];
            w->path[depth] = nibble;
            if (other == NOWHERE)
                other = walk_child(w, depth + 1, b->parts.items[nibble]);
            return other == NOWHERE ? -1 : extend(w, at, depth, depth + 1, other);
        }
    }
    return walk_put_nothing(w, at);
}

static int put_branch(walk *w, size_t at, size_t depth, const branch *b)
{
    int used = 0;
    for (int i = 0; i < BRANCH_ITEMS; i++)
        used += !trie_is_empty(b->parts.items[i]);
    if (used < 2)
        return collapse(w, at, depth, b);
    PyObject *node = trie_branch(b->parts.items);
    if (walk_put(w, at, node, NOWHERE) < 0)
        return -1;
    uint8_t *item = (uint8_t *)PyBytes_AS_STRING(node) + PyBytes_GET_SIZE(node) - b->parts.items[BRANCH_VALUE].size;
    for (int i = BRANCH_VALUE - 1; i >= 0; i--) {
        item -= b->parts.items[i].size;
        if (b->children[i] != NOWHERE)
            w->spots[b->children[i]].output = item + 1; /* looked at only where the child has a row */
    }
    return 0;
}

/* A subtree where there was none, of changes that all set something. */
static int build(walk *w, size_t at, size_t depth, const change *changes, size_t count)
{
    const change *first = changes, *last = changes + count - 1;
    if (count == 1) {
        uint8_t room[PATH_BYTES_MAX];
        return walk_put(w, at, trie_leaf(tail_of(first, depth, room), first->value), NOWHERE);
    }
    size_t end = depth, place = at, low = 0;
    for (; end < first->size && nibble_of(first->key, end) == nibble_of(last->key, end); end++)
        w->path[end] = nibble_of(first->key, end);
    if (end > depth && (place = walk_spot(w, end)) == NOWHERE)
        return -1;
    branch b;
    make_empty(&b);
    PyObject *value = NULL;
    if (first->size == end) {
        if ((value = string_item(first->value)) == NULL)
            return -1;
        b.parts.items[BRANCH_VALUE] = trie_bytes(value);
        low = 1;
    }
    int result = 0;
    while (result == 0 && low < count) {
        uint8_t nibble = w->path[end] = nibble_of(changes[low].key, end);
        size_t next = group_end(changes, low, count, end, nibble), made = walk_spot(w, end + 1);
        b.children[nibble] = made;
        if (made == NOWHERE || build(w, made, end + 1, changes + low, next - low) < 0
            || walk_settle(w, made, &b.parts.items[nibble]) < 0)
            result = -1;
        low = next;
    }
    if (result == 0)
        result = put_branch(w, place, end, &b);
    Py_XDECREF(value);
    return result < 0 || end == depth ? result : extend(w, at, depth, end, place);
}

static int build_live(walk *w, size_t at, size_t depth, const change *changes, size_t count)
{
    change *live = PyMem_Malloc((count + 1) * sizeof *live);
    size_t left = 0;
    if (live == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        if (changes[i].value.at != NULL)
            live[left++] = changes[i];
    int result = left ? build(w, at, depth, live, left) : walk_put_nothing(w, at);
    PyMem_Free(live);
    return result;
}

/* --- changing what is there */

/* A leaf among other keys, or several changes to it. */
static int rebuild_leaf(walk *w, size_t at, size_t depth, const trie_node *leaf, const change *changes, size_t count)
{
    stretch own = stretch_of(leaf->path);
    uint8_t key[KEY_NIBBLES_MAX / 2] = {0};
    change kept = {key, depth + own.count, leaf->payload};
    if (kept.size % 2)
        return walk_refused("a key that ends within a byte");
    for (size_t i = 0; i < kept.size; i++)
        key[i / 2] |= (uint8_t)((i < depth ? w->path[i] : own.nibbles[i - depth]) << (i % 2 ? 0 : 4));
    change *all = PyMem_Malloc((count + 1) * sizeof *all);
    if (all == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    size_t place = 0;
    while (place < count && walk_order(&changes[place], &kept) < 0)
        place++;
    size_t is_changed = place < count && walk_order(&changes[place], &kept) == 0;
    memcpy(all, changes, place * sizeof *all);
    all[place] = is_changed ? changes[place] : kept;
    memcpy(all + place + 1, changes + place + is_changed, (count - place - is_changed) * sizeof *all);
    int result = build_live(w, at, depth, all, count + 1 - is_changed);
    PyMem_Free(all);
    return result;
}

static int change_leaf(walk *w, size_t at, size_t depth, const trie_node *leaf, const change *changes, size_t count)
{
    uint8_t room[PATH_BYTES_MAX];
    slice tail = tail_of(changes, depth, room);
    if (count > 1 || tail.size != leaf->path.size || memcmp(tail.at, leaf->path.at, tail.size) != 0)
        return rebuild_leaf(w, at, depth, leaf, changes, count);
    if (changes->value.at == NULL)
        return walk_put_nothing(w, at);
    return walk_put(w, at, trie_leaf(tail, changes->value), NOWHERE);
}

static int change_children(walk *w, size_t depth, branch *b, const change *changes, size_t count)
{
    /* All are looked for before the first is changed: so they are on their way from memory together. */
    for (size_t low = 0; low < count;) {
        uint8_t nibble = w->path[depth] = nibble_of(changes[low].key, depth);
        if (b->children[nibble] == NOWHERE)
            b->children[nibble] = walk_child(w, depth + 1, b->parts.items[nibble]);
        if (b->children[nibble] == NOWHERE)
            return -1;
        __builtin_prefetch(w->spots[b->children[nibble]].node);
        low = group_end(changes, low, count, depth, nibble);
    }
    size_t low = 0;
    for (uint8_t nibble = 0; nibble < BRANCH_VALUE; nibble++) {
        size_t at = b->children[nibble], end = group_end(changes, low, count, depth, nibble);
        w->path[depth] = nibble;
        if (end > low && walk_change(w, at, depth + 1, changes + low, end - low) < 0)
            return -1;
        if (at != NOWHERE && walk_settle(w, at, &b->parts.items[nibble]) < 0)
            return -1;
        low = end;
    }
    return 0;
}

static int change_branch(walk *w, size_t at, size_t depth, branch *b, const change *changes, size_t count)
{
    PyObject *value = NULL;
    if (depth >= NIBBLES_MAX)
        return walk_refused("a path longer than that of any key");
    if (changes->size == depth) {
        if (changes->value.at != NULL && (value = string_item(changes->value)) == NULL)
            return -1;
        b->parts.items[BRANCH_VALUE] = value == NULL ? TRIE_EMPTY : trie_bytes(value);
        changes++, count--;
    }
    int result = change_children(w, depth, b, changes, count);
    if (result == 0)
        result = put_branch(w, at, depth, b);
    Py_XDECREF(value);
    return result;
}

/* The extension forks after `before` of its nibbles. */
static int split_extension(walk *w, size_t at, size_t depth, const stretch *own, size_t before, slice payload,
                           const change *changes, size_t count)
{
    uint8_t nibble = own->nibbles[before];
    size_t end = depth + before, left = own->count - before - 1, place = at;
    branch b;
    make_empty(&b);
    b.parts.items[nibble] = payload;
    memcpy(w->path + depth, own->nibbles, before + 1);
    if (left) {
        size_t rest = b.children[nibble] = walk_spot(w, end + 1);
        if (rest == NOWHERE || walk_put(w, rest, trie_short(own->nibbles + before + 1, left, payload, 0), NOWHERE) < 0)
            return -1;
    }
    if (before && (place = walk_spot(w, end)) == NOWHERE)
        return -1;
    if (change_branch(w, place, end, &b, changes, count) < 0)
        return -1;
    return before ? extend(w, at, depth, end, place) : 0;
}

static int change_extension(
    walk *w, size_t at, size_t depth, const trie_node *parts, const change *changes, size_t count)
{
    stretch own = stretch_of(parts->path);
    if (depth + own.count >= NIBBLES_MAX)
        return walk_refused("a path longer than that of any key");
    change *kept = PyMem_Malloc(count * sizeof *kept);
    if (kept == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    size_t left = 0, before = own.count, end = depth + own.count;
    for (size_t i = 0; i < count; i++) {
        const change *c = &changes[i];
        size_t common = 0;
        while (common < own.count && depth + common < c->size && own.nibbles[common] == nibble_of(c->key, depth + common))
            common++;
        /* Deleting what is not there changes nothing, and must not split the extension. */
        if (c->value.at == NULL && common < own.count)
            continue;
        kept[left++] = *c;
        if (common < before)
            before = common;
    }
    int result = 0;
    if (left && before < own.count) {
        result = split_extension(w, at, depth, &own, before, parts->payload, kept, left);
    } else if (left) {
        memcpy(w->path + depth, own.nibbles, own.count);
        size_t other = walk_child(w, end, parts->payload);
        result = other == NOWHERE || walk_change(w, other, end, kept, left) < 0
            ? -1
            : extend(w, at, depth, end, other);
    }
    PyMem_Free(kept);
    return result;
}

int walk_change(walk *w, size_t at, size_t depth, const change *changes, size_t count)
{
    branch b;
    if (w->spots[at].node == NULL)
        return build_live(w, at, depth, changes, count);
    if (!parsed(w->spots[at].node, &b.parts))
        return -1;
    if (!b.parts.is_branch)
        return b.parts.is_leaf ? change_leaf(w, at, depth, &b.parts, changes, count)
                               : change_extension(w, at, depth, &b.parts, changes, count);
    forget_children(&b);
    return change_branch(w, at, depth, &b, changes, count);
}
