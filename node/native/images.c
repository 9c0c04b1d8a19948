/* Before-images of the rows that several blocks changed; the format stands in node.state.before_images. */

#include "kernels.h"

enum { WHOLE = 0, DIFFERENCE = 1, SEVERAL = 2, WHOLE_ONE_IN = 8, ROW_BYTES_MIN = 113, IMAGE_BYTES_MAX = 0xFFFF };
enum { BLOCKS_MAX = 16, NUMBER_BYTES = 8, AT_ONCE = 16 };

typedef struct { size_t at, size; Py_ssize_t next; uint8_t behind; } image;
typedef struct {
    PyObject *key, *row; /* the blocks hold them */
    Py_hash_t hash;
    Py_ssize_t first, last;
    size_t size;
    uint32_t crc;
    int has_crc;
} change;

/* All changed rows in the order in which they first changed, and the images of each in the order of blocks. */
typedef struct {
    uint32_t *table; /* where a key's change may be: 1 + its index in `changes`, or 0; from its hash on */
    change *changes;
    image *images;
    uint8_t *bytes;
    size_t table_size, changes_used, changes_room, images_used, images_room, bytes_used, bytes_room;
} history;

/* Room for `more` of so many bytes each; 0 where there is no memory. */
static int make_room(void **data, size_t used, size_t *room, size_t more, size_t each)
{
    if (*room - used >= more)
        return 1;
    size_t wanted = 2 * *room > used + more ? 2 * *room : used + more + 1024;
    void *moved = PyMem_Realloc(*data, wanted * each);
    if (moved == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    *data = moved;
    *room = wanted;
    return 1;
}

/* CRC-32 as in zlib (RFC 1952, section 8). */
static uint32_t crc32_of(const uint8_t *data, size_t size)
{
    static uint32_t table[256];
    if (table[1] == 0) {
        for (uint32_t n = 0; n < 256; n++) {
            uint32_t c = n;
            for (int k = 0; k < 8; k++)
                c = c & 1 ? 0xEDB88320 ^ (c >> 1) : c >> 1;
            table[n] = c;
        }
    }
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < size; i++)
        crc = table[(crc ^ data[i]) & 0xFF] ^ (crc >> 8);
    return ~crc;
}

/* As is_drawn in Python. */
static int is_drawn(change *changed, uint64_t number)
{
    if (!changed->has_crc) {
        changed->crc = crc32_of(
            (const uint8_t *)PyBytes_AS_STRING(changed->key), (size_t)PyBytes_GET_SIZE(changed->key));
        changed->has_crc = 1;
    }
    uint32_t mixed = changed->crc ^ (uint32_t)(number / WHOLE_ONE_IN) * 0x9E3779B1u;
    return mixed >> 29 == number % WHOLE_ONE_IN;
}

/* Where two rows of one size begin and cease to differ; eight bytes at a time, for nearly all are the same. */
static void differing(const uint8_t *a, const uint8_t *b, size_t size, size_t *from, size_t *to)
{
    size_t first = 0, last = size;
    while (first + 8 <= size && memcmp(a + first, b + first, 8) == 0)
        first += 8;
    while (first < size && a[first] == b[first])
        first++;
    while (last >= first + 8 && memcmp(a + last - 8, b + last - 8, 8) == 0)
        last -= 8;
    while (last > first && a[last - 1] == b[last - 1])
        last--;
    *from = first;
    *to = last;
}

/* Append the image of a row to the bytes; its size, or -1. As encode_image in Python. */
static Py_ssize_t add_bytes(history *all, change *changed, PyObject *before, PyObject *after, uint64_t number)
{
    if (before == Py_None)
        return 0;
    const uint8_t *old = (const uint8_t *)PyBytes_AS_STRING(before);
    size_t size = (size_t)PyBytes_GET_SIZE(before), first, last;
    if (size >= IMAGE_BYTES_MAX) {
        PyErr_SetString(PyExc_ValueError, "a row is too long for a before-image");
        return -1;
    }
    if (!make_room((void **)&all->bytes, all->bytes_used, &all->bytes_room, size + 3, 1))
        return -1;
    uint8_t *out = all->bytes + all->bytes_used;
    if (after == Py_None || PyBytes_GET_SIZE(after) != (Py_ssize_t)size || size < ROW_BYTES_MIN
        || is_drawn(changed, number)) {
        *out = WHOLE;
        memcpy(out + 1, old, size);
        return (Py_ssize_t)size + 1;
    }
    differing(old, (const uint8_t *)PyBytes_AS_STRING(after), size, &first, &last);
    out[0] = DIFFERENCE;
    out[1] = (uint8_t)(first >> 8);
    out[2] = (uint8_t)first;
    memcpy(out + 3, old + first, last - first);
    return (Py_ssize_t)(last - first) + 3;
}

static uint32_t *place_in(const history *all, Py_hash_t hash)
{
    return all->table + ((size_t)hash & (all->table_size - 1));
}

/* The next place, round and round. */
static uint32_t *place_after(const history *all, uint32_t *place)
{
    return ++place == all->table + all->table_size ? all->table : place;
}

