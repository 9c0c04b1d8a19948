/* Before-images of the rows that several blocks changed; the format stands in node.state.before_images. */

#include "kernels.h"

enum { WHOLE = 0, DIFFERENCE = 1, SEVERAL = 2, WHOLE_ONE_IN = 8, ROW_BYTES_MIN = 113, IMAGE_BYTES_MAX = 0xFFFF };
enum { BLOCKS_MAX = 16, NUMBER_BYTES = 8, AT_ONCE = 16 };

typedef struct { size_t at, size; Py_ssize_t next; uint8_t behind; } image;
typedef struct { PyObject *key, *row; Py_ssize_t first, last; size_t size; uint32_t crc; int has_crc; } change;

/* All changed rows in the order in which they first changed, and the images of each in the order of blocks. */
typedef struct {
    PyObject *places; /* key -> index in `changes`, whose keys and rows it and the blocks hold */
    change *changes;
    image *images;
    uint8_t *bytes;
    size_t changes_used, changes_room, images_used, images_room, bytes_used, bytes_room;
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

/* The place of a key among the changes, made where it is the key's first; NULL for an error. */
static change *change_of(history *all, PyObject *key)
{
    PyObject *known = PyDict_GetItemWithError(all->places, key);
    if (known != NULL)
        return all->changes + PyLong_AsSsize_t(known);
    if (PyErr_Occurred()
        || !make_room((void **)&all->changes, all->changes_used, &all->changes_room, 1, sizeof(change)))
        return NULL;
    PyObject *place = PyLong_FromSize_t(all->changes_used);
    int result = place == NULL ? -1 : PyDict_SetItem(all->places, key, place);
    Py_XDECREF(place);
    if (result < 0)
        return NULL;
    change *made = all->changes + all->changes_used++;
    *made = (change){.key = key, .first = -1, .last = -1};
    return made;
}

static int is_row(PyObject *row)
{
    return row != NULL && (row == Py_None || PyBytes_Check(row));
}

static int add_image(history *all, PyObject *key, PyObject *old, PyObject *new, uint64_t number, uint8_t behind)
{
    if (!PyBytes_Check(key) || !is_row(old) || !is_row(new)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "rows are bytes or None, and the same before and after");
        return 0;
    }
    if (!make_room((void **)&all->images, all->images_used, &all->images_room, 1, sizeof(image)))
        return 0;
    change *changed = change_of(all, key);
    Py_ssize_t size = changed == NULL ? -1 : add_bytes(all, changed, old, new, number);
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
    changed->row = new;
    changed->size += 3 + (size_t)size;
    return 1;
}

typedef struct { PyObject *key, *old, *new; } change_seen;

/* The next changes of a block, on their way into the processor's cache; how many. The objects lie anywhere. */
static int look_ahead(PyObject *rows, PyObject *before, Py_ssize_t *position, Py_ssize_t *following, change_seen *seen)
{
    PyObject *beside;
    int got = 0;
    for (change_seen *each = seen; got < AT_ONCE && PyDict_Next(before, position, &each->key, &each->old); each++, got++) {
        /* Both were filled in step, as a rule: no look-up then. */
        if (!PyDict_Next(rows, following, &beside, &each->new) || beside != each->key)
            each->new = PyDict_GetItemWithError(rows, each->key);
        __builtin_prefetch(each->key);
        __builtin_prefetch(each->old);
        __builtin_prefetch(each->new);
    }
    return got;
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
        got = look_ahead(rows, before, &position, &following, seen);
        for (int i = 0; i < got; i++)
            if (!add_image(all, seen[i].key, seen[i].old, seen[i].new, number, (uint8_t)(last - number)))
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

/* Put rows and images into the batch; the keys. */
static PyObject *put_all(const history *all, PyObject *into, PyObject *head, uint64_t last)
{
    PyObject *keys = PyList_New((Py_ssize_t)all->changes_used);
    for (size_t i = 0; keys != NULL && i < all->changes_used; i++) {
        const change *changed = all->changes + i;
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
    history all = {.places = PyErr_Occurred() ? NULL : PyDict_New()};
    int done = all.places != NULL;
    for (Py_ssize_t i = 0; done && i < count; i++)
        done = add_block(&all, PyTuple_GET_ITEM(blocks, i), last);
    if (done)
        keys = put_all(&all, into, head, last);
    Py_XDECREF(all.places);
    PyMem_Free(all.changes);
    PyMem_Free(all.images);
    PyMem_Free(all.bytes);
    return keys;
}

PyMethodDef images_methods[] = {
    {"pack_images", py_pack_images, METH_VARARGS, "Rows that blocks changed, and how they stood before each."},
    {NULL, NULL, 0, NULL},
};
