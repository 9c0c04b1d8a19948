/* Nodes of the Merkle-Patricia trie: encoding, decoding, and how a parent refers to a child. */

#include "trie.h"

/* --- taking apart */

static int parse_short(slice encoded, size_t start, trie_node *node)
{
    rlp_bounds path, value;
    const uint8_t *data = encoded.at;
    if (!rlp_item(data, start, encoded.size, &path) || path.is_list || path.start == path.end
        || !rlp_item(data, path.end, encoded.size, &value) || value.end != encoded.size)
        return 0;
    node->path = (slice){data + path.start, path.end - path.start};
    uint8_t flag = node->path.at[0] >> 4;
    if (flag > 3 || (!(flag & 1) && node->path.at[0] & 15))
        return 0;
    node->is_leaf = flag >= 2;
    if (node->is_leaf) {
        node->payload = (slice){data + value.start, encoded.size - value.start};
        return !value.is_list;
    }
    node->payload = (slice){data + path.end, encoded.size - path.end};
    uint8_t prefix = node->payload.at[0];
    return 2 * node->path.size > trie_flag_size(node->path) && (prefix == 0xA0 || (prefix > 0xC0 && prefix < 0xE0));
}

/* The items of a branch: mostly nothing, or a hash. */
static int parse_branch(slice encoded, size_t start, trie_node *node)
{
    const uint8_t *data = encoded.at;
    int count = 0;
    for (size_t at = start, end; at < encoded.size; at = end) {
        rlp_bounds item;
        if (count == BRANCH_ITEMS)
            return 0;
        if (data[at] == 0x80)
            end = at + 1;
        else if (data[at] == 0x80 + HASH && encoded.size - at >= REFERENCE)
            end = at + REFERENCE;
        else if (rlp_item(data, at, encoded.size, &item))
            end = item.end;
        else
            return 0;
        node->items[count++] = (slice){data + at, end - at};
    }
    node->is_branch = count == BRANCH_ITEMS;
    if (count == 2)
        return parse_short(encoded, start, node);
    return node->is_branch && node->items[BRANCH_VALUE].at[0] < 0xC0;
}

int trie_parse(slice encoded, trie_node *node)
{
    rlp_bounds whole;
    if (!rlp_item(encoded.at, 0, encoded.size, &whole) || !whole.is_list || whole.end != encoded.size
        || whole.start == whole.end)
        return 0;
    /* What begins a branch is 0x80, 0xa0 or a list; anything else is the path of a leaf or an extension. */
    uint8_t first = encoded.at[whole.start];
    node->is_branch = 0;
    return first != 0x80 && first < 0x80 + HASH ? parse_short(encoded, whole.start, node)
                                                : parse_branch(encoded, whole.start, node);
}

/* --- putting together */

static uint8_t *put_header(uint8_t *out, size_t size, uint8_t base)
{
    if (size < 56) {
        *out++ = (uint8_t)(base + size);
        return out;
    }
    uint8_t width = 0;
    for (size_t left = size; left; left >>= 8)
        width++;
    *out++ = (uint8_t)(base + 55 + width);
    for (int k = width - 1; k >= 0; k--)
        *out++ = (uint8_t)(size >> 8 * k);
    return out;
}

static size_t header_size(size_t size)
{
    size_t width = 1;
    if (size >= 56)
        for (size_t left = size; left; left >>= 8)
            width++;
    return width;
}

size_t trie_string_size(slice data)
{
    return data.size == 1 && data.at[0] < 0x80 ? 1 : header_size(data.size) + data.size;
}

uint8_t *trie_put_string(uint8_t *out, slice data)
{
    if (!(data.size == 1 && data.at[0] < 0x80))
        out = put_header(out, data.size, 0x80);
    if (data.size)
        memcpy(out, data.at, data.size);
    return out + data.size;
}

static PyObject *leaf_or_extension(slice path, slice payload, int is_leaf)
{
    size_t size = trie_string_size(path) + (is_leaf ? trie_string_size(payload) : payload.size);
    PyObject *node = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(header_size(size) + size));
    if (node == NULL)
        return NULL;
    uint8_t *out = put_header((uint8_t *)PyBytes_AS_STRING(node), size, 0xC0);
    out = trie_put_string(out, path);
    if (is_leaf)
        trie_put_string(out, payload);
    else
        memcpy(out, payload.at, payload.size);
    return node;
}