/* A table of twice the size; 0 where there is no memory. */
static int grow_table(history *all)
{
    enum { PLACES_MIN = 1024 };
    history grown = *all;
    grown.table_size = all->table_size ? 2 * all->table_size : PLACES_MIN;
    grown.table = grown.table_size > UINT32_MAX ? NULL : PyMem_Calloc(grown.table_size, sizeof *grown.table);
    if (grown.table == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (size_t i = 0; i < all->changes_used; i++) {
        uint32_t *place = place_in(&grown, all->changes[i].hash);
        while (*place)
            place = place_after(&grown, place);
        *place = (uint32_t)i + 1;
    }
    PyMem_Free(all->table);
    *all = grown;
    return 1;
}

static int same_key(const change *changed, PyObject *key, Py_hash_t hash)
{
    size_t size = (size_t)PyBytes_GET_SIZE(key);
    return changed->hash == hash && (size_t)PyBytes_GET_SIZE(changed->key) == size
        && memcmp(PyBytes_AS_STRING(changed->key), PyBytes_AS_STRING(key), size) == 0;
}

/* The change of a key, made where it is the key's first; NULL for an error. */
static change *change_of(history *all, PyObject *key, Py_hash_t hash)
{
    uint32_t *place = place_in(all, hash);
    for (; *place; place = place_after(all, place))
        if (same_key(all->changes + *place - 1, key, hash))
            return all->changes + *place - 1;
    if (2 * all->changes_used >= all->table_size)
        return grow_table(all) ? change_of(all, key, hash) : NULL;
    if (!make_room((void **)&all->changes, all->changes_used, &all->changes_room, 1, sizeof(change)))
        return NULL;
    change *made = all->changes + all->changes_used++;
    *made = (change){.key = key, .hash = hash, .first = -1, .last = -1};
    *place = (uint32_t)all->changes_used;
    return made;
}

static int is_row(PyObject *row)
{
    return row != NULL && (row == Py_None || PyBytes_Check(row));
}

typedef struct { PyObject *key, *old, *new; Py_hash_t hash; } change_seen;

static int add_image(history *all, const change_seen *seen, uint64_t number, uint8_t behind)
{
    if (!make_room((void **)&all->images, all->images_used, &all->images_room, 1, sizeof(image)))
        return 0;
    change *changed = change_of(all, seen->key, seen->hash);
    Py_ssize_t size = changed == NULL ? -1 : add_bytes(all, changed, seen->old, seen->new, number);
    if (size < 0)
        return 0;
    Py_ssize_t place = (Py_ssize_t)all->images_used++;
    all->images[place] = (image){all->bytes_used, (size_t)size, -1, behind};
    all->bytes_used += (size_t)size;
    if (changed->last < 0)
        changed->first = place;
    else
        all->images[changed->last].next = place;
    changed->last = place;
    changed->row = seen->new;
    changed->size += 3 + (size_t)size;
    return 1;
}

/* The next changes of a block; how many, or -1. */
static int next_changes(
    PyObject *rows, PyObject *before, Py_ssize_t *position, Py_ssize_t *following, change_seen *seen)
{
    PyObject *beside;
    int got = 0;
    for (change_seen *each = seen; got < AT_ONCE; each++, got++) {
        if (!PyDict_Next(before, position, &each->key, &each->old))
            break;
        /* Both were filled in step, as a rule: no look-up then. */
        if (!PyDict_Next(rows, following, &beside, &each->new) || beside != each->key)
            each->new = PyDict_GetItemWithError(rows, each->key);
        __builtin_prefetch(each->key);
        for (int line = 0; line < 3; line++) {
            __builtin_prefetch((const char *)each->old + 64 * line);
            __builtin_prefetch((const char *)each->new + 64 * line);
        }
    }
    for (int i = 0; i < got; i++) {
        if (!PyBytes_Check(seen[i].key) || !is_row(seen[i].old) || !is_row(seen[i].new)) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "rows are bytes or None, and the same before and after");
            return -1;
        }
        seen[i].hash = PyBytes_Type.tp_hash(seen[i].key);
    }
    return got;
}

/* What finding them will read goes into the processor's cache, one step for all of them at a time: objects lie
 * anywhere, and waiting for memory is most of what an image costs. */
static void look_ahead(const history *all, const change_seen *seen, int count)
{
    const change *likely[AT_ONCE];
    for (int i = 0; i < count; i++)
        __builtin_prefetch(place_in(all, seen[i].hash));
    for (int i = 0; i < count; i++) {
        uint32_t place = *place_in(all, seen[i].hash);
        likely[i] = place ? all->changes + place - 1 : NULL;
        __builtin_prefetch(likely[i]);
    }
    for (int i = 0; i < count; i++)
        if (likely[i] != NULL)
            __builtin_prefetch(likely[i]->key);
}

static int add_block(history *all, PyObject *block, uint64_t last)
{
    PyObject *rows, *before;
    unsigned long long number;
    if (!PyTuple_Check(block)
        || !PyArg_ParseTuple(block, "KO!O!", &number, &PyDict_Type, &rows, &PyDict_Type, &before))
        return 0;
    if (number > last || last - number >= BLOCKS_MAX) {
        PyErr_SetString(PyExc_ValueError, "the blocks do not go up to the last, or are too many");
        return 0;
    }
    Py_ssize_t position = 0, following = 0;
    for (int got = AT_ONCE; got == AT_ONCE;) {
        change_seen seen[AT_ONCE];
        got = next_changes(rows, before, &position, &following, seen);
        look_ahead(all, seen, got);
        for (int i = 0; i < got; i++)
            if (!add_image(all, seen + i, number, (uint8_t)(last - number)))
                return 0;
        if (got < 0)
            return 0;
    }
    return 1;
}

/* What stands under the history key: the image alone where it is the last block's, or all with their blocks. */
static PyObject *images_of(const history *all, const change *changed)
{
    const image *each = all->images + changed->first;
    if (each->next < 0 && each->behind == 0)
        return PyBytes_FromStringAndSize((const char *)all->bytes + each->at, (Py_ssize_t)each->size);
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)changed->size + 1);
    if (made == NULL)
        return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AS_STRING(made);
    *out++ = SEVERAL;
    for (;;) {
        out[0] = each->behind;
        out[1] = (uint8_t)(each->size >> 8);
        out[2] = (uint8_t)each->size;
        memcpy(out + 3, all->bytes + each->at, each->size);
        out += 3 + each->size;
        if (each->next < 0)
            return made;
        each = all->images + each->next;
    }
}

/* head, key, "/" and the last block's number. */
static PyObject *place_of(PyObject *head, PyObject *key, uint64_t last)
{
    Py_ssize_t head_size = PyBytes_GET_SIZE(head), key_size = PyBytes_GET_SIZE(key);
    PyObject *place = PyBytes_FromStringAndSize(NULL, head_size + key_size + 1 + NUMBER_BYTES);
    if (place == NULL)
        return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AS_STRING(place);
    memcpy(out, PyBytes_AS_STRING(head), (size_t)head_size);
    memcpy(out + head_size, PyBytes_AS_STRING(key), (size_t)key_size);
    out += head_size + key_size;
    *out++ = '/';
    for (int i = 0; i < NUMBER_BYTES; i++)
        out[i] = (uint8_t)(last >> 8 * (NUMBER_BYTES - 1 - i));
    return place;
}

/* The same for what putting a later change will read. */
static void look_at_later(const history *all, const change *now)
{
    __builtin_prefetch(now[AT_ONCE].key);
    __builtin_prefetch(now[AT_ONCE].row);
    __builtin_prefetch(all->images + now[AT_ONCE].first);
    __builtin_prefetch(all->bytes + all->images[now[AT_ONCE / 2].first].at);
}

/* Put rows and images into the batch; the keys. */
static PyObject *put_all(const history *all, PyObject *into, PyObject *head, uint64_t last)
{
    PyObject *keys = PyList_New((Py_ssize_t)all->changes_used);
    for (size_t i = 0; keys != NULL && i < all->changes_used; i++) {
        const change *changed = all->changes + i;
        if (i + AT_ONCE < all->changes_used)
            look_at_later(all, changed);
        PyList_SET_ITEM(keys, (Py_ssize_t)i, Py_NewRef(changed->key));
        PyObject *place = place_of(head, changed->key, last);
        PyObject *images = place == NULL ? NULL : images_of(all, changed);
        if (images == NULL || PyDict_SetItem(into, changed->key, changed->row) < 0
            || PyDict_SetItem(into, place, images) < 0)
            Py_CLEAR(keys);
        Py_XDECREF(place);
        Py_XDECREF(images);
    }
    return keys;
}

static PyObject *py_pack_images(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *into, *blocks, *head, *keys = NULL;
    if (!PyArg_ParseTuple(args, "O!O!S", &PyDict_Type, &into, &PyTuple_Type, &blocks, &head))
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(blocks);
    PyObject *newest = count == 0 ? NULL : PyTuple_GET_ITEM(blocks, count - 1);
    if (newest == NULL || !PyTuple_Check(newest) || PyTuple_GET_SIZE(newest) != 3) {
        PyErr_SetString(PyExc_ValueError, "blocks are expected, each with its number and its rows after and before");
        return NULL;
    }
    uint64_t last = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(newest, 0));
    history all = {0};
    int done = !PyErr_Occurred() && grow_table(&all);
    for (Py_ssize_t i = 0; done && i < count; i++)
        done = add_block(&all, PyTuple_GET_ITEM(blocks, i), last);
    if (done)
        keys = put_all(&all, into, head, last);
    PyMem_Free(all.table);
    PyMem_Free(all.changes);
    PyMem_Free(all.images);
    PyMem_Free(all.bytes);
    return keys;
}

PyMethodDef images_methods[] = {
    {"pack_images", py_pack_images, METH_VARARGS, "Rows that blocks changed, and how they stood before each."},
    {NULL, NULL, 0, NULL},
};