PyObject *trie_leaf(slice path, slice value)
{
    return leaf_or_extension(path, value, 1);
}

PyObject *trie_short(const uint8_t *nibbles, size_t count, slice payload, int is_leaf)
{
    uint8_t bytes[NIBBLES_MAX / 2 + 1] = {0};
    slice path = {bytes, count / 2 + 1};
    if (count > NIBBLES_MAX) {
        PyErr_SetString(PyExc_ValueError, "a path longer than that of any key");
        return NULL;
    }
    bytes[0] = (uint8_t)((is_leaf ? 0x20 : 0) | (count % 2 ? 0x10 : 0));
    for (size_t i = 0; i < count; i++) {
        size_t place = i + 2 - count % 2; /* behind the flag, and a zero where the number is even */
        bytes[place / 2] |= (uint8_t)(place % 2 ? nibbles[i] : nibbles[i] << 4);
    }
    return leaf_or_extension(path, payload, is_leaf);
}

PyObject *trie_branch(const slice items[BRANCH_ITEMS])
{
    size_t size = 0;
    for (int i = 0; i < BRANCH_ITEMS; i++)
        size += items[i].size;
    PyObject *node = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(header_size(size) + size));
    if (node == NULL)
        return NULL;
    uint8_t *out = put_header((uint8_t *)PyBytes_AS_STRING(node), size, 0xC0);
    slice run = items[0];
    for (int i = 1; i < BRANCH_ITEMS; i++) {
        /* Of a branch that changes a little, most items lie side by side already. */
        if (items[i].at == run.at + run.size) {
            run.size += items[i].size;
            continue;
        }
        memcpy(out, run.at, run.size);
        out += run.size;
        run = items[i];
    }
    memcpy(out, run.at, run.size);
    return node;
}

size_t trie_open_reference(slice encoded, uint8_t *out)
{
    if (encoded.size < HASH) {
        memcpy(out, encoded.at, encoded.size);
        return encoded.size;
    }
    out[0] = 0x80 + HASH;
    memset(out + 1, 0, HASH);
    return REFERENCE;
}

size_t trie_reference(slice encoded, uint8_t *out)
{
    size_t size = trie_open_reference(encoded, out);
    if (encoded.size >= HASH)
        keccak256(encoded.at, encoded.size, out + 1);
    return size;
}

int trie_hash_all(const trie_hashing *nodes, size_t count)
{
    size_t ends[NIBBLES_MAX + 1] = {0}, end = 0;
    keccak_job *jobs = PyMem_Malloc((count + 1) * sizeof *jobs);
    if (jobs == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        ends[nodes[i].depth]++;
    for (size_t depth = NIBBLES_MAX + 1; depth-- > 0;) {
        size_t start = end;
        end += ends[depth];
        ends[depth] = start;
    }
    for (size_t i = 0; i < count; i++)
        jobs[ends[nodes[i].depth]++] = (keccak_job){nodes[i].encoded.at, nodes[i].encoded.size, nodes[i].output};
    for (size_t depth = NIBBLES_MAX + 1, start = 0; depth-- > 0; start = ends[depth])
        keccak_many(jobs + start, ends[depth] - start);
    PyMem_Free(jobs);
    return 0;
}

/* --- Python */

static int digit_of(Py_UCS4 c)
{
    return c >= '0' && c <= '9' ? (int)(c - '0') : c >= 'a' && c <= 'f' ? (int)(c - 'a' + 10) : -1;
}

static PyObject *bytes_of(slice data)
{
    return PyBytes_FromStringAndSize((const char *)data.at, (Py_ssize_t)data.size);
}

static PyObject *digits_of(slice path)
{
    static const char digits[] = "0123456789abcdef";
    size_t skipped = trie_flag_size(path);
    PyObject *text = PyUnicode_New((Py_ssize_t)(2 * path.size - skipped), 127);
    if (text == NULL)
        return NULL;
    Py_UCS1 *out = PyUnicode_1BYTE_DATA(text);
    for (size_t i = skipped; i < 2 * path.size; i++)
        out[i - skipped] = (Py_UCS1)digits[i % 2 ? path.at[i / 2] & 15 : path.at[i / 2] >> 4];
    return text;
}

static PyObject *py_trie_node(PyObject *self, PyObject *encoded)
{
    (void)self;
    trie_node node;
    if (!PyBytes_Check(encoded)) {
        PyErr_SetString(PyExc_TypeError, "a trie node is bytes");
        return NULL;
    }
    if (!trie_parse(trie_bytes(encoded), &node)) {
        PyErr_SetString(PyExc_ValueError, "no trie node");
        return NULL;
    }
    if (!node.is_branch) {
        PyObject *nibbles = digits_of(node.path), *payload = bytes_of(node.payload), *result = NULL;
        if (nibbles != NULL && payload != NULL)
            result = PyTuple_Pack(3, nibbles, node.is_leaf ? Py_True : Py_False, payload);
        Py_XDECREF(nibbles);
        Py_XDECREF(payload);
        return result;
    }
    PyObject *items = PyList_New(BRANCH_ITEMS);
    for (int i = 0; items != NULL && i < BRANCH_ITEMS; i++) {
        PyObject *item = bytes_of(node.items[i]);
        if (item == NULL)
            Py_CLEAR(items);
        else
            PyList_SET_ITEM(items, i, item);
    }
    return items;
}

/* A path and `second`, which is a string for a leaf and written as it is for an extension. */
static PyObject *two_items(PyObject *args, int is_leaf)
{
    PyObject *text, *second;
    if (!PyArg_ParseTuple(args, "US", &text, &second))
        return NULL;
    size_t count = (size_t)PyUnicode_GET_LENGTH(text);
    uint8_t nibbles[NIBBLES_MAX];
    for (size_t i = 0; i < count && i < NIBBLES_MAX; i++) {
        int digit = digit_of(PyUnicode_READ_CHAR(text, (Py_ssize_t)i));
        if (digit < 0) {
            PyErr_SetString(PyExc_ValueError, "a path is hex digits");
            return NULL;
        }
        nibbles[i] = (uint8_t)digit;
    }
    return trie_short(nibbles, count, trie_bytes(second), is_leaf);
}

static PyObject *py_trie_leaf(PyObject *self, PyObject *args)
{
    (void)self;
    return two_items(args, 1);
}

static PyObject *py_trie_extension(PyObject *self, PyObject *args)
{
    (void)self;
    return two_items(args, 0);
}

static PyObject *py_trie_branch(PyObject *self, PyObject *items)
{
    (void)self;
    if (!PyList_Check(items) || PyList_GET_SIZE(items) != BRANCH_ITEMS) {
        PyErr_SetString(PyExc_ValueError, "a branch is a list of 17 items");
        return NULL;
    }
    slice slices[BRANCH_ITEMS];
    for (int i = 0; i < BRANCH_ITEMS; i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        if (!PyBytes_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "an item of a branch is bytes");
            return NULL;
        }
        slices[i] = trie_bytes(item);
    }
    return trie_branch(slices);
}

static PyObject *py_trie_reference(PyObject *self, PyObject *encoded)
{
    (void)self;
    uint8_t reference[REFERENCE];
    if (!PyBytes_Check(encoded)) {
        PyErr_SetString(PyExc_TypeError, "a trie node is bytes");
        return NULL;
    }
    if (PyBytes_GET_SIZE(encoded) < HASH) {
        Py_INCREF(encoded);
        return encoded;
    }
    size_t size = trie_reference(trie_bytes(encoded), reference);
    return PyBytes_FromStringAndSize((const char *)reference, (Py_ssize_t)size);
}

PyMethodDef trie_methods[] = {
    {"trie_node", py_trie_node, METH_O, "17 items of a branch, or nibbles, whether a leaf, and payload."},
    {"trie_leaf", py_trie_leaf, METH_VARARGS, "A leaf of nibbles and a value."},
    {"trie_extension", py_trie_extension, METH_VARARGS, "An extension of nibbles and a reference."},
    {"trie_branch", py_trie_branch, METH_O, "A branch of 17 encoded items."},
    {"trie_reference", py_trie_reference, METH_O, "How a parent refers to an encoded node."},
    {NULL, NULL, 0, NULL},
};
